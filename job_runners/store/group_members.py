"""Read the members of a group and their outcomes, in the order in which the job listed them.

The keys of the members are stored in *chunks* of 1,000. A member is *open* until it has ended.
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

MAX_EXAMINED = 1_000  # members that are read for one page with a filter
MAX_CANDIDATES = 1_000  # ids of members that may match a filter


class GroupMember(NamedTuple):
    """A member of a group."""

    key: str
    id: str  # the id of its job, or of the existing job that does its work
    outcome: str  # one of `member_outcomes.OUTCOMES`
    row: JobRequest | None  # None if it isn't dispatched yet, was deleted, or never got a row
    error: dict[str, Any] | None = None  # set if the rule for unique jobs refused it

    @property
    def is_dispatched(self) -> bool:
        """Return whether a dispatch has created the member, or decided that it gets no job."""
        return self.row is not None or self.outcome != OPEN

    @property
    def has_never_ended(self) -> bool:
        """Return whether the member is open and was never retried.

        Only a member that has ended can be retried.
        """
        return self.outcome == OPEN and not (self.row and groups.is_retried(self.row))


class Page(NamedTuple):
    """Some members of a group."""

    members: list[GroupMember]
    next: int | None  # the index of the member with which the next page begins


class Reader:
    """Reads the members of a group, with consistent reads."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._done = group_chunks.read_dispatched(group.id)

    @property
    def dispatched(self) -> int:
        """Return the number of members in the chunks that are completely dispatched."""
        return sum(self._done.sizes.values())

    @property
    def is_complete(self) -> bool:
        """Return whether all members are dispatched."""
        return self._done.total is not None

    def count_dispatched(self) -> int:
        """Return the number of dispatched members, including those of an unfinished chunk."""
        if self._done.total is not None:
            return self._done.total
        chunk = len(self._done.sizes)
        keys = group_chunks.find_keys(self._group.id, chunk)
        members = self._read(list(enumerate(keys, chunk * group_chunks.SIZE)))
        return self.dispatched + sum(member.is_dispatched for member in members)

    def count(self) -> Counts:
        """Count the dispatched members of a group that has at most one chunk."""
        all_members = self._read(list(self._keys(0, None)))
        members = [member for member in all_members if member.is_dispatched]
        by_outcome = Counter(member.outcome for member in members)
        ended_once = len(members) - sum(member.has_never_ended for member in members)
        return Counts.of(len(members), by_outcome, ended_once)

    def page(self, start: int, limit: int, outcome: str | None = None) -> Page:
        """Return up to `limit` members from the index `start`, or only those with this outcome.

        Members of chunks that aren't stored yet are left out. A page with a filter can be short or
        empty even if there is a next page.
        """
        members: list[GroupMember] = []
        remaining = self._keys(start, self._candidates(outcome))
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
        next_index, _ = next(remaining, (None, ""))
        return Page(members, next_index)

    def _candidates(self, outcome: str | None) -> set[str] | None:
        """Return the ids of all members that may have this outcome, or None for any member.

        With the ids, a page needn't read all members of a large group to find a few that failed. If
        many members may have this outcome, return None: a page then finds enough of them anyway.
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

    def _keys(self, start: int, candidates: set[str] | None) -> Iterator[tuple[int, str]]:
        """Yield the index and key of each member from the index `start` on.

        If `candidates` isn't None, yield only members with these ids.
        """
        chunk = start // group_chunks.SIZE
        while keys := group_chunks.find_keys(self._group.id, chunk):
            for index, key in enumerate(keys, chunk * group_chunks.SIZE):
                is_candidate = candidates is None or self._group.member_id(key) in candidates
                if index >= start and is_candidate:
                    yield index, key
            if len(keys) < group_chunks.SIZE:
                return
            chunk += 1

    def _read(self, batch: list[tuple[int, str]]) -> list[GroupMember]:
        ids = {key: self._group.member_id(key) for _, key in batch}
        rows = read_many(ids.values(), fresh=True)
        missing = [member_id for member_id in ids.values() if member_id not in rows]
        items = groups.reasons_without_rows(
            {member_id: self._group.member_of(member_id) for member_id in missing}
        )
        members = []
        for index, key in batch:
            member_id = ids[key]
            row = rows.get(member_id)
            if row is not None:
                outcome = str(row.status) if row.status.finished else OPEN
                members.append(GroupMember(key, member_id, outcome, row))
            else:
                item = items.get(member_id)
                members.append(self._member_without_row(index, key, member_id, item))
        return members

    def _member_without_row(
        self, index: int, key: str, member_id: str, item: GroupItem | None
    ) -> GroupMember:
        """Return a member that has no row. `item` tells why, if such an item exists."""
        if item is not None and item.job_id is not None:
            return GroupMember(key, item.job_id, EXISTING, None)
        if item is not None and not item.is_deleted:
            return GroupMember(key, member_id, item.outcome, None, item.error)
        # If the row existed and is gone, the member has ended. If no item records its failure, it
        # has succeeded.
        had_row = index // group_chunks.SIZE in self._done.sizes or item is not None
        return GroupMember(key, member_id, str(Status.SUCCEEDED) if had_row else OPEN, None)
