"""Pause and resume: a brake on a job type or a queue.

What is paused is not started: the worker holds it back when its message arrives, or at its next
checkpoint when it runs. When the brake is released it goes on in the order in which it was created,
as fast as one invocation can send it.
"""

from errors import PreconditionFailed, SendFailed
from runners import log
from runners.base import Send
from runners.messages import JobMessage
from runners.registry import registry
from store import clock, pauses, verbs
from store.job_request import JobRequest, Status
from store.pauses import Brake, Kind
from store.queries import read

# How long the timer leaves a job alone that is held back: its brake knows of it.
LOOK = clock.HOUR
# How long a released brake is kept: workers that have not heard of it may yet hold something back.
_LINGER = 3 * pauses.CACHED
_AT_ONCE = 25  # jobs that a resume lets go itself; the rest is the timer's


def pause(kind: Kind, name: str) -> Brake:
    """Start nothing of this job type, or in this queue, until it is resumed. It takes effect within
    10 seconds. Raises UnknownJobType."""
    if kind is Kind.JOB_TYPE:
        registry().job(name)
    brake = _on(kind, name)
    if brake is None:
        brake = pauses.pause(kind, name)
        log.brake_set(brake)
    return brake


def resume(kind: Kind, name: str, send: Send) -> None:
    """Let go on what was held back. Nothing happens if it was not paused."""
    if _on(kind, name):
        log.brake_set(pauses.release(kind, name))
        pump(send, until=clock.now() + clock.MINUTE, most=_AT_ONCE)


def _on(kind: Kind, name: str) -> Brake | None:
    paused = pauses.brakes(fresh=True).paused()
    return next((brake for brake in paused if (brake.kind, brake.name) == (kind, name)), None)


def holds_back(message: JobMessage) -> bool:
    """Whether the message's job is paused; then it is held back."""
    if not pauses.brakes().may_hold(message.job_type):
        return False
    row = read(message.id)
    if row is None:
        return False
    brake = pauses.brakes().on(row)
    due = row.status is Status.QUEUED or (row.status.timed and _time_has_come(row))
    if brake is None or not due:
        return False  # what it is instead, the claim finds out
    hold(brake, row)
    return True


def hold(brake: Brake, row: JobRequest) -> None:
    """Hold back a job that a worker could start now. Raises PreconditionFailed."""
    pauses.hold(brake, row)  # first: an entry too many is dropped, one too few is missed
    verbs.park(row, due_at=clock.now() + LOOK)
    log.held_back(row, brake)


def hold_running(brake: Brake, row: JobRequest, reached: verbs.Reached) -> None:
    """Hold back a job that runs, from its checkpoint on. Raises PreconditionFailed."""
    pauses.hold(brake, row)
    ended = verbs.end_leg(row, reached, wait_until=clock.now() + LOOK)
    log.leg_over(ended)


def pump(send: Send, *, until: int, most: int) -> int:
    """Let go what released brakes hold back, the oldest first, until `until` (milliseconds since
    1970) or until `most` went; returns how many did."""
    gone = 0
    for brake in pauses.brakes().resuming():
        entries = list(pauses.held_by(brake, most - gone))
        for entry in entries:
            if clock.now() >= until:
                return gone
            row = read(entry.job_id)
            if row is not None and row.status is Status.WAITING:
                try:
                    let_go(row, send)
                except SendFailed as error:
                    log.left_for_later(error)  # the worker can't be reached; the row is due
                    return gone
                except PreconditionFailed as refused:
                    log.not_claimed(refused)  # cancelled, say
                gone += 1
            entry.delete()
        if not entries and clock.now() - brake.changed_at > _LINGER:
            pauses.forget(brake)
    return gone


def _time_has_come(row: JobRequest) -> bool:
    return (row.run_at or 0) <= clock.now() + verbs.EARLY


def let_go(row: JobRequest, send: Send) -> None:
    """Queue and send a job that was held back; or hold it back elsewhere, if another brake is on.

    Raises SendFailed (it is queued then, and due) and PreconditionFailed.
    """
    other = pauses.brakes().on(row)
    if other is not None:
        pauses.hold(other, row)
        verbs.postpone(row, clock.now() + LOOK)
        return
    send(JobMessage.about(verbs.admit(row)))
