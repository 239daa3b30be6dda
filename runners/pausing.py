"""Pause and resume: a brake on a job type or a queue.

What is paused is not started: the worker holds it back when its message arrives; what runs waits
from its next checkpoint on, if it has a cursor to resume from. When the brake is released, what it
held goes on in the order in which it was created, as fast as one invocation after the other can
send it; what is dispatched meanwhile does not queue up behind it.
"""

from pynamodb.exceptions import PynamoDBException

import clock
from aws.errors import conflicts
from errors import PreconditionFailed, SendFailed, TooManyPaused
from runners import telemetry
from runners.base import Send
from runners.messages import JobMessage
from runners.registry import registry
from store import pauses, verbs
from store.job_request import JobRequest, Lane, Status
from store.pauses import Brake, Held, Kind
from store.queries import read
from work import context

# How soon the timer looks again at a job that is held back: its brake knows of it, so this only
# makes sure. The time it has waited so far, within these.
_SOONEST_LOOK = clock.HOUR
_LATEST_LOOK = clock.DAY
# How long a released brake is kept: a worker that has not heard of it, or whose clock differs, may
# yet hold something back.
_LINGER = verbs.SKEW + 6 * pauses.CACHED
_AT_ONCE = 25  # jobs that a resume lets go itself; the rest is the timer's
_RESUME_TIME = 10 * clock.SECOND  # of the request that resumes
_BRAKES_AT_MOST = 100  # every worker reads them all


def pause(kind: Kind, name: str) -> Brake:
    """Start nothing of this job type, or in this queue, until it is resumed. It takes effect within
    10 seconds. Raises UnknownJobType, TooManyPaused."""
    if kind is Kind.JOB_TYPE:
        registry().job(name)
    brakes = pauses.brakes(fresh=True)
    brake = brakes.find(kind, name)
    if brake is not None:
        return brake
    if len(brakes.all) >= _BRAKES_AT_MOST:
        raise TooManyPaused(_BRAKES_AT_MOST)
    brake = pauses.pause(kind, name, by=context.recorded_author())
    telemetry.brake_set(brake)
    return brake


def resume(kind: Kind, name: str, send: Send) -> None:
    """Let go on what was held back. Nothing happens if it was not paused."""
    if pauses.brakes(fresh=True).find(kind, name):
        telemetry.brake_set(pauses.release(kind, name, by=context.recorded_author()))
        pump(send, until=clock.now() + _RESUME_TIME, most=_AT_ONCE)


def holds_back(message: JobMessage) -> bool:
    """Whether the message's job is paused; then it is held back. Raises PreconditionFailed."""
    if not pauses.brakes().may_hold(message.job_type):
        return False
    row = read(message.id)
    if row is None or not _could_start(row):
        return False  # what it is instead, the claim finds out
    brake = pauses.brake_on(row)
    if brake is None:
        return False
    hold(brake, row)
    return True


def hold(brake: Brake, row: JobRequest, reached: verbs.Checkpoint | None = None) -> None:
    """Hold back a job that could start now, or that runs under our claim and has `reached` this
    far. Raises PreconditionFailed."""
    telemetry.held_back(verbs.park(row, brake, due_at=_next_look(row), reached=reached), brake)


def let_go(row: JobRequest, send: Send) -> bool:
    """Queue and send a job that was held back, unless a brake is on; returns whether it went.

    Raises PreconditionFailed, and SendFailed, when it is queued all the same, and due.
    """
    brake = pauses.brakes().on(row)
    if brake is None:
        send(JobMessage.about(verbs.admit(row)))
        return True
    if brake.sk == row.held_by:
        verbs.postpone(row, _next_look(row), Lane.PARKED)
    else:
        hold(brake, row)
    return False


def pump(send: Send, *, until: int, most: int) -> int:
    """Let go what released brakes hold back, the oldest first, until `until` (milliseconds since
    1970) or until `most` went; returns how many did."""
    gone = 0
    for brake in pauses.brakes().resuming():
        if gone >= most or clock.now() >= until:
            break
        try:
            gone += _pump(brake, send, until, most - gone)
        except SendFailed as error:
            telemetry.not_sent(error)  # the worker can't be reached: the rest can wait
            break
        except Exception as error:  # noqa: BLE001 - one brake must not keep the others waiting
            telemetry.crashed(error)
    return gone


def _pump(brake: Brake, send: Send, until: int, most: int) -> int:
    # A few even where one may go: what can't be dealt with must not keep the next ones waiting.
    entries = list(pauses.held_by(brake, max(most, _AT_ONCE)))
    gone = 0
    for entry in entries:
        if clock.now() >= until or gone >= most:
            return gone
        try:
            if _go_on(entry, brake, send):
                gone += 1
            elif pauses.brakes().find(brake.kind, brake.name):
                return gone  # it is on again
        except PreconditionFailed as refused:
            telemetry.moved(refused)  # by whoever has it: what is left of its entry is met again
        except (TypeError, ValueError) as error:
            telemetry.crashed(error)  # of newer code, say
        except PynamoDBException as error:
            if not conflicts(error):
                raise
            telemetry.moved(error)  # another pump has it in hand
    if not entries and clock.now() - brake.changed_at > _LINGER:
        pauses.forget(brake)
    return gone


def _go_on(entry: Held, brake: Brake, send: Send) -> bool:
    """Let a job go that this released brake holds back, unless a brake is on; whether it went."""
    row = read(entry.job_id)
    if row is None or row.status is not Status.WAITING or row.held_by != brake.sk:
        pauses.drop(entry)
        return False
    return let_go(row, send)


def _could_start(row: JobRequest) -> bool:
    return (row.status is Status.QUEUED or row.status.timed) and row.early <= verbs.CLAIM_TOLERANCE


def _next_look(row: JobRequest) -> int:
    waited = clock.now() - (row.waiting_since or clock.now())
    return clock.now() + min(max(waited, _SOONEST_LOOK), _LATEST_LOOK)
