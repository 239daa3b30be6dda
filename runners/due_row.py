"""What a due row wants, by its status as it is now: it is moved or removed, whatever that is."""

from collections.abc import Callable
from enum import StrEnum

import clock
from errors import Interrupted, JobRunnersError, JobTypeRemoved, NeverStarted, PauseExpired
from runners import pausing, telemetry
from runners.base import LONGEST_WAIT
from runners.messages import JobMessage
from runners.registry import registry
from runners.retrying import error_record, record_failed_attempt
from runners.sending import Send
from store import conditional_write, pauses, verbs
from store.job_request import ROW_VERSION, JobRequest, Lane, Status
from store.queries import read
from work.definitions import DAY_IN_SECONDS

LONGEST_GAP = clock.HOUR  # between two looks at a row that was sent and stays unclaimed
# At the soonest a row's turn comes now, even if the time by which it was to start is over.
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


def meet(
    key: JobRequest, send: Send, has_room: Callable[[bool], bool], *, until: int, ahead: int = 0
) -> Disposition:
    """Do what a row wants that is due by `until`; `ahead` is how much later than now that is, of a
    row that only waits to be sent.

    `has_room` is asked before it is sent, and told whether it is sent whatever the answer. Raises
    PreconditionFailed if somebody moves it meanwhile, and SendFailed, when it is due again.
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
    if _too_late(row):
        return _expire(row, NeverStarted(_start_within(row)))
    if _forgotten(row):
        return _expire(row, JobTypeRemoved(row.job_type, LONGEST_WAIT / DAY_IN_SECONDS))
    if _of_newer_code(row):
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


def _too_late(row: JobRequest) -> bool:
    """Only until it has started for the first time."""
    never_started = row.legs == 0 and row.status in (Status.QUEUED, Status.SCHEDULED)
    return never_started and clock.now() > _should_start_by(row)


def _forgotten(row: JobRequest) -> bool:
    """It had begun, and no deploy has known its type for as long as anything may wait."""
    since = row.updated_at or row.created_at
    return row.job_type not in registry().jobs and clock.now() - since > LONGEST_WAIT * clock.SECOND


def _of_newer_code(row: JobRequest) -> bool:
    """No worker of this deploy could claim it: it would only take the place of one that can be."""
    return row.job_type not in registry().jobs or row.row_version > ROW_VERSION


def _is_first_send(row: JobRequest) -> bool:
    """Whether the timer is what starts it, or what makes sure that it goes on: whatever backlog
    there is, it goes now. A row in this lane may be of an older version, and sent before."""
    lane = (row.due_shard or "").rstrip("0123456789")
    return lane == Lane.PROMPT and (row.due_at or 0) <= row.could_run_at + conditional_write.GRACE


def _start_within(row: JobRequest) -> float:
    known = registry().jobs.get(row.job_type)
    return known.start_within if known else DAY_IN_SECONDS


def _should_start_by(row: JobRequest) -> int:
    return row.could_run_at + int(_start_within(row) * clock.SECOND)


def _next_check_at(row: JobRequest) -> int:
    """Twice as far from when it could first run as now, so looks double: a row that is never
    claimed costs in proportion to its jobs, not to the minutes it waits."""
    age = clock.now() - row.could_run_at
    return clock.now() + min(max(age, conditional_write.GRACE), LONGEST_GAP)


def _turn(row: JobRequest) -> int:
    """Its place in the line of those to be sent again: who should start sooner is sent sooner. It
    is when the timer looks at the latest, too."""
    soonest, latest = clock.now() + _SOONEST_TURN, clock.now() + clock.DAY
    return min(max(_should_start_by(row), soonest), latest)
