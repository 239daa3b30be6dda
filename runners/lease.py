"""Renew the lease of a job that runs in a thread.

A job's *lease* expires when its invocation must have ended. After that, the timer may start the job
again. But nothing stops a thread at its deadline, so the process renews the lease for as long as
the job runs.
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
    """Renew the lease of the message's job while the block runs.

    The first renewal is at `deadline` (milliseconds since 1970). Most jobs end before that.
    """
    if not isinstance(message, JobMessage):
        yield
        return
    ended = threading.Event()
    arguments = [message, deadline, ended]
    threading.Thread(target=_renew_until_ended, args=arguments, daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _renew_until_ended(message: JobMessage, deadline: int, ended: threading.Event) -> None:
    seconds_until_renewal = (deadline - clock.now()) / clock.SECOND
    while not ended.wait(max(0.0, seconds_until_renewal)):
        try:
            if not _renew(message):
                return
        except PreconditionFailed:
            return  # another process has changed the row; the job notices that at its next write
        except Exception as error:  # noqa: BLE001 - AWS may not answer; there is time to try again
            telemetry.crashed(error)
        seconds_until_renewal = transitions.SKEW / 2 / clock.SECOND


def _renew(message: JobMessage) -> bool:
    """Renew the lease. Return False if another message has claimed the job since.

    Raises PreconditionFailed if the job no longer runs.
    """
    row = read(message.id)
    if row is None or row.send_id != message.send_id:
        return False
    transitions.renew(row, clock.now() + 2 * transitions.SKEW)
    return True
