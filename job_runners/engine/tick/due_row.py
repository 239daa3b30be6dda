"""Handle one due row in a timer run: read it, and do what it needs.

A row stores one job. It is *due* when the timer must look at it. After that, its due time is moved
into the future or removed. Each due time is in a *lane*, which shows what the row waits for: see
`Lane`.

To *hold* a job is to let it wait, for example under a pause or in the *line* of a queue with
limits. To *admit* it is to let it continue. An admitted job has *capacity*: a slot of its queue, or
one of the starts that the queue's rate allows. A worker *claims* a job when it starts to run it. A
job that no worker has claimed is *unclaimed*. A claim comes with a *lease*, the time by which the
worker must report.
"""

from enum import Enum, auto

from job_runners import clock, errors
from job_runners.engine.lines import pausing
from job_runners.engine.lines.admission import LineAdmissions
from job_runners.engine.registry.registry import registry
from job_runners.engine.running import gates
from job_runners.engine.running.retrying import error_record, record_failed_attempt
from job_runners.engine.settling import settle
from job_runners.engine.telemetry import telemetry
from job_runners.engine.tick.message_budget import MessageBudget
from job_runners.engine.wire.messages import JobMessage
from job_runners.engine.wire.sending import Send
from job_runners.store import lines, pauses, transitions
from job_runners.store.conditional_write import GRACE, Change
from job_runners.store.job_request import ROW_VERSION, JobRequest, Lane, Status, due_shards
from job_runners.store.queries import read
from job_runners.work.definitions import DAY_IN_SECONDS, MAX_WAIT

MAX_CHECK_GAP = clock.HOUR  # the longest time between two checks of an unclaimed job
_MIN_DEFER_TIME = 10 * clock.MINUTE  # the shortest time for which a row is deferred
# How long an unclaimed job keeps its capacity after it was admitted, or after an invocation ended.
_MAX_UNCLAIMED_TIME = clock.HOUR


class Disposition(Enum):
    """How a timer run handled a row."""

    SENT = auto()
    DEFERRED = auto()  # postponed, because enough messages are waiting for workers
    HELD = auto()  # waits, for example under a pause, in a line, or for a signal
    ADMITTED = auto()  # sent, because its wait is over
    LEASED = auto()  # postponed to the end of its lease, because it is running
    RESCUED = auto()  # recorded as interrupted, because its lease is over
    EARLY = auto()  # postponed to its start time
    UNKNOWN = auto()  # postponed, because this deploy doesn't know its type or row version
    EXPIRED = auto()  # failed, because no worker could start it in time
    BROKEN = auto()  # postponed by an hour, because it can't be read or handled
    MOVED = auto()  # ignored, because another process has changed it since the index was read


def process_due_row(
    index_row: JobRequest,
    send: Send,
    budget: MessageBudget | None,
    admissions: LineAdmissions,
    *,
    until: int,
    early_by: int = 0,
) -> Disposition:
    """Handle a row that is due by `until`. Return the outcome.

    - `index_row` has only the attributes of the index.
    - `budget` limits the messages of this run. It is None if there is no limit, or if the caller
      has already reserved a message for this row.
    - `admissions` admits the waiting jobs of each line once per run.
    - `early_by`: unclaimed rows are handled this many milliseconds before they are due.

    Raises SendFailed if the message can't be sent, and PreconditionFailed if another process
    changes the row in the meantime. In both cases the row has a due time, so a later run handles
    it.
    """
    row = read(index_row.id)
    if row is None:
        return Disposition.MOVED
    is_unclaimed = row.status not in (Status.RUNNING, Status.WAITING)
    if is_unclaimed:
        until += early_by
    if row.due_at is None or row.due_at > until:
        return Disposition.MOVED  # the index lags behind the table
    if is_unclaimed:
        return _send_unclaimed(row, send, budget, early_by)
    if row.status is Status.RUNNING:
        return _check_lease(row, send)
    return _check_wait(row, send, admissions)


# --- running jobs ---------------------------------------------------------------------------------


def _check_lease(row: JobRequest, send: Send) -> Disposition:
    """If a running job's lease is over, record its attempt as interrupted.

    Otherwise, postpone the row to the end of the lease.
    """
    if row.lease_until is not None and row.lease_until >= clock.now():
        transitions.postpone(row, row.lease_until, Lane.PROMPT)
        return Disposition.LEASED
    error = errors.Interrupted("its worker stopped without reporting an outcome")

    def record() -> Change:
        change = record_failed_attempt(row, error, send, rescue=True)
        telemetry.settled(change.after, error)
        return change

    settle.transition(record, row, send)
    return Disposition.RESCUED


# --- waiting jobs ---------------------------------------------------------------------------------


def _check_wait(row: JobRequest, send: Send, admissions: LineAdmissions) -> Disposition:
    """Admit a waiting job whose wait is over, or fail it if it has waited too long."""
    if row.awaits_signal:
        return _check_signal_wait(row, send)
    if row.awaits_group:
        return _check_group_wait(row, send)
    if clock.now() - (row.waiting_since or 0) > MAX_WAIT * clock.SECOND:
        return _expire(row, _wait_error(row), send)
    if row.follows is not None:
        # Imported here because most timer runs find no job that waits for another one.
        from job_runners.engine.dispatch import unique_work

        is_admitted = unique_work.admit_if_holder_ended(row, send)
    elif lines.is_line(row.held_by):
        return _admit_line(row, admissions)
    else:
        is_admitted = pausing.admit_or_keep(row, send)
    return Disposition.ADMITTED if is_admitted else Disposition.HELD


def _check_signal_wait(row: JobRequest, send: Send) -> Disposition:
    """Admit a job if its wait for a signal has timed out. Otherwise, postpone its row."""
    wait = row.current_wait or {}
    if clock.now() < wait.get("until", 0):
        transitions.postpone(row, wait["until"], Lane.WAITS)
        return Disposition.HELD
    send(JobMessage.about(transitions.admit(row).after))
    return Disposition.ADMITTED


def _check_group_wait(row: JobRequest, send: Send) -> Disposition:
    """Admit a job if all members of its group have ended. Otherwise store their counts.

    If the members have taken too long, fail the job.
    """
    now = clock.now()
    wait = row.current_wait or {}
    if now >= wait.get("until", 0) and not row.cancel_members:
        error = errors.GroupExpired((now - wait.get("since", 0)) // clock.DAY)
        return _expire(row, error, send)
    # Imported here because most timer runs find no group.
    from job_runners.engine.groups import markers, progress

    markers.sweep(row)
    if settle.check_group(row, send):
        return Disposition.ADMITTED
    counts = progress.actions_that_store_counts(row)
    # If another process has admitted the job, this raises PreconditionFailed.
    transitions.postpone(row, markers.next_check(row), Lane.WAITS, counts)
    return Disposition.HELD


def _admit_line(row: JobRequest, admissions: LineAdmissions) -> Disposition:
    """Admit the waiting jobs of a job's line, as far as the line has capacity.

    This may admit the job itself. Otherwise, postpone its row.
    """
    key = gates.line_key(row)
    # Put the job's entry back if the line lacks it, for example after an admission pass removed it.
    if row.row_version <= ROW_VERSION and not lines.has_entry(row):
        transitions.restore_entry(row, due_at=pausing.next_check(row))
        admissions.admit_waiting(row.queue_name, key)
        return Disposition.HELD
    admissions.admit_waiting(row.queue_name, key)
    # If the job itself was just admitted, this raises PreconditionFailed. That is fine, because the
    # row then needs no check.
    transitions.postpone(row, pausing.next_check(row), Lane.HELD)
    return Disposition.HELD


def _wait_error(row: JobRequest) -> errors.JobRunnersError:
    """Return the error of a job that has waited for MAX_WAIT."""
    return errors.PauseExpired(
        MAX_WAIT / DAY_IN_SECONDS,
        in_line=row.wait_key is not None,
        is_follower=row.follows is not None,
    )


# --- unclaimed jobs -------------------------------------------------------------------------------


def _send_unclaimed(
    row: JobRequest, send: Send, budget: MessageBudget | None, early_by: int
) -> Disposition:
    """Send an unclaimed job to a worker, unless the job can't start now.

    In this order, check whether its start time is still ahead, whether it has waited too long,
    whether a pause or its line holds it, whether this deploy can run it, and whether the budget has
    a message for it.
    """
    now = clock.now()
    is_known_type = row.job_type in registry().jobs
    pause = pauses.current().on(row)
    # A job that loses its capacity goes back into its line.
    line = gates.line_of(row) if _loses_capacity(row, now) else None
    if row.starts_in > transitions.CLAIM_TOLERANCE:
        # A run with `early_by` handles this row that long before its due time. So add it here.
        transitions.postpone(row, (row.run_at or 0) + early_by, Lane.PROMPT)
        return Disposition.EARLY
    error = _expiry_error(row, now, is_known_type)
    if error is not None:
        return _expire(row, error, send)
    can_change = row.row_version <= ROW_VERSION  # newer code has written rows of higher versions
    can_start = can_change and is_known_type
    if can_start and pause is not None:
        settle.transition(lambda: pausing.hold_under_pause(pause, row), row, send)
        return Disposition.HELD
    # Hold the job even if this deploy doesn't know its type, because other jobs need its slot.
    if can_change and line is not None:
        settle.transition(lambda: gates.hold_in_line(row, line), row, send)
        return Disposition.HELD
    next_check_at = _next_check_at(row, now) + early_by
    if not can_start:  # no worker of this deploy could claim it
        transitions.postpone(row, next_check_at, Lane.HELD)
        return Disposition.UNKNOWN
    # In the lane PROMPT, no message about the job has been sent yet. The first one is sent even if
    # enough messages are waiting for workers.
    is_first_send = row.due_shard in due_shards(Lane.PROMPT)
    if budget is not None and not budget.take(row, even_if_empty=is_first_send):
        transitions.postpone(row, _defer_until(row, now), Lane.QUEUED)
        return Disposition.DEFERRED
    transitions.postpone(row, next_check_at, Lane.RESENT)
    send(JobMessage.about(row))
    return Disposition.SENT


def _expire(row: JobRequest, error: errors.JobRunnersError, send: Send) -> Disposition:
    """Fail a job with this error."""

    def expire() -> Change:
        change = transitions.expire(row, error_record(error))
        telemetry.settled(change.after, error)
        return change

    settle.transition(expire, row, send)
    return Disposition.EXPIRED


def _expiry_error(row: JobRequest, now: int, is_known_type: bool) -> errors.JobRunnersError | None:
    """Return the error with which an unclaimed job expires, or None if it may still start.

    A job that has not begun expires after its `start_within`. A job that has begun expires if this
    deploy doesn't know its type, and MAX_WAIT has passed since it was last queued or claimed.
    """
    if row.invocations == 0 and now > _start_deadline(row):
        missing_type = None if is_known_type else row.job_type
        return errors.NeverStarted(_start_within(row), missing_type=missing_type)
    since = max(row.could_run_at, row.started_at or 0)
    if not is_known_type and now - since > MAX_WAIT * clock.SECOND:
        return errors.JobTypeRemoved(row.job_type, MAX_WAIT / DAY_IN_SECONDS)
    return None


def _start_within(row: JobRequest) -> float:
    job = registry().jobs.get(row.job_type)
    return job.start_within if job else DAY_IN_SECONDS


def _start_deadline(row: JobRequest) -> int:
    return row.could_run_at + int(_start_within(row) * clock.SECOND)


def _loses_capacity(row: JobRequest, now: int) -> bool:
    """Return whether an unclaimed job was admitted so long ago that it must give up its capacity.

    Its queue's other jobs can then use the slot.
    """
    return row.admitted_at is not None and now - row.admitted_at >= _MAX_UNCLAIMED_TIME


def _next_check_at(row: JobRequest, now: int) -> int:
    """Return when to check an unclaimed row next.

    The gap grows with the time that the row has waited, from GRACE to MAX_CHECK_GAP, so that long
    waits cost little. An admitted job is also checked at the time when it loses its capacity.
    """
    waited = now - row.could_run_at
    next_check_at = now + min(waited, MAX_CHECK_GAP)
    if row.admitted_at is not None and not _loses_capacity(row, now):
        next_check_at = min(next_check_at, row.admitted_at + _MAX_UNCLAIMED_TIME)
    return max(next_check_at, now + GRACE)


def _defer_until(row: JobRequest, now: int) -> int:
    """Return when a deferred row is due again.

    This is at its start deadline, but at least _MIN_DEFER_TIME and at most a day from now. So later
    runs send the rows with the earliest deadlines first.
    """
    within_a_day = min(_start_deadline(row), now + clock.DAY)
    return max(within_a_day, now + _MIN_DEFER_TIME)
