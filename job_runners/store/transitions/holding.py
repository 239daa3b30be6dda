"""The transitions of jobs that wait under a pause or in a line: hold, restore_entry and admit.

A *line* has the waiting jobs of one queue and concurrency key. To *hold* a job is to make it wait,
and to *admit* it is to let it continue. A held job has an *entry* under its pause or in its line.
Each transition changes the job's row and its entry. A *grant* is the capacity that a job in a line
gets: a slot, or a start under the queue's rate.
"""

from pynamodb.expressions.update import Action

from job_runners import clock
from job_runners.store import conditional_write, holdings, past
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import JobRequest, Lane, Status
from job_runners.store.line_items import LineItem
from job_runners.store.lines import Grant, entry_from_row, new_entry
from job_runners.store.pauses import Pause, held_entry
from job_runners.store.table import Table
from job_runners.store.transactions import RecordWrite
from job_runners.store.transitions.ending import (
    Checkpoint,
    checkpoint_actions,
    unrecorded_actions,
    write_or_stop,
)


def hold(
    job: JobRequest, pause: Pause, *, due_at: int, checkpoint: Checkpoint | None = None
) -> Change:
    """Hold a job under a pause.

    The job must be claimable, held under another pause, or running with the caller's claim. Pass
    the last `checkpoint` of a running job. The timer checks the job at `due_at`.

    The same transaction writes the entry and frees the job's slot. If a caller of the API has asked
    the job to stop, it is canceled instead.
    """
    since = job.waiting_since or clock.now()
    actions = [
        *conditional_write.hold_actions(job, pause.sk, since, due_at),
        *past.end_actions(job, past.Outcome.PAUSED),
        *(unrecorded_actions(job, checkpoint) if checkpoint else []),
    ]
    return _hold(job, actions, pause.sk, held_entry(pause.sk, job, since), checkpoint)


def hold_in_line(
    job: JobRequest,
    partition_key: str,
    concurrency_key: str,
    *,
    group: str,
    due_at: int,
    checkpoint: Checkpoint | None = None,
    position_time: int | None = None,
) -> Change:
    """Hold a job in the line of its queue and `concurrency_key`, stored under `partition_key`.

    In a fair queue, the organizations take turns, and each has a `group` in the line. Elsewhere,
    `group` is "". The job goes to the end of its group, or to the position of a job that was held
    at `position_time` (milliseconds since 1970).

    The job must be claimable, or running with the caller's claim. Pass the last `checkpoint` of a
    running job. The timer checks the job at `due_at`.

    The same transaction writes the entry and frees the job's slot. If a caller of the API has asked
    the job to stop, it is canceled instead. Raises PreconditionFailed.
    """
    since = clock.now()
    if position_time is None:
        position_time = since
    entry = new_entry(partition_key, group, job, position_time)
    actions = [
        *conditional_write.hold_actions(job, partition_key, since, due_at, wait_key=entry.sk),
        *past.end_actions(job, past.Outcome.YIELDED),
        JobRequest.concurrency_key.set(concurrency_key),
        *(unrecorded_actions(job, checkpoint, has_passed=True) if checkpoint else []),
    ]
    return _hold(job, actions, partition_key, entry, checkpoint, wait_key=entry.sk)


def _hold(
    job: JobRequest,
    actions: list[Action],
    held_by: str,
    entry: Table,
    checkpoint: Checkpoint | None,
    wait_key: str | None = None,
) -> Change:
    """Hold a job if its row hasn't changed, or stop it if a caller has asked it to stop."""
    return write_or_stop(
        "hold",
        job,
        [*actions, *checkpoint_actions(checkpoint)],
        conditional_write.unchanged(job) & conditional_write.no_cancel_requested(),
        already_applied=lambda row: (row.held_by, row.wait_key) == (held_by, wait_key),
        release=holdings.Release.all_but_key(job),
        checkpoint=checkpoint,
        more_writes=[RecordWrite(entry, "put")],
    )


def restore_entry(job: JobRequest, *, due_at: int) -> Change:
    """Restore the missing entry of a waiting job at its position in the line.

    The same transaction postpones the job's next check to `due_at`. Raises PreconditionFailed if
    the row no longer names that entry, or if its due time has changed. Raises RaceLost if the entry
    exists.
    """
    return conditional_write.write(
        "postpone",
        job,
        conditional_write.due_actions(job, due_at, Lane.HELD),
        (JobRequest.wait_key == job.wait_key) & (JobRequest.due_at == job.due_at),
        already_applied=lambda row: row.due_at == due_at,
        more_writes=[
            RecordWrite(entry_from_row(job), "put", condition=LineItem.sk.does_not_exist())
        ],
    )


def admit(job: JobRequest, grant: Grant | None = None) -> Change:
    """Queue a held job again. The time that it waited doesn't count against its time limits.

    A job in a line takes the capacity of `grant` in the same transaction. Raises RaceLost if
    another job got that capacity in the meantime. Raises PreconditionFailed if the job no longer
    waits. If another process has admitted it, that process also sends its message.
    """
    grant_actions, grant_writes = grant_changes(job, grant)
    now = clock.now()
    return conditional_write.write(
        "admit",
        job,
        [*admit_actions(job, grant, now), *grant_actions],
        conditional_write.unchanged(job)
        & (JobRequest.status == Status.WAITING)
        & (JobRequest.waiting_since == job.waiting_since),
        already_applied=lambda row: (
            row.status is Status.QUEUED
            and row.claim_token == job.claim_token
            and (grant is None or row.admitted_at == now)
        ),
        more_writes=[*holdings.writes_to_drop_entry(job), *grant_writes],
    )


def admit_actions(
    job: JobRequest, grant: Grant | None = None, now: int | None = None
) -> list[Action]:
    """Return the actions that queue a held job again, except the one that sets its slot."""
    if now is None:
        now = clock.now()
    waited = max(0, now - (job.waiting_since or now))
    actions = [
        *conditional_write.queue_actions_keeping_time(job, Lane.PROMPT, now),
        JobRequest.queued_at.set(_new_queued_at(job, grant, now, waited)),
        *conditional_write.clear_hold_actions(),
    ]
    if job.attempt_started_at is not None:
        actions.append(JobRequest.attempt_started_at.set(job.attempt_started_at + waited))
    if grant is not None:
        actions.append(JobRequest.admitted_at.set(now))
        actions += starts_under_rate_actions(job, grant)
    return actions


def _new_queued_at(job: JobRequest, grant: Grant | None, now: int, waited: int) -> int:
    """Return the `queued_at` of an admitted job. The time limit for its start counts from then on.

    The time that the job waited (`waited`) never counts. The time before the wait counts if the job
    waited in a line, and no worker has claimed it since it could run. If it didn't count, each
    admission would restart the limit, and a job that no worker can start might never reach it.
    """
    if grant is None or (job.started_at or 0) >= job.could_run_at:
        return now
    return min(now, job.could_run_at + waited)


def starts_under_rate_actions(job: JobRequest, grant: Grant) -> list[Action]:
    """Return the action, if needed, that records whether the rate counts the job's next claim."""
    if grant.rate is not None:
        return [JobRequest.starts_under_rate.set(True)]
    return [JobRequest.starts_under_rate.remove()] if job.starts_under_rate else []


def grant_changes(job: JobRequest, grant: Grant | None) -> tuple[list[Action], list[RecordWrite]]:
    """Return what gives the capacity of a grant to a job.

    These are actions for the job's row, and writes of the items of its line. Without a grant, both
    lists are empty.
    """
    if grant is None:
        return [], []
    actions: list[Action] = []
    if grant.slot is not None:
        actions.append(JobRequest.slot.set(grant.slot.number))
    return actions, grant.writes_for(job)
