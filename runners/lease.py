"""Renew the lease of a job that runs in a thread.

Nothing stops a thread at its deadline. So the process renews the lease for as long as the job runs.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from job_runners import clock
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.messages import JobMessage, Message
from job_runners.errors import PreconditionFailed
from job_runners.store import transitions
from job_runners.store.queries import read


@contextmanager
def renewing_lease(message: Message, deadline: int) -> Iterator[None]:
    """Renew the lease of the message's job in the block, from `deadline` (ms since 1970) on.

    Most jobs end before the deadline, so their leases need no renewal.
    """
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
            return  # another process has changed the row: the job notices at its next write
        except Exception as error:  # noqa: BLE001 - AWS may not answer; there is time to try again
            telemetry.crashed(error)
        pause = transitions.SKEW / 2 / clock.SECOND


def _renew(message: JobMessage) -> bool:
    """Renew the lease if this message led to the job's claim. Return whether it did.

    Raises PreconditionFailed if the job no longer runs.
    """
    row = read(message.id)
    if row is None or row.send_id != message.send_id:
        return False
    transitions.renew(row, clock.now() + 2 * transitions.SKEW)
    return True
