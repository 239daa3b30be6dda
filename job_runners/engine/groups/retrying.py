"""Retry a member of a group by hand. If its owner still waits, the owner waits for it again."""

from collections.abc import Sequence
from typing import Protocol

from job_runners.errors import PreconditionFailed
from job_runners.store import groups
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.queries import read
from job_runners.store.transactions import RaceLost, RecordWrite

_TRIES = 5  # how many times to try if the owner changes between the read and the write


class Requeue(Protocol):
    """Queues a job again, and makes `more_writes` in the same transaction."""

    def __call__(self, *, mark: str, more_writes: Sequence[RecordWrite]) -> JobRequest:
        """Return the row. `mark` identifies its new marker. Raises RaceLost."""


def requeue(member: JobRequest, write: Requeue) -> JobRequest:
    """Queue a member again with a fresh marker, in a transaction that checks its owner.

    The marker comes first, in a write of its own, and the transaction checks that it is still
    there. If the owner isn't done with the group, the transaction also changes the owner's
    `gather_epoch`, so that a process that read the markers earlier can't continue the owner.

    Raises PreconditionFailed if the owner changes during every try.
    """
    member_of = str(member.member_of)
    for _ in range(_TRIES):
        owner = read(str(member.parent_id))
        mark = groups.put_marker(member_of, member.id)
        marker_is_there = groups.marker_check(member_of, member.id, mark)
        try:
            return write(mark=mark, more_writes=[marker_is_there, _owner_write(member, owner)])
        except RaceLost:
            continue
    raise PreconditionFailed("requeue", member.id, "in a group that keeps changing", member)


def _owner_write(member: JobRequest, owner: JobRequest | None) -> RecordWrite:
    """Return the check that the owner is done with the group, or the change of its epoch."""
    group_id = groups.id_of(member)
    row = JobRequest(id=str(member.parent_id))
    finished = JobRequest.status.is_in(*(each for each in Status if each.finished))
    done = finished | (JobRequest.gathers != group_id) | (JobRequest.gathered == group_id)
    if owner is None or _is_done(owner, group_id):
        return RecordWrite(row, "check", condition=done)
    # `!=` also holds if `gathered` doesn't exist.
    waits = ~finished & (JobRequest.gathers == group_id) & (JobRequest.gathered != group_id)
    return RecordWrite(row, "change", [JobRequest.gather_epoch.add(1)], waits)


def _is_done(owner: JobRequest, group_id: str) -> bool:
    return owner.status.finished or owner.gathers != group_id or owner.gathered == group_id
