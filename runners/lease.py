"""Renew the lease of a job that runs in a thread.

A lease is the time by which a job's invocation has ended. Nothing stops a thread at its deadline,
so the process renews the lease for as long as the job runs.
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
    has_ended = threading.Event()
    thread = threading.Thread(
        target=_renew_until_end, args=[message, deadline, has_ended], daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        has_ended.set()


def _renew_until_end(message: JobMessage, deadline: int, has_ended: threading.Event) -> None:
    pause = (deadline - clock.now()) / clock.SECOND
    while not has_ended.wait(max(0.0, pause)):
        try:
            if not _renew(message):
                return
        except PreconditionFailed:
            return  # another process has changed the row; the job notices that at its next write
        except Exception as error:  # noqa: BLE001 - AWS may not answer; there is time to try again
            telemetry.crashed(error)
        pause = transitions.SKEW / 2 / clock.SECOND


def _renew(message: JobMessage) -> bool:
    """Renew the lease if the job's claim comes from this message, and return whether it does.

    Raises PreconditionFailed if the job no longer runs.
    """
    row = read(message.id)
    if row is None or row.send_id != message.send_id:
        return False
    transitions.renew(row, clock.now() + 2 * transitions.SKEW)
    return True
