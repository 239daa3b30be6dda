"""The transitions of a job that dispatches a group and waits for its members.

Import them lazily, because most jobs have no group.
"""

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

    The write is refused if a caller has asked the job to stop. Otherwise, a cancel of the job and
    its members might miss the members of this group.
    """
    return conditional_write.write(
        "begin_gather",
        job,
        [JobRequest.last_group_id.set(group.id), *conditional_write.waited_actions(job)],
        conditional_write.owned_by_claim(job) & conditional_write.no_cancel_requested(),
        already_applied=None,
    )


def count_members(job: JobRequest, counts: dict[str, Any]) -> Change:
    """Store the counts of the members that a running job is dispatching."""
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
    checkpoint: Checkpoint,
) -> Change:
    """End the invocation of a running job that waits for a group that it has dispatched.

    It began to dispatch the members at `since`, and fails if it still waits at `until`. Once
    `stop_after` members have failed, those that haven't started are canceled. The rest is as in
    `waits.sleep`.
    """
    wait = current_wait.Wait(current_wait.GROUP, name, [], since, until)
    actions = group_holds.hold_actions(job, wait, group, stop_after)
    return waits.end_invocation_in_wait("gather", job, actions, Status.WAITING, checkpoint)


def finish_group(job: JobRequest) -> Change:
    """Admit a job whose group has no marker left.

    The caller must have read `job` before it read the markers. Raises PreconditionFailed if the job
    no longer waits under the same claim, or if a member was retried in the meantime. Raises it too
    if a caller has canceled the job and its members: call `cancel_parent` then.
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
    """Record that a caller has canceled an unfinished job and the members of its group.

    If the job isn't running, it waits for the group from now on, and the timer looks at the group
    in a minute. A running job without an open group has no members to cancel, so it is only asked
    to stop. Raises PreconditionFailed if the row has changed since it was read.
    """
    flag = "cancel_members" if job.has_open_group else "cancel_requested"
    actions: list[Action] = [
        getattr(JobRequest, flag).set(True),
        conditional_write.cancel_asked_action(),
    ]
    if by is not None:
        actions.append(JobRequest.canceled_by.set(JobRequest.canceled_by | by))
    release = holdings.Release.nothing
    if job.status is not Status.RUNNING:
        actions += group_holds.cancel_actions(job)
        release = holdings.Release.all_but_key
    same = conditional_write.same
    return holdings.write_and_free(
        "cancel_members" if job.has_open_group else "request_cancel",
        job,
        actions,
        (JobRequest.created_key == job.created_key)
        & conditional_write.unchanged(job)
        & same(JobRequest.held_by, job.held_by)
        & same(JobRequest.last_group_id, job.last_group_id)
        & same(JobRequest.last_finished_group_id, job.last_finished_group_id),
        already_applied=None,  # after a refusal, the caller asks again
        release=release(job),
    )


def cancel_parent(job: JobRequest) -> Change:
    """Cancel a job that was canceled with its members, once all of them have ended.

    Raises PreconditionFailed if the job no longer waits under the same claim, or if a member was
    retried in the meantime.
    """
    end = JobEnd.now(Status.CANCELED, job.error)
    return holdings.write_and_free(
        "cancel_parent",
        job,
        conditional_write.finish_actions(end),
        _waits_as_read(job) & (JobRequest.cancel_members == True),  # noqa: E712
        already_applied=Status.CANCELED,
        release=holdings.Release.everything(job, end),
    )


def _waits_as_read(job: JobRequest) -> Condition:
    """Return the condition that a job still waits for its group as when its row was read.

    The claim is the same, and no member was retried since.
    """
    same = conditional_write.same
    condition: Condition = (
        (JobRequest.status == Status.WAITING)
        & (JobRequest.held_by == job.held_by)
        & same(JobRequest.claim_token, job.claim_token)
        & same(JobRequest.gather_epoch, job.gather_epoch)
    )
    return condition
