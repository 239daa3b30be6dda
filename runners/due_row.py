"""What is done about one due row, by its status as it is now: it is always moved or removed."""

from collections.abc import Callable
from enum import StrEnum

import clock
from errors import Interrupted, JobRunnersError, JobTypeRemoved, NeverStarted, PauseExpired
from runners import pausing, telemetry
from runners.messages import JobMessage
from runners.registry import registry
from runners.retrying import error_record, record_failed_attempt
from runners.sending import Send
from store import conditional_write, pauses, verbs
from store.job_request import ROW_VERSION, JobRequest, Lane, Status
from store.queries import read
from work.definitions import DAY_IN_SECONDS, LONGEST_WAIT

LONGEST_GAP = clock.HOUR  # between two looks at a row that was sent and is not claimed yet
# A row's turn comes no sooner than this from now, even if its time to start is over.
_SOONEST_TURN = 10 * clock.MINUTE


class Disposition(StrEnum):
    """What a tick did about a row."""

    SENT = "sent"
    DEFERRED = "deferred"  # enough wait at the workers: it is sent when its turn comes
    PARKED = "held back"  # its type or queue is paused
    ADMITTED = "let go"  # after a pause
    LEASED = "leased"  # running and alive: looked at again when its lease is over
    RESCUED = "rescued"
    EARLY = "early"  # looked at again at its time
    UNKNOWN = "unknown"  # no deploy here knows it, or not yet: looked at again later
    EXPIRED = "expired"  # nobody could start it in time: failed
    BROKEN = "broken"  # could not be read, or not be dealt with: looked at again in an hour
    MOVED = "moved"  # changed between the index and us, by whoever has it


def process_due_row(
    key: JobRequest, send: Send, has_room: Callable[[bool], bool], *, until: int, ahead: int = 0
) -> Disposition:
    """Read a row that is due by `until`, do what its status asks for, and return what was done.

    For a row that only waits to be sent, `until` is `ahead` later than now. `has_room` is asked
    before a row is sent, and told whether the row is sent whatever the answer. Raises
    PreconditionFailed if somebody moves the row meanwhile, and SendFailed: then it is due again.
    """
    row = read(key.id)
    running = row is not None and row.status is Status.RUNNING
    if row is None or row.due_at is None or row.due_at > until - (ahead if running else 0):
        return Disposition.MOVED  # the index lags behind the table, or it is no waiting row
    match row.status:
        case Status.RUNNING:
            return _process_running_row(row, send)
        case Status.WAITING:
            return _process_waiting_row(row, send)
    if row.early > verbs.CLAIM_TOLERANCE:
        verbs.postpone(row, (row.run_at or 0) + ahead, Lane.PROMPT)
        return Disposition.EARLY
    if _is_too_late(row):
        return _expire(row, NeverStarted(_start_within(row)))
    if _is_removed_type(row):
        return _expire(row, JobTypeRemoved(row.job_type, LONGEST_WAIT / DAY_IN_SECONDS))
    if _is_of_newer_code(row):
        verbs.postpone(row, _next_check_at(row) + ahead, Lane.PARKED)
        return Disposition.UNKNOWN
    if paused := pauses.current().on(row):
        pausing.park(paused, row)
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
    telemetry.settled(record_failed_attempt(row, gone, send, rescue=True), gone)
    return Disposition.RESCUED


def _process_waiting_row(row: JobRequest, send: Send) -> Disposition:
    """Admit a parked job, in case its pause could not; or fail it if it waited too long."""
    if clock.now() - (row.waiting_since or 0) > LONGEST_WAIT * clock.SECOND:
        return _expire(row, PauseExpired(LONGEST_WAIT / DAY_IN_SECONDS))
    return Disposition.ADMITTED if pausing.admit_or_keep(row, send) else Disposition.PARKED


def _expire(row: JobRequest, late: JobRunnersError) -> Disposition:
    telemetry.settled(verbs.expire(row, error_record(late)), late)
    return Disposition.EXPIRED


def _is_too_late(row: JobRequest) -> bool:
    """Return whether it has never started, and its time to start is over."""
    return row.legs == 0 and clock.now() > _should_start_by(row)


def _is_removed_type(row: JobRequest) -> bool:
    """Return whether it had begun and no deploy has known its type for as long as jobs may wait."""
    since = row.updated_at or row.created_at
    return row.job_type not in registry().jobs and clock.now() - since > LONGEST_WAIT * clock.SECOND


def _is_of_newer_code(row: JobRequest) -> bool:
    """Return whether no worker of this deploy could claim it: its message would only take the place
    of one for a job that can be claimed."""
    return row.job_type not in registry().jobs or row.row_version > ROW_VERSION


def _is_first_send(row: JobRequest) -> bool:
    """Return whether the timer sends it for the first time, and not to make sure of an earlier
    message: then it is sent now, however large the backlog is. A row in this lane may be of an
    older version, and sent before."""
    lane = (row.due_shard or "").rstrip("0123456789")
    return lane == Lane.PROMPT and (row.due_at or 0) <= row.could_run_at + conditional_write.GRACE


def _start_within(row: JobRequest) -> float:
    known = registry().jobs.get(row.job_type)
    return known.start_within if known else DAY_IN_SECONDS


def _should_start_by(row: JobRequest) -> int:
    return row.could_run_at + int(_start_within(row) * clock.SECOND)


def _next_check_at(row: JobRequest) -> int:
    """Return when to look at it again. The time between two looks doubles, so that rows that are
    never claimed cost in proportion to their number, not to the minutes they wait."""
    age = clock.now() - row.could_run_at
    return clock.now() + min(max(age, conditional_write.GRACE), LONGEST_GAP)


def _turn(row: JobRequest) -> int:
    """Return its place among those to be sent again, as a time: who should start sooner is sent
    sooner. The timer looks at it then at the latest."""
    soonest, latest = clock.now() + _SOONEST_TURN, clock.now() + clock.DAY
    return min(max(_should_start_by(row), soonest), latest)
