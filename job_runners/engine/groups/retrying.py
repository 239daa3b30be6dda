"""Retry a member of a group manually.

The *parent* is the job that waits for the group. Each member that hasn't ended has a *marker*, an
item of its own in the table. The retry gives the member a new marker. A parent that still waits for
the group then waits for the retried member too.
"""

from collections.abc import Callable

from job_runners.engine.groups import markers
from job_runners.engine.telemetry import telemetry
from job_runners.errors import PreconditionFailed
from job_runners.store import groups
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.queries import read
from job_runners.store.transactions import RaceLost, RecordWrite

_TRIES = 5  # how often to try if the parent changes between the read and the write


def requeue(member: JobRequest, write_retry: Callable[..., Change]) -> Change:
    """Queue a member again with a new marker, in a transaction that checks its parent.

    `write_retry` writes the retry. Its argument `member_mark` identifies the new marker, and its
    argument `more_writes` has writes for the same transaction. It raises RaceLost if one of these
    is refused.

    The marker is written first, and the transaction checks that it still exists. But another
    process may have read the markers before this one was written, and may be about to let the
    parent continue. To prevent that, the transaction also adds 1 to the parent's `gather_epoch`, so
    that the other process's write is refused. If the parent is done with the group, the
    transaction only checks this.

    Raises PreconditionFailed if the parent changes during each try. After any error, call
    `drop_marker`.
    """
    for _ in range(_TRIES):
        parent = read(str(member.parent_id))
        mark = groups.renew_marker(member)
        marker_check = groups.marker_check(str(member.member_of), member.id, mark)
        try:
            return write_retry(
                member_mark=mark, more_writes=[marker_check, _parent_write(member, parent)]
            )
        except RaceLost:
            continue
    raise PreconditionFailed("requeue", member.id, "in a group that keeps changing", member)


def drop_marker(member: JobRequest) -> Change | None:
    """Delete the marker of a member whose retry failed, unless the member is queued after all.

    If the marker stayed, the parent would wait for the member. If this was the last marker, let the
    parent continue, and return its change. Only log errors, because the timer also deletes such
    markers.
    """
    try:
        marker = groups.find_marker(member)
        if marker is None:
            return None
        if not markers.delete_if_ended(marker, read(member.id)):
            return None
        return markers.finish(str(member.parent_id))
    except Exception as error:  # noqa: BLE001 - the caller gets the error of the retry
        telemetry.crashed(error)
    return None


def _parent_write(member: JobRequest, parent: JobRequest | None) -> RecordWrite:
    """Return the write to the parent that belongs to a member's retry.

    If the parent was done with the group when it was read, check that this is still so. Otherwise
    add 1 to its `gather_epoch`, and check that it isn't done with the group.
    """
    group_id = groups.group_id_of(member)
    row = JobRequest(id=str(member.parent_id))
    final_statuses = [status for status in Status if status.finished]
    # These are conditions for DynamoDB. They say the same as `_is_done_with`.
    has_ended = JobRequest.status.is_in(*final_statuses)
    if parent is None or _is_done_with(group_id, parent):
        still_done = (
            has_ended
            | (JobRequest.last_group_id != group_id)
            | (JobRequest.last_finished_group_id == group_id)
        )
        return RecordWrite(row, "check", condition=still_done)
    # `!=` also holds if `last_finished_group_id` doesn't exist.
    still_waits = (
        ~has_ended
        & (JobRequest.last_group_id == group_id)
        & (JobRequest.last_finished_group_id != group_id)
    )
    return RecordWrite(row, "change", [JobRequest.gather_epoch.add(1)], still_waits)


def _is_done_with(group_id: str, parent: JobRequest) -> bool:
    """Return whether the parent has ended, has begun another group, or has finished this one."""
    return (
        parent.status.finished
        or parent.last_group_id != group_id
        or parent.last_finished_group_id == group_id
    )
