"""Decide what one due row needs, do it, and move the row so that it isn't due again at once."""

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
# A row in the backlog is sent again after this long at the earliest, even if its time to start has
# passed.
_MIN_RESEND_DELAY = 10 * clock.MINUTE
# How long an admitted job, or a job between two legs, keeps its capacity without being claimed.
_MAX_UNCLAIMED_TIME = clock.HOUR


class Disposition(StrEnum):
    """What a timer run did with a row. The values are part of metric names: don't change them."""

    SENT = "sent"
    DEFERRED = "deferred"  # enough messages are waiting for workers: sent again later
    PARKED = "held back"  # its type or queue is paused, or its queue has no capacity
    ADMITTED = "let go"  # its pause, or the job that it followed, has ended: sent
    LEASED = "leased"  # running and alive: checked again when its lease ends
    RESCUED = "rescued"  # its lease is over: the attempt was recorded as interrupted
    EARLY = "early"  # checked again at its run_at
    UNKNOWN = "unknown"  # this deploy doesn't know its type or its row version: checked again later
    EXPIRED = "expired"  # no worker could start it in time: failed
    BROKEN = "broken"  # it could not be read or handled: checked again in an hour
    MOVED = "moved"  # another process changed it after the index was read


def process_due_row(
    key: JobRequest,
    send: Send,
    reserve_message: Callable[[bool], bool],
    admit_waiting: Callable[[str, str], None],
    *,
    until: int,
    ahead: int = 0,
) -> Disposition:
    """Handle a row that is due by `until`, as its status requires, and return what was done.

    For a row that only waits for its message, `until` is `ahead` later than now. The function calls
    `reserve_message` before it sends a row, and sends only if that returns True. The argument says
    whether the row must be sent even if there is a backlog. `admit_waiting` admits the jobs that
    wait in the line of a queue and key.

    Raises PreconditionFailed if another process changes the row in the meantime, and SendFailed. In
    both cases the row is due again.
    """
    row = read(key.id)
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
    if (error := _too_late(row)) is not None:
        return _expire(row, error, send)
    if _is_unclaimable_here(row):
        if row.row_version <= ROW_VERSION and _park_if_long_unclaimed(row, admit_waiting):
            return Disposition.PARKED  # this deploy doesn't know its type, and others need its slot
        verbs.postpone(row, _next_check_at(row) + ahead, Lane.PARKED)
        return Disposition.UNKNOWN
    if _park_if_blocked(row, send, admit_waiting):
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
    finally:  # the write may have freed the slot even if its response was lost
        admission.admit_waiting_after(row, send)
    return Disposition.RESCUED


def _process_waiting_row(
    row: JobRequest, send: Send, admit_waiting: Callable[[str, str], None]
) -> Disposition:
    """Admit a parked job that should have been admitted, or fail one that has waited too long."""
    if clock.now() - (row.waiting_since or 0) > LONGEST_WAIT * clock.SECOND:
        return _expire(row, _pause_expired(row), send)
    if row.follows is not None:
        from runners import unique_work  # imported here because most timer runs don't need it

        is_over = unique_work.admit_if_holder_ended(row, send)
        return Disposition.ADMITTED if is_over else Disposition.PARKED
    if not is_line(row.held_by):
        return Disposition.ADMITTED if pausing.admit_or_keep(row, send) else Disposition.PARKED
    if row.row_version <= ROW_VERSION and not line_entries.is_listed(row):
        verbs.list_again(row, due_at=pausing.next_check(row))
        admit_waiting(row.queue_name, gates.line_key(row))
        return Disposition.PARKED
    admit_waiting(row.queue_name, gates.line_key(row))
    verbs.postpone(row, pausing.next_check(row), Lane.PARKED)  # refused if it was just admitted
    return Disposition.PARKED


def _pause_expired(row: JobRequest) -> JobRunnersError:
    days = LONGEST_WAIT / DAY_IN_SECONDS
    return PauseExpired(days, in_line=row.wait_key is not None, behind=row.follows is not None)


def _park_if_blocked(
    row: JobRequest, send: Send, admit_waiting: Callable[[str, str], None]
) -> bool:
    """Park a job that is paused or long unclaimed. Return whether it was parked."""
    if paused := pauses.current().on(row):
        pausing.park(paused, row, send=send)
        return True
    return _park_if_long_unclaimed(row, admit_waiting)


def _park_if_long_unclaimed(row: JobRequest, admit_waiting: Callable[[str, str], None]) -> bool:
    """Park a job that has gone unclaimed too long since it was admitted. Return whether it was.

    The job goes to the end of its line, and its slot goes to the next job.
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
        # The jobs behind a waiting row have waited as long as it has, and are due themselves.
        if row.status is not Status.WAITING:
            admission.admit_waiting_after(row, send)
    return Disposition.EXPIRED


def _too_late(row: JobRequest) -> JobRunnersError | None:
    """Return the error that a job ends with because its time is over; None if it may still start.

    Either it never started within its `start_within`. Or it had begun, and no deploy has known its
    type for as long as a job may wait.
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

    A message about it would only take capacity from a job that can be claimed.
    """
    return row.job_type not in registry().jobs or row.row_version > ROW_VERSION


def _is_first_send(row: JobRequest) -> bool:
    """Return whether the timer sends the row for the first time, not to replace an earlier message.

    Such a row is sent now, however large the backlog is. A row in this lane may come from an older
    version, which may have sent it before.
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

    The gap doubles with each check. So unclaimed rows cost in proportion to their number, not to
    the minutes that they wait.
    """
    now = clock.now()
    gap = min(max(now - row.could_run_at, conditional_write.GRACE), LONGEST_GAP)
    if row.admitted_at is not None:  # no later than the moment it loses its capacity
        gap = min(gap, max(row.admitted_at + _MAX_UNCLAIMED_TIME - now, conditional_write.GRACE))
    return now + gap


def _resend_at(row: JobRequest) -> int:
    """Return when a row in the backlog is sent again at the latest.

    The time is also its position in the backlog: rows with an earlier deadline are sent first.
    """
    soonest, latest = clock.now() + _MIN_RESEND_DELAY, clock.now() + clock.DAY
    return min(max(_start_deadline(row), soonest), latest)
