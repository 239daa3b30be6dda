"""The transitions of a job whose function waits for a time or a signal.

A *signal* is a named value that a caller or another job sends to the job. The transitions of a job
that waits for a group are in `group_waits`. Import both modules only where they are needed, because
most jobs never wait.
"""

from collections.abc import Sequence
from typing import Literal

from pynamodb.expressions.update import Action

from job_runners import clock
from job_runners.store import conditional_write, current_wait, holdings, past, signals
from job_runners.store.answer_links import AnswerLink
from job_runners.store.conditional_write import Change
from job_runners.store.current_wait import SIGNAL, TIME, Wait
from job_runners.store.job_fields import SIGNAL_PREFIX
from job_runners.store.job_request import JobRequest, Lane, Status
from job_runners.store.signals import Signal
from job_runners.store.steps import Step
from job_runners.store.transactions import RecordWrite, write_all
from job_runners.store.transitions.ending import (
    Checkpoint,
    checkpoint_actions,
    end_invocation,
    unrecorded_actions,
    write_or_stop,
)
from job_runners.store.transitions.holding import admit_actions

# How each transition ends the invocation.
_OUTCOMES = {
    "sleep": past.Outcome.SLEPT,
    "wait": past.Outcome.WAITED,
    "gather": past.Outcome.GATHERED,
}


def sleep(job: JobRequest, name: str, *, until: int, due_at: int, checkpoint: Checkpoint) -> Change:
    """End a running job's invocation. The job continues in another one at `until`.

    The job gives up its slot. Its waiting time doesn't count against its time limits. The timer
    checks it at `due_at`, in case no message starts it. If a caller has asked the job to stop, it
    is canceled instead.
    """
    now = clock.now()
    actions = [
        *conditional_write.schedule_actions(job, due_at),
        JobRequest.run_at.set(until),
        *conditional_write.clear_capacity_actions(),
        JobRequest.current_wait.set(Wait(TIME, name, now, until).stored_form()),
    ]
    # The attempt's time limit counts from `attempt_started_at`, so postpone that by the wait.
    if job.attempt_started_at is not None:
        actions.append(JobRequest.attempt_started_at.set(job.attempt_started_at + until - now))
    return end_invocation_in_wait("sleep", job, actions, Status.SCHEDULED, checkpoint)


def wait(
    job: JobRequest, name: str, signal_names: list[str], *, until: int, checkpoint: Checkpoint
) -> Change:
    """End a running job's invocation. The job waits for a signal, at most until `until`.

    `name` is the name of the wait. Any of the `signal_names` ends it. The same transaction checks
    that none of these signals has arrived. So no signal can be missed: one that arrives earlier
    prevents the wait, and one that arrives later finds the waiting row. Raises RaceLost if a signal
    has arrived. For the job's slot, its time limits and a request to stop, see `sleep`.
    """
    now = clock.now()
    held_by = f"{SIGNAL_PREFIX}{name}"
    actions = [
        *conditional_write.hold_actions(job, held_by, now, until, lane=Lane.WAITS),
        JobRequest.current_wait.set(
            Wait(SIGNAL, name, now, until, tuple(signal_names)).stored_form()
        ),
    ]
    checks = signals.absence_checks(job, signal_names)
    return end_invocation_in_wait("wait", job, actions, Status.WAITING, checkpoint, checks)


def continue_at_once(job: JobRequest, checkpoint: Checkpoint) -> Change:
    """End a running job's invocation. The job continues at once in another one.

    Use this if the job was about to wait, but its signal arrived first.
    """
    return end_invocation(job, checkpoint, _wait_count_actions(job))


def end_invocation_in_wait(
    transition: str,
    job: JobRequest,
    actions: list[Action],
    status: Status,
    checkpoint: Checkpoint,
    checks: Sequence[RecordWrite] = (),
) -> Change:
    """End a running job's invocation with `actions` that make its row wait.

    `checks` are part of the same transaction. If a caller has asked the job to stop, stop it
    instead.
    """
    actions = [
        *actions,
        *past.end_actions(job, _OUTCOMES[transition]),
        *_wait_count_actions(job),
        *checkpoint_actions(checkpoint),
        *unrecorded_actions(job, checkpoint, has_passed=True),
    ]
    return write_or_stop(
        transition,
        job,
        actions,
        conditional_write.owned_by_claim(job) & conditional_write.no_cancel_requested(),
        already_applied=status,
        release=holdings.Release.all_but_key(job),
        checkpoint=checkpoint,
        more_writes=checks,
        needs_message=status.timed,
    )


def _wait_count_actions(job: JobRequest) -> list[Action]:
    """Return the actions that count a wait, because `max_invocations` doesn't limit waits."""
    return [
        JobRequest.wait_count.set((job.wait_count or 0) + 1),
        *conditional_write.waited_actions(job),
    ]


def signal(job: JobRequest, new_signal: Signal) -> Change:
    """Store a signal for a job that hasn't ended. If the job waits for it, let the job continue.

    Both happen in one transaction, which is refused if the row's state has changed. So a signal
    can't arrive unnoticed between the job's check for signals and its wait. Raises
    PreconditionFailed. Raises RaceLost if a signal with this name is already stored.
    """
    wait = current_wait.of(job)
    actions = [JobRequest.signals.add(1), *conditional_write.waited_actions(job)]
    needs_message = wait is not None and new_signal.sk in wait.names
    if needs_message:
        actions += admit_actions(job)
    same = conditional_write.same
    condition = (
        (JobRequest.created_key == job.created_key)
        & same(JobRequest.restarts, job.restarts)
        & (JobRequest.status == job.status)
        & same(JobRequest.claim_token, job.claim_token)
        & same(JobRequest.held_by, job.held_by)
        & (JobRequest.signals.does_not_exist() | (JobRequest.signals < signals.MAX_PER_JOB))
    )
    return conditional_write.write(
        "signal",
        job,
        actions,
        condition,
        already_applied=None,  # if the response was lost, the caller finds the signal
        more_writes=[new_signal.put()],
        needs_message=needs_message,
    )


def record(job: JobRequest, *records: Signal | Step | AnswerLink) -> None:
    """Store new records of a job's waits in one transaction, if the job still has its claim.

    Raises RaceLost if one of the records is already stored, or if the claim is lost.
    """
    puts = [
        RecordWrite(record, "put", condition=type(record).pk.does_not_exist()) for record in records
    ]
    actions = conditional_write.waited_actions(job)
    still_claimed = conditional_write.owned_by_claim(job)
    kind: Literal["change", "check"] = "change" if actions else "check"  # a change needs actions
    write_all([*puts, RecordWrite(JobRequest(id=job.id), kind, actions, still_claimed)])
