"""Decide what a due row needs. These functions only compute: `due_row` does the rest."""

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
from job_runners.work.definitions import DAY_IN_SECONDS, LONGEST_WAIT

# The longest gap between two checks of a row whose message was sent and that no worker has claimed.
LONGEST_GAP = clock.HOUR
# If too many messages wait for workers, a due row goes into the backlog. It becomes due again no
# sooner than after this time, even if its start deadline (`_start_deadline`) has passed.
_MIN_RESEND_DELAY = 10 * clock.MINUTE
# An admitted job, or a job between two invocations, keeps its capacity this long if no worker
# claims it.
_MAX_UNCLAIMED_TIME = clock.HOUR


class Disposition(Enum):
    """How a timer run handled a row. Each comment gives the reason, then the action."""

    SENT = auto()
    DEFERRED = auto()  # enough messages are waiting for workers: sent again later
    # Its type or queue is paused, its line has no capacity, or the job that it follows hasn't
    # ended: held, or left held.
    HELD = auto()
    ADMITTED = auto()  # its pause, or the job that it followed, has ended: sent
    LEASED = auto()  # it is running, and its lease isn't over: checked again when the lease ends
    RESCUED = auto()  # its lease is over: its attempt recorded as interrupted
    EARLY = auto()  # its run_at hasn't come: checked again then
    UNKNOWN = auto()  # this deploy doesn't know its type or its row version: checked again later
    EXPIRED = auto()  # no worker could start it in time: failed
    BROKEN = auto()  # it can't be read or handled: checked again in an hour
    MOVED = auto()  # another process changed it after the index was read: left to that process


class Facts(Value):
    """The facts that the decision about a row depends on, in addition to the row."""

    now: int
    starts_in: int  # the milliseconds until its start time, or 0
    is_known: bool  # this deploy knows the row's type
    start_within: float
    # The next two are None for a row that runs or is held.
    pause: Pause | None  # the active pause of its type or queue
    limits: Limits | None  # those of its queue, if the row `is_long_unclaimed`
    ahead: int = 0  # the run handles queued rows this many milliseconds before they are due


class Action(Enum):
    """A decision that carries no data."""

    RESCUE = "record its attempt as interrupted"
    ADMIT_FOLLOWER = "admit it if the job that it follows has ended"
    ADMIT_FROM_PAUSE = "admit it if its pause has ended"
    ADMIT_LINE = "admit the waiting jobs of its line"
    LOOK_AT_GROUP = "admit it if all members of its group have ended"
    ADMIT_UNSIGNALED = "admit it, because the signal that it waits for hasn't come in time"


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

    is_first: bool  # the job's first message is sent even if too many wait
    next_check_at: int
    resend_at: int


Decision = Action | Postpone | Expire | Hold | HoldInLine | SendMessage


def is_due(row: JobRequest, until: int, ahead: int) -> bool:
    """Return whether a row is due by `until`.

    `until` includes `ahead`, the milliseconds by which unclaimed rows are handled early. Running
    and held rows must be due without it.
    """
    ignores_ahead = row.status in (Status.RUNNING, Status.WAITING)
    return row.due_at is not None and row.due_at <= until - (ahead if ignores_ahead else 0)


def is_long_unclaimed(row: JobRequest, now: int) -> bool:
    """Return whether an admitted job stayed unclaimed for so long that it loses its capacity."""
    return row.admitted_at is not None and now - row.admitted_at >= _MAX_UNCLAIMED_TIME


def decide(row: JobRequest, facts: Facts) -> Decision:
    """Return the decision about a due row."""
    match row.status:
        case Status.RUNNING:
            return _decide_running(row, facts)
        case Status.WAITING:
            return _decide_waiting(row, facts)
    return _decide_unclaimed(row, facts)


def _decide_running(row: JobRequest, facts: Facts) -> Decision:
    if row.lease_until is not None and row.lease_until >= facts.now:
        return Postpone(Disposition.LEASED, row.lease_until, Lane.PROMPT)
    return Action.RESCUE


def _decide_waiting(row: JobRequest, facts: Facts) -> Decision:
    """Admit a held job that should have been admitted, or fail one that has waited too long."""
    if row.awaits_signal:
        until = (row.current_wait or {}).get("until", 0)
        if facts.now < until:
            return Postpone(Disposition.HELD, until, Lane.WAITS)
        return Action.ADMIT_UNSIGNALED
    if row.awaits_group:
        wait = row.current_wait or {}
        if facts.now >= wait.get("until", 0) and not row.cancel_members:
            return Expire(GroupExpired((facts.now - wait.get("since", 0)) // clock.DAY))
        return Action.LOOK_AT_GROUP
    if facts.now - (row.waiting_since or 0) > LONGEST_WAIT * clock.SECOND:
        return Expire(_waited_too_long(row))
    if row.follows is not None:
        return Action.ADMIT_FOLLOWER
    return Action.ADMIT_LINE if is_line(row.held_by) else Action.ADMIT_FROM_PAUSE


def _decide_unclaimed(row: JobRequest, facts: Facts) -> Decision:
    """Send a job that waits for its message, unless it can't start now."""
    if facts.starts_in > transitions.CLAIM_TOLERANCE:
        return Postpone(Disposition.EARLY, (row.run_at or 0) + facts.ahead, Lane.PROMPT)
    if (error := _expiry_error(row, facts)) is not None:
        return Expire(error)
    can_change = row.row_version <= ROW_VERSION
    can_start = can_change and facts.is_known
    if can_start and facts.pause is not None:
        return Hold(facts.pause)
    # Hold even a job whose type this deploy doesn't know, because other jobs need its slot.
    if can_change and facts.limits is not None:
        return HoldInLine(facts.limits)
    next_check_at = _next_check_at(row, facts.now) + facts.ahead
    # A message that no worker of this deploy could claim would take one away from another job.
    if not can_start:
        return Postpone(Disposition.UNKNOWN, next_check_at, Lane.HELD)
    return SendMessage(_is_first_send(row), next_check_at, _resend_at(row, facts))


def _waited_too_long(row: JobRequest) -> JobRunnersError:
    days = LONGEST_WAIT / DAY_IN_SECONDS
    return PauseExpired(days, in_line=row.wait_key is not None, is_follower=row.follows is not None)


def _expiry_error(row: JobRequest, facts: Facts) -> JobRunnersError | None:
    """Return the error with which a job expires, or None if it may still start.

    A job that has not begun expires after its `start_within`. A job that has begun expires if this
    deploy doesn't know its type, and LONGEST_WAIT has passed since it was last queued or claimed.
    """
    if row.invocations == 0 and facts.now > _start_deadline(row, facts):
        unknown = None if facts.is_known else row.job_type
        return NeverStarted(facts.start_within, missing_type=unknown)
    since = max(row.could_run_at, row.started_at or 0)
    if not facts.is_known and facts.now - since > LONGEST_WAIT * clock.SECOND:
        return JobTypeRemoved(row.job_type, LONGEST_WAIT / DAY_IN_SECONDS)
    return None


def _is_first_send(row: JobRequest) -> bool:
    """Return whether the timer sends this row for the first time, and replaces no earlier message.

    Such a row is sent now, however large the backlog is.
    """
    return (row.due_shard or "").rstrip("0123456789") == Lane.PROMPT


def _start_deadline(row: JobRequest, facts: Facts) -> int:
    return row.could_run_at + int(facts.start_within * clock.SECOND)


def _next_check_at(row: JobRequest, now: int) -> int:
    """Return when to check the row next.

    The gap grows with the time that the row has waited. So the cost of unclaimed rows depends on
    their number, and hardly on how long they wait.

    An admitted job is checked no later than when it should lose its capacity. After that, the gap
    isn't shortened: the job could not be held, for example because its queue no longer has
    limits.
    """
    gap = min(max(now - row.could_run_at, conditional_write.GRACE), LONGEST_GAP)
    if row.admitted_at is not None and not is_long_unclaimed(row, now):
        gap = min(gap, max(row.admitted_at + _MAX_UNCLAIMED_TIME - now, conditional_write.GRACE))
    return now + gap


def _resend_at(row: JobRequest, facts: Facts) -> int:
    """Return when a row that goes into the backlog is due again.

    This time also orders the backlog: rows with an earlier start deadline are sent first.
    """
    soonest, latest = facts.now + _MIN_RESEND_DELAY, facts.now + clock.DAY
    return min(max(_start_deadline(row, facts), soonest), latest)
