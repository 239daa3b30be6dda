"""The lease of a job that runs in a thread: nothing ends a thread at its deadline, so the process
that it runs in keeps the lease alive for as long as the job runs, and the process.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import clock
from errors import PreconditionFailed
from runners import telemetry
from runners.messages import JobMessage, Message
from store import verbs
from store.queries import read


@contextmanager
def renewed(message: Message, deadline: int) -> Iterator[None]:
    """Renew the lease of the message's job, from `deadline` (milliseconds since 1970) on, until the
    block is left: most jobs end before, and cost nothing more."""
    if not isinstance(message, JobMessage):
        yield
        return
    over = threading.Event()
    keeper = threading.Thread(target=_keep, args=[message, deadline, over], daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()


def _keep(message: JobMessage, deadline: int, over: threading.Event) -> None:
    pause = (deadline - clock.now()) / clock.SECOND
    while not over.wait(max(0.0, pause)):
        try:
            if not _renew(message):
                return
        except PreconditionFailed:
            return  # somebody else has moved the row on: the job learns of it when it writes
        except Exception as error:  # noqa: BLE001 - AWS is away, say: there is time for another try
            telemetry.crashed(error)
        pause = verbs.SKEW / 2 / clock.SECOND


def _renew(message: JobMessage) -> bool:
    """Renew the lease if the job's claim is this message's; return whether it is. Raises
    PreconditionFailed if it does not run any more."""
    row = read(message.id)
    if row is None or row.send_id != message.send_id:
        return False
    verbs.renew(row, clock.now() + 2 * verbs.SKEW)
    return True
