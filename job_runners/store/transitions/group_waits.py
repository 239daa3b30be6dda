"""The transitions of a job that dispatches a group and waits for it. Import them lazily."""

from typing import Any

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from job_runners import clock
from job_runners.store import conditional_write, current_wait, group_holds, groups, holdings
from job_runners.store.conditional_write import Change, JobEnd
from job_runners.store.groups import Group
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.transitions import waits
from job_runners.store.transitions.ending import Checkpoint
from job_runners.store.transitions.holding import admit_actions


def begin_gather(job: JobRequest, group: Group) -> Change:
    """Record that a running job is about to dispatch a group.

    The write is refused if the job was asked to stop: a cancel of the job with its members must not
    miss the members of this group.
    """
    return conditional_write.write(
        "begin_gather",
        job,
        [JobRequest.last_group_id.set(group.id), *conditional_write.waited_actions(job)],
        conditional_write.owned_by_claim(job) & conditional_write.no_cancel_requested(),
        already_applied=None,
    )


def count_members(job: JobRequest, counts: dict[str, Any]) -> Change:
    """Store the numbers of a running job's members, which it is dispatching."""
    return conditional_write.write(
        "checkpoint",
        job,
        [JobRequest.member_counts.set(counts), JobRequest.updated_at.set(clock.now())],
        conditional_write.owned_by_claim(job),
        already_applied=None,
    )


def gather(
    job: JobRequest,
    name: str,
    group: Group,
    *,
    since: int,
    until: int,
    stop_after: int | None,
    reached: Checkpoint,
) -> Change:
    """End the invocation of a running job that waits for a group that it has dispatched.

    It began to dispatch them at `since`, and fails if it still waits at `until`. Once `stop_after`
    members have failed, those that haven't started are canceled. For the rest see `sleep`.
    """
    wait = current_wait.Wait(current_wait.GROUP, name, [], since, until)
    actions = group_holds.hold_actions(job, wait, group, stop_after)
    return waits.end_invocation_in_wait("gather", job, actions, Status.WAITING, reached)


def finish_group(job: JobRequest) -> Change:
    """Admit a job whose group has no marker left.

    The caller must have read `job` before it read the markers. Raises PreconditionFailed if the job
    no longer waits under the same claim, or if a member was retried in the meantime. Raises it also
    if the job is to be canceled with its members by now: see `cancel_parent`.
    """
    group_id = groups.awaited_group(job).id
    return conditional_write.write(
        "finish_group",
        job,
        [*admit_actions(job), JobRequest.last_finished_group_id.set(group_id)],
        _waits_as_read(job) & JobRequest.cancel_members.does_not_exist(),
        already_applied=lambda row: (
            row.status is Status.QUEUED
            and row.last_finished_group_id == group_id
            and row.claim_token == job.claim_token
        ),
        resumes=True,
    )


def cancel_members(job: JobRequest, *, by: str | None) -> Change:
    """Record that the members of an unfinished job's group are to be canceled, and then the job.

    If no worker has the job, it waits for the group from now on, and the timer looks at the group
    in a minute. A running job without an open group has no such members, so it is asked to stop.
    Raises PreconditionFailed if the row has changed since it was read.
    """
    name = "cancel_members" if job.has_open_group else "cancel_requested"
    actions: list[Action] = [
        getattr(JobRequest, name).set(True),
        conditional_write.cancel_asked_action(),
    ]
    release = holdings.Release.nothing
    if by is not None:
        actions.append(JobRequest.canceled_by.set(JobRequest.canceled_by | by))
    if job.status is not Status.RUNNING:
        actions += group_holds.cancel_actions(job)
        release = holdings.Release.all_but_key
    same = conditional_write.same
    return holdings.write_freeing(
        "cancel_members" if job.has_open_group else "request_cancel",
        job,
        actions,
        (JobRequest.created_key == job.created_key)
        & conditional_write.unchanged(job)
        & same(JobRequest.held_by, job.held_by)
        & same(JobRequest.last_group_id, job.last_group_id)
        & same(JobRequest.last_finished_group_id, job.last_finished_group_id),
        already_applied=None,  # if the row has changed since, the caller asks again
        release=release(job),
    )


def cancel_parent(job: JobRequest) -> Change:
    """Cancel a job whose members were to be canceled, after all of them have ended.

    The write is refused as that of `finish_group`. Raises PreconditionFailed.
    """
    end = JobEnd.now(Status.CANCELED, job.error)
    return holdings.write_freeing(
        "cancel_parent",
        job,
        conditional_write.finish_actions(end),
        _waits_as_read(job) & (JobRequest.cancel_members == True),  # noqa: E712
        already_applied=Status.CANCELED,
        release=holdings.Release.everything(job, end),
    )


def _waits_as_read(job: JobRequest) -> Condition:
    """Return the condition that a job still waits for its group under the same claim, and that no
    member was retried since the row was read."""
    same = conditional_write.same
    condition: Condition = (
        (JobRequest.status == Status.WAITING)
        & (JobRequest.held_by == job.held_by)
        & same(JobRequest.claim_token, job.claim_token)
        & same(JobRequest.gather_epoch, job.gather_epoch)
    )
    return condition
