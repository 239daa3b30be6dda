"""Handle one due row in a timer run: read it, decide what to do with it, and do that.

Each decision moves the row's due time into the future, or removes it. To *hold* a job is to let it
wait, for example under a pause or in the *line* of a queue with limits. To *admit* it is to let it
continue.
"""

from job_runners import clock
from job_runners.engine.lines import pausing
from job_runners.engine.lines.admission import LineAdmissions
from job_runners.engine.lines.limits import limits_of
from job_runners.engine.registry.registry import registry
from job_runners.engine.running import gates
from job_runners.engine.running.retrying import error_record, record_failed_attempt
from job_runners.engine.settling import settle
from job_runners.engine.telemetry import telemetry
from job_runners.engine.tick.due_decision import (
    Action,
    Decision,
    DecisionInput,
    Disposition,
    Expire,
    Hold,
    HoldInLine,
    Postpone,
    SendMessage,
    decide,
    is_due,
    is_long_unclaimed,
)
from job_runners.engine.tick.message_budget import MessageBudget
from job_runners.engine.wire.messages import JobMessage
from job_runners.engine.wire.sending import Send
from job_runners.errors import Interrupted, JobRunnersError
from job_runners.store import lines, pauses, transitions
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import ROW_VERSION, JobRequest, Lane, Status
from job_runners.store.limits import Limits
from job_runners.store.queries import read
from job_runners.work.definitions import DAY_IN_SECONDS


def process_due_row(
    index_row: JobRequest,
    send: Send,
    budget: MessageBudget | None,
    admissions: LineAdmissions,
    *,
    until: int,
    ahead: int = 0,
) -> Disposition:
    """Handle a row that is due by `until`. Return the outcome.

    - `index_row` has only the attributes of the index.
    - `budget` limits the messages of this run. It is None if there is no limit, or if the caller
      has already reserved a message for this row.
    - `admissions` admits the waiting jobs of each line once per run, and again if a slot was freed.
    - `ahead`: the milliseconds by which unclaimed rows are handled early. `until` includes them.

    Raises SendFailed if the message can't be sent, and PreconditionFailed if another process
    changes the row in the meantime. In both cases the row has a due time, so a later run handles
    it.
    """
    row = read(index_row.id)
    if row is None or not is_due(row, until, ahead):
        return Disposition.MOVED  # the index lags behind the table, or the row needs no attention
    decision = decide(row, _decision_input(row, ahead))
    return _apply(decision, row, send, budget, admissions)


def _decision_input(row: JobRequest, ahead: int) -> DecisionInput:
    now = clock.now()
    is_unclaimed = row.status not in (Status.RUNNING, Status.WAITING)
    needs_limits = is_unclaimed and is_long_unclaimed(row, now)
    return DecisionInput(
        now=now,
        starts_in=row.starts_in,
        is_known=row.job_type in registry().jobs,
        start_within=_start_within(row),
        pause=pauses.current().on(row) if is_unclaimed else None,
        limits=limits_of(row.queue_name) if needs_limits else None,
        ahead=ahead,
    )


def _start_within(row: JobRequest) -> float:
    job = registry().jobs.get(row.job_type)
    return job.start_within if job else DAY_IN_SECONDS


def _apply(
    decision: Decision,
    row: JobRequest,
    send: Send,
    budget: MessageBudget | None,
    admissions: LineAdmissions,
) -> Disposition:
    match decision:
        case Postpone(disposition=disposition, due_at=due_at, lane=lane):
            transitions.postpone(row, due_at, lane)
            return disposition
        case SendMessage():
            return _send(row, decision, send, budget)
        case Action.RESCUE:
            return _rescue(row, send)
        case Expire(error=error):
            return _expire(row, error, send)
        case Hold(pause=pause):
            settle.transition(lambda: pausing.hold_under_pause(pause, row), row, send)
            return Disposition.HELD
        case HoldInLine(limits=limits):
            return _hold_in_line(row, limits, send, admissions)
        case Action.ADMIT_LINE:
            return _admit_line(row, admissions)
        case Action():
            is_admitted = _admit_outside_line(decision, row, send)
            return Disposition.ADMITTED if is_admitted else Disposition.HELD


def _admit_outside_line(action: Action, row: JobRequest, send: Send) -> bool:
    """Admit a held job that isn't in a line, if it may continue. Return whether it may."""
    if action is Action.ADMIT_FOLLOWER:
        # Imported here because most timer runs find no job that waits for another one.
        from job_runners.engine.dispatch import unique_work

        return unique_work.admit_if_holder_ended(row, send)
    if action is Action.CHECK_GROUP:
        # Imported here because most timer runs find no group.
        from job_runners.engine.groups import leftover_markers, progress

        leftover_markers.sweep(row)
        if settle.check_group(row, send):
            return True
        counts = progress.actions_that_store_counts(row)
        # If another process has admitted the job, this raises PreconditionFailed.
        transitions.postpone(row, leftover_markers.next_check(row), Lane.WAITS, counts)
        return False
    if action is Action.ADMIT_FROM_PAUSE:
        return pausing.admit_or_keep(row, send)
    send(JobMessage.about(transitions.admit(row).after))
    return True


def _send(
    row: JobRequest, decision: SendMessage, send: Send, budget: MessageBudget | None
) -> Disposition:
    if budget is not None and not budget.take(row, even_if_empty=decision.is_first):
        transitions.postpone(row, decision.resend_at, Lane.QUEUED)
        return Disposition.DEFERRED
    transitions.postpone(row, decision.next_check_at, Lane.RESENT)
    send(JobMessage.about(row))
    return Disposition.SENT


def _rescue(row: JobRequest, send: Send) -> Disposition:
    error = Interrupted("its worker stopped without reporting an outcome")

    def record() -> Change:
        change = record_failed_attempt(row, error, send, rescue=True)
        telemetry.settled(change.after, error)
        return change

    settle.transition(record, row, send)
    return Disposition.RESCUED


def _expire(row: JobRequest, error: JobRunnersError, send: Send) -> Disposition:
    def expire() -> Change:
        change = transitions.expire(row, error_record(error))
        telemetry.settled(change.after, error)
        return change

    settle.transition(expire, row, send)
    return Disposition.EXPIRED


def _hold_in_line(
    row: JobRequest, limits: Limits, send: Send, admissions: LineAdmissions
) -> Disposition:
    key = gates.line_key(row)
    settle.transition(
        lambda: gates.hold_in_line(row, key, limits),
        row,
        send,
        admit_waiting=lambda queue_name, concurrency_key, frees: admissions.admit_waiting(
            queue_name, concurrency_key, again=frees
        ),
    )
    return Disposition.HELD


def _admit_line(row: JobRequest, admissions: LineAdmissions) -> Disposition:
    # Put the job's entry back if the line lacks it, for example because it was quarantined.
    if row.row_version <= ROW_VERSION and not lines.has_entry(row):
        transitions.restore_entry(row, due_at=pausing.next_check(row))
        admissions.admit_waiting(row.queue_name, gates.line_key(row))
        return Disposition.HELD
    admissions.admit_waiting(row.queue_name, gates.line_key(row))
    # If the job was just admitted, this raises PreconditionFailed, and the row needs no check.
    transitions.postpone(row, pausing.next_check(row), Lane.HELD)
    return Disposition.HELD
