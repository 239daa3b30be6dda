"""Decide what one due row needs, do it, and give the row a later due time."""

from collections.abc import Callable
from enum import StrEnum

import clock
from errors import Interrupted, JobRunnersError, JobTypeRemoved, NeverStarted, PauseExpired
from runners import admission, gates, pausing, telemetry
from runners.limits import limits_of
from runners.messages import JobMessage
from runners.registry import registry
from runners.retrying import error_record, record_failed_attempt
from runners.sending import Send, send_admitted_follower
from store import conditional_write, line_entries, pauses, verbs
from store.job_request import ROW_VERSION, JobRequest, Lane, Status
from store.lines import is_line
from store.queries import read
from work.definitions import DAY_IN_SECONDS, LONGEST_WAIT

# The longest gap between two checks of a row whose message was sent and that no worker has claimed.
LONGEST_GAP = clock.HOUR
# A row in the backlog is sent again after this long at the earliest, even if its deadline to start
# (`_start_deadline`) has passed.
_MIN_RESEND_DELAY = 10 * clock.MINUTE
# If no worker claims it, an admitted job, or a job between two legs, keeps its capacity this long.
_MAX_UNCLAIMED_TIME = clock.HOUR


class Disposition(StrEnum):
    """The action of a timer run on a row. The values are part of metric names: don't change them.

    Each comment gives the reason, then the action.
    """

    SENT = "sent"
    DEFERRED = "deferred"  # enough messages are waiting for workers: sent again later
    # Its type or queue is paused, its line has no capacity, or the job that it follows hasn't
    # ended: parked, or left parked.
    PARKED = "held back"
    ADMITTED = "let go"  # its pause, or the job that it followed, has ended: sent
    LEASED = "leased"  # it is running, and its lease isn't over: checked again when the lease ends
    RESCUED = "rescued"  # its lease is over: its attempt recorded as interrupted
    EARLY = "early"  # its run_at hasn't come: checked again then
    UNKNOWN = "unknown"  # this deploy doesn't know its type or its row version: checked again later
    EXPIRED = "expired"  # no worker could start it in time: failed
    BROKEN = "broken"  # it can't be read or handled: checked again in an hour
    MOVED = "moved"  # another process changed it after the index was read: left to that process


def process_due_row(
    index_row: JobRequest,
    send: Send,
    reserve_message: Callable[[bool], bool],
    admit_waiting: Callable[[str, str], None],
    *,
    until: int,
    ahead: int = 0,
) -> Disposition:
    """Handle a row that is due by `until`, as its status requires. Return the action.

    `index_row` has only the attributes of the index. `until` may be `ahead` milliseconds in the
    future. Running and parked rows are handled only if they are due `ahead` milliseconds before
    `until`.

    Before this function sends a row, it calls `reserve_message`, and sends only if that returns
    True. Its argument is True if the row must be sent even if there is a backlog. `admit_waiting`
    admits the jobs that wait in the line of a queue and key.

    Raises SendFailed if the message can't be sent, and PreconditionFailed if another process
    changes the row in the meantime. Either way the row has a due time, so a later run handles it.
    """
    row = read(index_row.id)
    ignores_ahead = row is not None and row.status in (Status.RUNNING, Status.WAITING)
    if row is None or row.due_at is None or row.due_at > until - (ahead if ignores_ahead else 0):
        return Disposition.MOVED  # the index lags behind the table, or the row needs no attention
    match row.status:
        case Status.RUNNING:
            return _process_running_row(row, send)
        case Status.WAITING:
            return _process_waiting_row(row, send, admit_waiting)
    if row.starts_in > verbs.CLAIM_TOLERANCE:
        verbs.postpone(row, (row.run_at or 0) + ahead, Lane.PROMPT)
        return Disposition.EARLY
    if (error := _expiry_error(row)) is not None:
        return _expire(row, error, send)
    if _is_unclaimable_here(row):
        # Even if this deploy doesn't know the job's type, other jobs need its slot.
        if row.row_version <= ROW_VERSION and _park_if_long_unclaimed(row, admit_waiting):
            return Disposition.PARKED
        verbs.postpone(row, _next_check_at(row) + ahead, Lane.PARKED)
        return Disposition.UNKNOWN
    if _park_if_paused_or_unclaimed(row, send, admit_waiting):
        return Disposition.PARKED
    if not reserve_message(_is_first_send(row)):
        verbs.postpone(row, _resend_at(row), Lane.QUEUED)
        return Disposition.DEFERRED
    verbs.postpone(row, _next_check_at(row) + ahead, Lane.RESENT)
    send(JobMessage.about(row))
    return Disposition.SENT


def _process_running_row(row: JobRequest, send: Send) -> Disposition:
    if row.lease_until is not None and row.lease_until >= clock.now():
        verbs.postpone(row, row.lease_until, Lane.PROMPT)
        return Disposition.LEASED
    error = Interrupted("its worker stopped without reporting an outcome")
    try:
        ended = record_failed_attempt(row, error, send, rescue=True)
        telemetry.settled(ended, error)
        send_admitted_follower(ended, send)
    finally:  # even if the response was lost, the write may have freed the slot
        admission.admit_waiting_after(row, send)
    return Disposition.RESCUED


def _process_waiting_row(
    row: JobRequest, send: Send, admit_waiting: Callable[[str, str], None]
) -> Disposition:
    """Admit a parked job that should have been admitted, or fail one that has waited too long."""
    if clock.now() - (row.waiting_since or 0) > LONGEST_WAIT * clock.SECOND:
        return _expire(row, _waited_too_long(row), send)
    if row.follows is not None:
        from runners import unique_work  # imported here because most timer runs don't need it

        is_over = unique_work.admit_if_holder_ended(row, send)
        return Disposition.ADMITTED if is_over else Disposition.PARKED
    if not is_line(row.held_by):
        return Disposition.ADMITTED if pausing.admit_or_keep(row, send) else Disposition.PARKED
    # If the job has no entry in its line, for example because it was quarantined, add it again.
    if row.row_version <= ROW_VERSION and not line_entries.has_entry(row):
        verbs.restore_entry(row, due_at=pausing.next_check(row))
        admit_waiting(row.queue_name, gates.line_key(row))
        return Disposition.PARKED
    admit_waiting(row.queue_name, gates.line_key(row))
    verbs.postpone(row, pausing.next_check(row), Lane.PARKED)  # refused if it was just admitted
    return Disposition.PARKED


def _waited_too_long(row: JobRequest) -> JobRunnersError:
    days = LONGEST_WAIT / DAY_IN_SECONDS
    return PauseExpired(days, in_line=row.wait_key is not None, behind=row.follows is not None)


def _park_if_paused_or_unclaimed(
    row: JobRequest, send: Send, admit_waiting: Callable[[str, str], None]
) -> bool:
    """Park a job that is paused or long unclaimed. Return whether it was parked."""
    if pause := pauses.current().on(row):
        pausing.park(pause, row, send=send)
        return True
    return _park_if_long_unclaimed(row, admit_waiting)


def _park_if_long_unclaimed(row: JobRequest, admit_waiting: Callable[[str, str], None]) -> bool:
    """Park a job if no worker has claimed it for too long after its admission.

    The job goes to the end of its line, and its slot goes to the next job. Return whether the job
    was parked.
    """
    if row.admitted_at is None or clock.now() - row.admitted_at < _MAX_UNCLAIMED_TIME:
        return False
    limits = limits_of(row.queue_name)
    if limits is None:
        return False
    key = gates.line_key(row)
    try:
        gates.park_in_line(row, key, limits)
    finally:
        admit_waiting(row.queue_name, key)
    return True


def _expire(row: JobRequest, error: JobRunnersError, send: Send) -> Disposition:
    try:
        ended = verbs.expire(row, error_record(error))
        telemetry.settled(ended, error)
        send_admitted_follower(ended, send)
    finally:
        # A waiting row has no slot to free, and the jobs behind it have due times of their own.
        if row.status is not Status.WAITING:
            admission.admit_waiting_after(row, send)
    return Disposition.EXPIRED


def _expiry_error(row: JobRequest) -> JobRunnersError | None:
    """Return the error with which a job expires, or None if it may still start.

    The job expires if it never started within its `start_within`. It also expires if it had begun,
    this deploy doesn't know its type, and LONGEST_WAIT has passed since it was last queued or
    claimed.
    """
    unknown = row.job_type not in registry().jobs
    if row.legs == 0 and clock.now() > _start_deadline(row):
        return NeverStarted(_start_within(row), unknown=row.job_type if unknown else None)
    since = max(row.could_run_at, row.started_at or 0)
    if unknown and clock.now() - since > LONGEST_WAIT * clock.SECOND:
        return JobTypeRemoved(row.job_type, LONGEST_WAIT / DAY_IN_SECONDS)
    return None


def _is_unclaimable_here(row: JobRequest) -> bool:
    """Return whether no worker of this deploy could claim the row.

    A message about it would take one of the limited sends from a job that can be claimed.
    """
    return row.job_type not in registry().jobs or row.row_version > ROW_VERSION


def _is_first_send(row: JobRequest) -> bool:
    """Return whether the timer sends the row for the first time, not to replace an earlier message.

    Such a row is sent now, however large the backlog is. The lane alone doesn't show it, because an
    older version used only the PROMPT lane. But a row that was sent before has a later due time.
    """
    lane = (row.due_shard or "").rstrip("0123456789")
    queued_at = max(row.could_run_at, row.admitted_at or 0)
    return lane == Lane.PROMPT and (row.due_at or 0) <= queued_at + conditional_write.GRACE


def _start_within(row: JobRequest) -> float:
    known = registry().jobs.get(row.job_type)
    return known.start_within if known else DAY_IN_SECONDS


def _start_deadline(row: JobRequest) -> int:
    return row.could_run_at + int(_start_within(row) * clock.SECOND)


def _next_check_at(row: JobRequest) -> int:
    """Return when to check the row next.

    The gap grows with the time that the row has waited. So the cost of unclaimed rows depends on
    their number, and hardly on how long they wait.
    """
    now = clock.now()
    gap = min(max(now - row.could_run_at, conditional_write.GRACE), LONGEST_GAP)
    if row.admitted_at is not None:  # at the latest when the job loses its capacity
        gap = min(gap, max(row.admitted_at + _MAX_UNCLAIMED_TIME - now, conditional_write.GRACE))
    return now + gap


def _resend_at(row: JobRequest) -> int:
    """Return when a row in the backlog is sent again at the latest.

    This time also orders the backlog: rows with an earlier deadline to start are sent first.
    """
    soonest, latest = clock.now() + _MIN_RESEND_DELAY, clock.now() + clock.DAY
    return min(max(_start_deadline(row), soonest), latest)
