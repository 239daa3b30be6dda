"""The transitions of a job that dispatches a group of jobs, its *members*, and waits for them.

A job *gathers* a group: it waits until all members have ended, and collects their results. Each
member that hasn't ended has a *marker*, an item of its own. When no marker is left, the waiting job
is *admitted*, which means that it may continue. Import this module only where it is needed, because
most jobs have no group.
"""

from typing import Any

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from job_runners import clock
from job_runners.store import conditional_write, current_wait, groups, holdings
from job_runners.store.conditional_write import Change, JobEnd
from job_runners.store.groups import Group
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.transitions import waits
from job_runners.store.transitions.ending import Checkpoint
from job_runners.store.transitions.holding import admit_actions


def begin_gather(job: JobRequest, group: Group) -> Change:
    """Record that a running job is about to dispatch a group.

    Raises PreconditionFailed if a caller of the API has already asked the job to stop. If the job
    could still dispatch a group after that, the request might miss the members of that group.
    """
    return conditional_write.write(
        "begin_gather",
        job,
        [JobRequest.last_group_id.set(group.id), *conditional_write.waited_actions(job)],
        conditional_write.owned_by_claim(job) & conditional_write.no_cancel_requested(),
        already_applied=None,  # the condition still holds after the write, so a repetition succeeds
    )


def store_member_counts(job: JobRequest, counts: dict[str, Any]) -> Change:
    """Store the counts of the members that a running job is dispatching, as a checkpoint."""
    return conditional_write.write(
        "checkpoint",
        job,
        [JobRequest.member_counts.set(counts), JobRequest.updated_at.set(clock.now())],
        conditional_write.owned_by_claim(job),
        already_applied=None,  # the condition still holds after the write, so a repetition succeeds
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
    """End a running job's invocation, and make the job wait for a group that it has dispatched.

    - `name`: the name that the job's function gave the group
    - `since`: when the job began to dispatch the members
    - `until`: when the job fails if it still waits
    - `stop_after`: once this many members have failed, those that haven't started are canceled

    The job gives up its slot. Its waiting time doesn't count against its time limits. If a caller
    has asked the job to stop, this stops it instead.
    """
    wait = current_wait.Wait(current_wait.GROUP, name, since, until)
    actions = groups.wait_actions(job, wait, group, stop_after)
    return waits.end_invocation_in_wait("gather", job, actions, Status.WAITING, checkpoint)


def finish_group(job: JobRequest) -> Change:
    """Admit a job that waits for a group, because the group has no marker left.

    Read `job` before you read the markers, so that the condition notices a member that is retried
    after that. Raises PreconditionFailed in three cases: the job no longer waits under the same
    claim, a member was retried, or a caller of the API has canceled the job and its members. In the
    last case, call `cancel_parent`.
    """
    group_id = groups.awaited_group(job).id
    return conditional_write.write(
        "finish_group",
        job,
        [*admit_actions(job), JobRequest.last_finished_group_id.set(group_id)],
        _still_waits(job) & JobRequest.cancel_members.does_not_exist(),
        already_applied=lambda row: (
            row.status is Status.QUEUED
            and row.last_finished_group_id == group_id
            and row.claim_token == job.claim_token
        ),
        needs_message=True,
    )


def cancel_members(job: JobRequest, *, by: str | None) -> Change:
    """Record the request to cancel an unfinished job and the members of its group.

    This cancels neither the job nor the members. If the job isn't running, this makes it wait until
    the members have ended, and the timer checks that in a minute. A running job without an open
    group has no members to cancel, so it is only asked to stop. Raises PreconditionFailed if the
    row has changed since it was read.
    """
    if job.has_open_group:
        transition = "cancel_members"
        request = JobRequest.cancel_members.set(True)
    else:
        transition = "request_cancel"
        request = JobRequest.cancel_requested.set(True)
    actions: list[Action] = [request, *conditional_write.cancel_actions(by)]
    if job.status is Status.RUNNING:
        release = holdings.Release.nothing(job)
    else:
        actions += groups.member_wait_actions(job)
        release = holdings.Release.all_but_key(job)
    # `same` also holds if an attribute was missing and still is.
    same = conditional_write.same
    return holdings.write_and_free(
        transition,
        job,
        actions,
        (JobRequest.created_key == job.created_key)
        & conditional_write.unchanged(job)
        & same(JobRequest.held_by, job.held_by)
        & same(JobRequest.last_group_id, job.last_group_id)
        & same(JobRequest.last_finished_group_id, job.last_finished_group_id),
        already_applied=None,  # after a refusal, the calling code reads the row and tries again
        release=release,
    )


def cancel_parent(job: JobRequest) -> Change:
    """Cancel a job that was canceled with its members, once all of them have ended.

    Raises PreconditionFailed if the job no longer waits under the same claim, or if a member was
    retried in the meantime.
    """
    end = JobEnd(Status.CANCELED, job.error)
    return holdings.write_and_free(
        "cancel_parent",
        job,
        conditional_write.finish_actions(end),
        _still_waits(job) & (JobRequest.cancel_members == True),  # noqa: E712
        already_applied=Status.CANCELED,
        release=holdings.Release.everything(job, end),
    )


def _still_waits(job: JobRequest) -> Condition:
    """Return the condition that a job still waits for its group.

    Its claim must be the same as when the row was read, and no member may have been retried since:
    a manual retry of a member changes `gather_epoch`.
    """
    same = conditional_write.same
    condition: Condition = (
        (JobRequest.status == Status.WAITING)
        & (JobRequest.held_by == job.held_by)
        & same(JobRequest.claim_token, job.claim_token)
        & same(JobRequest.gather_epoch, job.gather_epoch)
    )
    return condition
