"""Read the members of a group and their outcomes, in the order in which the parent listed them.

The *parent* is the job that dispatches the members. It gives each of them a *key*. The keys are
stored in *chunks* of 1,000: see `job_runners.store.group_chunks`. A member is *open* until it has
ended.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from job_runners.store import group_chunks, groups
from job_runners.store.group_counts import Counts
from job_runners.store.groups import Group, GroupItem
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.member_outcomes import EXISTING, OPEN
from job_runners.store.queries import PAGE_LIMIT, read_many

# A page with a filter reads at most this many members, and collects at most this many ids of
# members that may pass the filter.
MAX_EXAMINED = 1_000
MAX_CANDIDATES = 1_000


class GroupMember(NamedTuple):
    """A member of a group."""

    key: str
    id: str  # the id of its job, or of the existing job that does its work
    outcome: str  # one of `member_outcomes.OUTCOMES`
    row: JobRequest | None  # None if it isn't dispatched yet, was deleted, or never got a row
    error: dict[str, Any] | None = None  # why it was refused, if its unique key was taken

    @property
    def is_dispatched(self) -> bool:
        """Return whether the dispatch of the group has reached this member."""
        return self.row is not None or self.outcome != OPEN

    @property
    def has_never_ended(self) -> bool:
        """Return whether the member is open, and was never retried after an earlier end."""
        return self.outcome == OPEN and not (self.row and groups.is_retried(self.row))


class Page(NamedTuple):
    """Some members of a group."""

    members: list[GroupMember]
    next: int | None  # the index of the next page's first member


class Reader:
    """Reads the members of a group, with consistent reads."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._dispatched_chunks = group_chunks.read_dispatched(group.id)

    @property
    def dispatched(self) -> int:
        """Return the number of members in completely dispatched chunks."""
        return sum(self._dispatched_chunks.sizes.values())

    @property
    def is_complete(self) -> bool:
        """Return whether all members are dispatched."""
        return self._dispatched_chunks.total is not None

    def count_dispatched(self) -> int:
        """Return the number of dispatched members, including those of an unfinished chunk."""
        if self._dispatched_chunks.total is not None:
            return self._dispatched_chunks.total
        unfinished_chunk = len(self._dispatched_chunks.sizes)
        keys = group_chunks.find_keys(self._group.id, unfinished_chunk)
        members = self._read(list(enumerate(keys, unfinished_chunk * group_chunks.SIZE)))
        return self.dispatched + sum(member.is_dispatched for member in members)

    def count(self) -> Counts:
        """Count the dispatched members of a group that has at most one chunk."""
        all_members = self._read(list(self._numbered_keys(0, None)))
        members = [member for member in all_members if member.is_dispatched]
        by_outcome = Counter(member.outcome for member in members)
        ended_once = len(members) - sum(member.has_never_ended for member in members)
        return Counts.of(len(members), by_outcome, ended_once)

    def page(self, start: int, limit: int, outcome: str | None = None) -> Page:
        """Return up to `limit` members, beginning at the index `start`.

        If `outcome` isn't None, return only members with this outcome. Such a page can be short or
        even empty although there is a next page. Members in chunks that aren't stored yet are left
        out.
        """
        members: list[GroupMember] = []
        remaining = self._numbered_keys(start, self._candidate_ids(outcome))
        examined = 0
        batch_size = limit if outcome is None else min(PAGE_LIMIT, MAX_EXAMINED)
        while len(members) < limit and examined < MAX_EXAMINED:
            batch = list(islice(remaining, batch_size))
            if not batch:
                break
            for (index, _), member in zip(batch, self._read(batch), strict=True):
                if len(members) == limit:
                    return Page(members, index)
                if outcome in (None, member.outcome):
                    members.append(member)
            examined += len(batch)
        # If `remaining` is used up, there is no next page.
        next_index, _ = next(remaining, (None, ""))
        return Page(members, next_index)

    def _candidate_ids(self, outcome: str | None) -> set[str] | None:
        """Return the ids of the members that may have this outcome, or None for all members.

        With these ids, a page finds a few failures in a large group without reading all of its
        members. If there are more than MAX_CANDIDATES, this returns None, because so many members
        are found without the ids.
        """
        if self._group.shards == 1 or outcome in (None, OPEN, "succeeded"):
            return None
        kind = groups.EXISTING_JOB if outcome == EXISTING else groups.FAILURE
        ids: set[str] = set()
        for partition in self._group.partitions:
            items = groups.items_of_kind(partition, kind, MAX_CANDIDATES + 1 - len(ids))
            ids.update(item.member_id for item in items)
            if len(ids) > MAX_CANDIDATES:
                return None
        return ids

    def _numbered_keys(
        self, start: int, candidate_ids: set[str] | None
    ) -> Iterator[tuple[int, str]]:
        """Yield the index and key of each member, beginning at the index `start`.

        If `candidate_ids` isn't None, yield only members with these ids.
        """
        chunk = start // group_chunks.SIZE
        while keys := group_chunks.find_keys(self._group.id, chunk):
            for index, key in enumerate(keys, chunk * group_chunks.SIZE):
                if index < start:
                    continue
                if candidate_ids is None or self._group.member_id(key) in candidate_ids:
                    yield index, key
            if len(keys) < group_chunks.SIZE:
                return
            chunk += 1

    def _read(self, batch: list[tuple[int, str]]) -> list[GroupMember]:
        ids = {key: self._group.member_id(key) for _, key in batch}
        rows = read_many(ids.values(), fresh=True)
        missing_ids = [member_id for member_id in ids.values() if member_id not in rows]
        reasons = groups.reasons_for_missing_rows(
            {member_id: self._group.shard_of(member_id) for member_id in missing_ids}
        )
        members = []
        for index, key in batch:
            member_id = ids[key]
            row = rows.get(member_id)
            if row is not None:
                outcome = str(row.status) if row.status.finished else OPEN
                members.append(GroupMember(key, member_id, outcome, row))
            else:
                reason = reasons.get(member_id)
                members.append(self._member_without_row(index, key, member_id, reason))
        return members

    def _member_without_row(
        self, index: int, key: str, member_id: str, reason: GroupItem | None
    ) -> GroupMember:
        """Return a member that has no row. `reason` is the item that says why, if there is one."""
        if reason is not None and reason.job_id is not None:
            return GroupMember(key, reason.job_id, EXISTING, None)
        if reason is not None and not reason.is_deleted:
            return GroupMember(key, member_id, reason.outcome, None, reason.error)
        # If the member had a row, it has ended. It has succeeded, because a failure leaves an item.
        is_chunk_dispatched = index // group_chunks.SIZE in self._dispatched_chunks.sizes
        had_row = reason is not None or is_chunk_dispatched
        return GroupMember(key, member_id, str(Status.SUCCEEDED) if had_row else OPEN, None)
