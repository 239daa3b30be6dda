"""Retry a member of a group manually. If its parent still waits, the parent waits for it again."""

from collections.abc import Sequence
from typing import Protocol

from job_runners.engine.groups import finishing, looking
from job_runners.engine.telemetry import telemetry
from job_runners.errors import PreconditionFailed
from job_runners.store import groups
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.queries import read
from job_runners.store.transactions import RaceLost, RecordWrite

_TRIES = 5  # how many times to try if the parent changes between the read and the write


class Requeue(Protocol):
    """Queues a job again, and makes `more_writes` in the same transaction."""

    def __call__(self, *, member_mark: str, more_writes: Sequence[RecordWrite]) -> Change:
        """`member_mark` identifies the job's new marker. Raises RaceLost."""


def requeue(member: JobRequest, write: Requeue) -> Change:
    """Queue a member again with a fresh marker, in a transaction that checks its parent.

    The marker comes first, in a write of its own, and the transaction checks that it is still
    there. If the parent isn't done with the group, the transaction also changes the parent's
    `gather_epoch`, so that a process that read the markers earlier can't continue the parent.

    Raises PreconditionFailed if the parent changes during every try. If this raises, call
    `drop_marker`.
    """
    for _ in range(_TRIES):
        parent = read(str(member.parent_id))
        mark = groups.renew_marker(member)
        marker_is_there = groups.marker_check(str(member.member_of), member.id, mark)
        try:
            return write(
                member_mark=mark, more_writes=[marker_is_there, _parent_write(member, parent)]
            )
        except RaceLost:
            continue
    raise PreconditionFailed("requeue", member.id, "in a group that keeps changing", member)


def drop_marker(member: JobRequest) -> Change | None:
    """Delete a member's marker if it isn't queued, because its parent would wait for it.

    Return the change of the parent, if this was the last marker. Errors are only logged: the timer
    is next.
    """
    try:
        marker = groups.find_marker(member)
        if marker is None or not looking.delete_if_ended(marker, read(member.id)):
            return None
        return finishing.finish(str(member.parent_id))
    except Exception as error:  # noqa: BLE001 - the caller gets the error of the retry
        telemetry.crashed(error)
    return None


def _parent_write(member: JobRequest, parent: JobRequest | None) -> RecordWrite:
    """Return the check that the parent is done with the group, or the change of its epoch."""
    group_id = groups.id_of(member)
    row = JobRequest(id=str(member.parent_id))
    finished = JobRequest.status.is_in(*(each for each in Status if each.finished))
    done = (
        finished
        | (JobRequest.last_group_id != group_id)
        | (JobRequest.last_finished_group_id == group_id)
    )
    if parent is None or _is_done(parent, group_id):
        return RecordWrite(row, "check", condition=done)
    # `!=` also holds if `last_finished_group_id` doesn't exist.
    waits = (
        ~finished
        & (JobRequest.last_group_id == group_id)
        & (JobRequest.last_finished_group_id != group_id)
    )
    return RecordWrite(row, "change", [JobRequest.gather_epoch.add(1)], waits)


def _is_done(parent: JobRequest, group_id: str) -> bool:
    return (
        parent.status.finished
        or parent.last_group_id != group_id
        or parent.last_finished_group_id == group_id
    )
