"""What is done about one due row, by its status as it is now: it is always moved or removed."""

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

LONGEST_GAP = clock.HOUR  # between two looks at a row that was sent and is not claimed yet
# A row's turn comes no sooner than this from now, even if its time to start is over.
_SOONEST_TURN = 10 * clock.MINUTE
# How long a job that was let on in its queue, or is between two legs, keeps its room there.
_LONGEST_UNCLAIMED = clock.HOUR


class Disposition(StrEnum):
    """What a tick did about a row."""

    SENT = "sent"
    DEFERRED = "deferred"  # enough wait at the workers: it is sent when its turn comes
    PARKED = "held back"  # its type or queue is paused, or its queue has no room
    ADMITTED = "let go"  # after a pause
    LEASED = "leased"  # running and alive: looked at again when its lease is over
    RESCUED = "rescued"
    EARLY = "early"  # looked at again at its time
    UNKNOWN = "unknown"  # no deploy here knows it, or not yet: looked at again later
    EXPIRED = "expired"  # nobody could start it in time: failed
    BROKEN = "broken"  # could not be read, or not be dealt with: looked at again in an hour
    MOVED = "moved"  # changed between the index and us, by whoever has it


def process_due_row(
    key: JobRequest,
    send: Send,
    has_room: Callable[[bool], bool],
    admit_waiting: Callable[[str, str], None],
    *,
    until: int,
    ahead: int = 0,
) -> Disposition:
    """Read a row that is due by `until`, do what its status asks for, and return what was done.

    For a row that only waits to be sent, `until` is `ahead` later than now. `has_room` is asked
    before a row is sent, and told whether the row is sent whatever the answer. `admit_waiting`
    admits the jobs that wait in the line of a queue and key. Raises PreconditionFailed if another
    process moves the row in the meantime, and SendFailed: then it is due again.
    """
    row = read(key.id)
    timed = row is not None and row.status in (Status.RUNNING, Status.WAITING)
    if row is None or row.due_at is None or row.due_at > until - (ahead if timed else 0):
        return Disposition.MOVED  # the index lags behind the table, or it is no waiting row
    match row.status:
        case Status.RUNNING:
            return _process_running_row(row, send)
        case Status.WAITING:
            return _process_waiting_row(row, send, admit_waiting)
    if row.starts_in > verbs.CLAIM_TOLERANCE:
        verbs.postpone(row, (row.run_at or 0) + ahead, Lane.PROMPT)
        return Disposition.EARLY
    if (late := _too_late(row)) is not None:
        return _expire(row, late, send)
    if _is_of_newer_code(row):
        if row.row_version <= ROW_VERSION and _is_set_back(row, admit_waiting):
            return Disposition.PARKED  # its type is not known here, and somebody waits for its slot
        verbs.postpone(row, _next_check_at(row) + ahead, Lane.PARKED)
        return Disposition.UNKNOWN
    if _is_parked_now(row, send, admit_waiting):
        return Disposition.PARKED
    if not has_room(_is_first_send(row)):
        verbs.postpone(row, _turn(row), Lane.QUEUED)
        return Disposition.DEFERRED
    verbs.postpone(row, _next_check_at(row) + ahead, Lane.RESENT)
    send(JobMessage.about(row))
    return Disposition.SENT


def _process_running_row(row: JobRequest, send: Send) -> Disposition:
    if row.lease_until is not None and row.lease_until >= clock.now():
        verbs.postpone(row, row.lease_until, Lane.PROMPT)
        return Disposition.LEASED
    gone = Interrupted("its worker ended without a word")
    try:
        ended = record_failed_attempt(row, gone, send, rescue=True)
        telemetry.settled(ended, gone)
        send_admitted_follower(ended, send)
    finally:  # the slot may be free, though no answer said so
        admission.admit_waiting_after(row, send)
    return Disposition.RESCUED


def _process_waiting_row(
    row: JobRequest, send: Send, admit_waiting: Callable[[str, str], None]
) -> Disposition:
    """Admit a parked job, in case its pause or its line could not; or fail it if it waited too
    long."""
    if clock.now() - (row.waiting_since or 0) > LONGEST_WAIT * clock.SECOND:
        return _expire(row, _waited_too_long(row), send)
    if row.follows is not None:
        from runners import unique_work  # which most ticks do without

        is_over = unique_work.admit_if_holder_ended(row, send)
        return Disposition.ADMITTED if is_over else Disposition.PARKED
    if not is_line(row.held_by):
        return Disposition.ADMITTED if pausing.admit_or_keep(row, send) else Disposition.PARKED
    if row.row_version <= ROW_VERSION and not line_entries.is_listed(row):
        verbs.list_again(row, due_at=pausing.next_check(row))
        admit_waiting(row.queue_name, gates.line_key(row))
        return Disposition.PARKED
    admit_waiting(row.queue_name, gates.line_key(row))
    verbs.postpone(row, pausing.next_check(row), Lane.PARKED)  # refused if it was let on
    return Disposition.PARKED


def _waited_too_long(row: JobRequest) -> JobRunnersError:
    days = LONGEST_WAIT / DAY_IN_SECONDS
    return PauseExpired(days, in_line=row.wait_key is not None, behind=row.follows is not None)


def _is_parked_now(row: JobRequest, send: Send, admit_waiting: Callable[[str, str], None]) -> bool:
    """Park a job that is paused, or that has lost its turn; return whether it was parked."""
    if paused := pauses.current().on(row):
        pausing.park(paused, row, send=send)
        return True
    return _is_set_back(row, admit_waiting)


def _is_set_back(row: JobRequest, admit_waiting: Callable[[str, str], None]) -> bool:
    """Park a job that was let on long ago and that nobody has claimed since: it goes to the end of
    its line, and its slot to the next. Return whether it was parked."""
    if row.admitted_at is None or clock.now() - row.admitted_at < _LONGEST_UNCLAIMED:
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


def _expire(row: JobRequest, late: JobRunnersError, send: Send) -> Disposition:
    try:
        ended = verbs.expire(row, error_record(late))
        telemetry.settled(ended, late)
        send_admitted_follower(ended, send)
    finally:
        if row.status is not Status.WAITING:  # else those behind it are as late, and due as it is
            admission.admit_waiting_after(row, send)
    return Disposition.EXPIRED


def _too_late(row: JobRequest) -> JobRunnersError | None:
    """Return why it will not be sent any more, if its time is over.

    Either it has never started in the time there is for that; or it had begun, and no deploy has
    known its type for as long as jobs may wait.
    """
    unknown = row.job_type not in registry().jobs
    if row.legs == 0 and clock.now() > _should_start_by(row):
        return NeverStarted(_start_within(row), unknown=row.job_type if unknown else None)
    since = max(row.could_run_at, row.started_at or 0)
    if unknown and clock.now() - since > LONGEST_WAIT * clock.SECOND:
        return JobTypeRemoved(row.job_type, LONGEST_WAIT / DAY_IN_SECONDS)
    return None


def _is_of_newer_code(row: JobRequest) -> bool:
    """Return whether no worker of this deploy could claim it: its message would only take the place
    of one for a job that can be claimed."""
    return row.job_type not in registry().jobs or row.row_version > ROW_VERSION


def _is_first_send(row: JobRequest) -> bool:
    """Return whether the timer sends it for the first time, and not to make sure of an earlier
    message: then it is sent now, however large the backlog is. A row in this lane may be of an
    older version, and sent before."""
    lane = (row.due_shard or "").rstrip("0123456789")
    queued_at = max(row.could_run_at, row.admitted_at or 0)
    return lane == Lane.PROMPT and (row.due_at or 0) <= queued_at + conditional_write.GRACE


def _start_within(row: JobRequest) -> float:
    known = registry().jobs.get(row.job_type)
    return known.start_within if known else DAY_IN_SECONDS


def _should_start_by(row: JobRequest) -> int:
    return row.could_run_at + int(_start_within(row) * clock.SECOND)


def _next_check_at(row: JobRequest) -> int:
    """Return when to look at it again. The time between two looks doubles, so that rows that are
    never claimed cost in proportion to their number, not to the minutes they wait."""
    now = clock.now()
    gap = min(max(now - row.could_run_at, conditional_write.GRACE), LONGEST_GAP)
    if row.admitted_at is not None:  # not later than it loses its room
        gap = min(gap, max(row.admitted_at + _LONGEST_UNCLAIMED - now, conditional_write.GRACE))
    return now + gap


def _turn(row: JobRequest) -> int:
    """Return its place among those to be sent again, as a time: who should start sooner is sent
    sooner. The timer looks at it then at the latest."""
    soonest, latest = clock.now() + _SOONEST_TURN, clock.now() + clock.DAY
    return min(max(_should_start_by(row), soonest), latest)
