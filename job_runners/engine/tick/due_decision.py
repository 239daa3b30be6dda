"""Decide what the timer does with a due row.

These functions only compute. `job_runners.engine.tick.due_row` reads the row and acts on the
decision. Jobs of a queue with limits wait in a *line*. A job is *held* while it waits in a line,
under a pause or for another job, and *admitted* when it may continue. It has *capacity* if it has a
slot of its queue, or a start that was counted under the queue's rate.
"""

from enum import Enum, auto

from job_runners import clock
from job_runners.errors import (
    GroupExpired,
    JobRunnersError,
    JobTypeRemoved,
    NeverStarted,
    PauseExpired,
)
from job_runners.store import conditional_write, transitions
from job_runners.store.job_request import ROW_VERSION, JobRequest, Lane, Status
from job_runners.store.limits import Limits
from job_runners.store.lines import is_line
from job_runners.store.pauses import Pause
from job_runners.values import Value
from job_runners.work.definitions import DAY_IN_SECONDS, MAX_WAIT

# The longest gap between two checks of a row whose message was sent and that no worker has claimed.
MAX_CHECK_GAP = clock.HOUR
# If too many messages wait for workers, a due row is postponed by at least this time, even if its
# start deadline (`_start_deadline`) has passed. It is then in the *backlog*.
_MIN_RESEND_DELAY = 10 * clock.MINUTE
# How long an admitted job, or a job between two invocations, keeps its capacity before a worker
# claims it.
_MAX_UNCLAIMED_TIME = clock.HOUR


class Disposition(Enum):
    """How a timer run handled a row."""

    SENT = auto()
    DEFERRED = auto()  # postponed, because enough messages are waiting for workers
    # Held, or left held, because its type or queue is paused, its line has no capacity, or the job
    # that it follows hasn't ended.
    HELD = auto()
    ADMITTED = auto()  # sent, because its pause or the job that it followed has ended
    LEASED = auto()  # postponed to the end of its lease, because it is running
    RESCUED = auto()  # recorded as interrupted, because its lease is over
    EARLY = auto()  # postponed to its start time
    UNKNOWN = auto()  # postponed, because this deploy doesn't know its type or row version
    EXPIRED = auto()  # failed, because no worker could start it in time
    BROKEN = auto()  # postponed by an hour, because it can't be read or handled
    MOVED = auto()  # ignored, because another process changed it after the index was read


class DecisionInput(Value):
    """The data that the decision about a row depends on, in addition to the row."""

    now: int
    starts_in: int  # the milliseconds until its start time, or 0
    is_known: bool  # whether this deploy knows the row's type
    start_within: float  # how many seconds after it could run the job expires
    # A row that runs or is held has neither a pause nor limits here.
    pause: Pause | None  # the active pause of its type or queue
    limits: Limits | None  # the limits of its queue, if the row `is_long_unclaimed`
    ahead: int = 0  # how many milliseconds before its due time a queued row is handled


class Action(Enum):
    """A decision without any data."""

    RESCUE = "record its attempt as interrupted"
    ADMIT_FOLLOWER = "admit it if the job that it follows has ended"
    ADMIT_FROM_PAUSE = "admit it if its pause has ended"
    ADMIT_LINE = "admit the waiting jobs of its line"
    CHECK_GROUP = "admit it if all members of its group have ended"
    ADMIT_UNSIGNALED = "admit it, because the signal that it waits for didn't arrive in time"


class Postpone(Value):
    """Check the row again at `due_at`, and do nothing else."""

    disposition: Disposition
    due_at: int
    lane: Lane


class Expire(Value):
    """Fail the job with this error."""

    error: JobRunnersError


class Hold(Value):
    """Hold the job under this pause."""

    pause: Pause


class HoldInLine(Value):
    """Hold the job at the end of its line, so that its slot goes to the next job."""

    limits: Limits


class SendMessage(Value):
    """Send a message now, or at `resend_at` if too many messages are waiting for workers."""

    is_first: bool  # no message was sent before, so send one now even if too many wait
    next_check_at: int
    resend_at: int


Decision = Action | Postpone | Expire | Hold | HoldInLine | SendMessage


def is_due(row: JobRequest, until: int, ahead: int) -> bool:
    """Return whether a row is due by `until`.

    `until` includes `ahead`, the milliseconds by which unclaimed rows are handled early. Running
    and waiting rows aren't handled early.
    """
    if row.status in (Status.RUNNING, Status.WAITING):
        until -= ahead
    return row.due_at is not None and row.due_at <= until


def is_long_unclaimed(row: JobRequest, now: int) -> bool:
    """Return whether an admitted job has been unclaimed for so long that it loses its capacity."""
    return row.admitted_at is not None and now - row.admitted_at >= _MAX_UNCLAIMED_TIME


def decide(row: JobRequest, inputs: DecisionInput) -> Decision:
    """Return the decision about a due row."""
    match row.status:
        case Status.RUNNING:
            return _decide_running(row, inputs)
        case Status.WAITING:
            return _decide_waiting(row, inputs)
    return _decide_unclaimed(row, inputs)


def _decide_running(row: JobRequest, inputs: DecisionInput) -> Decision:
    if row.lease_until is not None and row.lease_until >= inputs.now:
        return Postpone(Disposition.LEASED, row.lease_until, Lane.PROMPT)
    return Action.RESCUE


def _decide_waiting(row: JobRequest, inputs: DecisionInput) -> Decision:
    """Admit a held job that should have been admitted, or fail one that has waited too long."""
    if row.awaits_signal:
        until = (row.current_wait or {}).get("until", 0)
        if inputs.now < until:
            return Postpone(Disposition.HELD, until, Lane.WAITS)
        return Action.ADMIT_UNSIGNALED
    if row.awaits_group:
        wait = row.current_wait or {}
        if inputs.now >= wait.get("until", 0) and not row.cancel_members:
            return Expire(GroupExpired((inputs.now - wait.get("since", 0)) // clock.DAY))
        return Action.CHECK_GROUP
    if inputs.now - (row.waiting_since or 0) > MAX_WAIT * clock.SECOND:
        return Expire(_waited_too_long(row))
    if row.follows is not None:
        return Action.ADMIT_FOLLOWER
    return Action.ADMIT_LINE if is_line(row.held_by) else Action.ADMIT_FROM_PAUSE


def _decide_unclaimed(row: JobRequest, inputs: DecisionInput) -> Decision:
    """Send a job that waits for its message, unless it can't start now."""
    if inputs.starts_in > transitions.CLAIM_TOLERANCE:
        return Postpone(Disposition.EARLY, (row.run_at or 0) + inputs.ahead, Lane.PROMPT)
    error = _expiry_error(row, inputs)
    if error is not None:
        return Expire(error)
    can_change = row.row_version <= ROW_VERSION
    can_start = can_change and inputs.is_known
    if can_start and inputs.pause is not None:
        return Hold(inputs.pause)
    # Hold the job even if this deploy doesn't know its type, because other jobs need its slot.
    if can_change and inputs.limits is not None:
        return HoldInLine(inputs.limits)
    next_check_at = _next_check_at(row, inputs.now) + inputs.ahead
    # No worker of this deploy could claim the job, so don't spend a message on it.
    if not can_start:
        return Postpone(Disposition.UNKNOWN, next_check_at, Lane.HELD)
    return SendMessage(_is_first_send(row), next_check_at, _resend_at(row, inputs))


def _waited_too_long(row: JobRequest) -> JobRunnersError:
    days = MAX_WAIT / DAY_IN_SECONDS
    return PauseExpired(days, in_line=row.wait_key is not None, is_follower=row.follows is not None)


def _expiry_error(row: JobRequest, inputs: DecisionInput) -> JobRunnersError | None:
    """Return the error with which a job expires, or None if it may still start.

    A job that has not begun expires after its `start_within`. A job that has begun expires if this
    deploy doesn't know its type, and MAX_WAIT has passed since it was last queued or claimed.
    """
    if row.invocations == 0 and inputs.now > _start_deadline(row, inputs):
        unknown_type = None if inputs.is_known else row.job_type
        return NeverStarted(inputs.start_within, missing_type=unknown_type)
    since = max(row.could_run_at, row.started_at or 0)
    if not inputs.is_known and inputs.now - since > MAX_WAIT * clock.SECOND:
        return JobTypeRemoved(row.job_type, MAX_WAIT / DAY_IN_SECONDS)
    return None


def _is_first_send(row: JobRequest) -> bool:
    """Return whether no message about this row was sent before.

    Such a row is sent now, however many messages wait for workers.
    """
    return (row.due_shard or "").rstrip("0123456789") == Lane.PROMPT


def _start_deadline(row: JobRequest, inputs: DecisionInput) -> int:
    return row.could_run_at + int(inputs.start_within * clock.SECOND)


def _next_check_at(row: JobRequest, now: int) -> int:
    """Return when to check an unclaimed row next.

    The gap grows with the time that the row has waited, so that rows that wait long cost little.
    But an admitted job is checked when it should lose its capacity. (It keeps its capacity after
    that time if, for example, its queue no longer has limits.)
    """
    gap = min(max(now - row.could_run_at, conditional_write.GRACE), MAX_CHECK_GAP)
    if row.admitted_at is not None and not is_long_unclaimed(row, now):
        gap = min(gap, max(row.admitted_at + _MAX_UNCLAIMED_TIME - now, conditional_write.GRACE))
    return now + gap


def _resend_at(row: JobRequest, inputs: DecisionInput) -> int:
    """Return when a row that goes into the backlog is due again.

    This time also orders the backlog: rows with an earlier start deadline are sent first.
    """
    earliest = inputs.now + _MIN_RESEND_DELAY
    latest = inputs.now + clock.DAY
    return min(max(_start_deadline(row, inputs), earliest), latest)
