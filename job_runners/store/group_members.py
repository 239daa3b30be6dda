"""Read the members of a group in the order of their caller, with the outcome of each."""

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

MAX_EXAMINED = 1_000  # members of one page with a filter
MAX_CANDIDATES = 1_000  # members that a page looks for by their ids


class GroupMember(NamedTuple):
    """A member of a group. `outcome` is one of `group_counts.OUTCOMES`.

    `row` is None if the member isn't dispatched yet, was deleted, or never got a row. `id` is that
    of its job, or of the existing job. `error` is set if its unique rule refused it.
    """

    key: str
    id: str
    outcome: str
    row: JobRequest | None
    error: dict[str, Any] | None = None

    @property
    def is_dispatched(self) -> bool:
        """Return whether it is dispatched."""
        return self.row is not None or self.outcome != OPEN

    @property
    def has_never_ended(self) -> bool:
        """Return whether it is open, and was never retried manually, which needs an end."""
        return self.outcome == OPEN and not (self.row and groups.is_retried(self.row))


class Page(NamedTuple):
    """Some members of a group. `next` is the index at which the next page begins, or None."""

    members: list[GroupMember]
    next: int | None


class Reader:
    """Reads the members of a group. Each read is consistent."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._done = group_chunks.read_dispatched(group.id)

    @property
    def dispatched(self) -> int:
        """Return the number of members in the chunks that are all dispatched."""
        return sum(self._done.sizes.values())

    @property
    def is_complete(self) -> bool:
        """Return whether all members are dispatched."""
        return self._done.total is not None

    def count_dispatched(self) -> int:
        """Return the number of dispatched members, also of the chunk that is not finished."""
        if self._done.total is not None:
            return self._done.total
        chunk = len(self._done.sizes)
        keys = group_chunks.find_keys(self._group.id, chunk) or []
        members = self._read(list(enumerate(keys, chunk * group_chunks.SIZE)))
        return self.dispatched + sum(each.is_dispatched for each in members)

    def count(self) -> Counts:
        """Count the dispatched members of a group of at most one chunk."""
        members = [each for each in self._read(list(self._keys(0, None))) if each.is_dispatched]
        found = Counter(each.outcome for each in members)
        first_time = sum(each.has_never_ended for each in members)
        return Counts.of(len(members), found, len(members) - first_time)

    def page(self, start: int, limit: int, outcome: str | None = None) -> Page:
        """Return up to `limit` members from the index `start`, or only those with this outcome.

        Members that aren't dispatched yet aren't listed. A page with a filter can be short or empty
        even if there is a next page.
        """
        found: list[GroupMember] = []
        left, examined = self._keys(start, self._candidates(outcome)), 0
        size = limit if outcome is None else min(PAGE_LIMIT, MAX_EXAMINED)
        while len(found) < limit and examined < MAX_EXAMINED:
            batch = list(islice(left, size))
            if not batch:
                break
            for (index, _), member in zip(batch, self._read(batch), strict=True):
                if len(found) == limit:
                    return Page(found, index)
                if outcome in (None, member.outcome):
                    found.append(member)
            examined += len(batch)
        following = next(left, None)
        return Page(found, None if following is None else following[0])

    def _candidates(self, outcome: str | None) -> set[str] | None:
        """Return the ids that a member with this outcome may have. None stands for all.

        If there are many such ids, a page finds enough members without them, and each page would
        have to read them all.
        """
        if self._group.shards == 1 or outcome in (None, OPEN, "succeeded"):
            return None
        listed = groups.existing_ids if outcome == EXISTING else groups.failed_ids
        found: set[str] = set()
        for partition in self._group.partitions:
            found.update(listed(partition, MAX_CANDIDATES + 1 - len(found)))
            if len(found) > MAX_CANDIDATES:
                return None
        return found

    def _keys(self, start: int, candidates: set[str] | None) -> Iterator[tuple[int, str]]:
        """Yield the index and the key of each member, or of those with these ids."""
        chunk = start // group_chunks.SIZE
        while keys := group_chunks.find_keys(self._group.id, chunk):
            for index, key in enumerate(keys, chunk * group_chunks.SIZE):
                if index >= start and (
                    candidates is None or self._group.member_id(key) in candidates
                ):
                    yield index, key
            if len(keys) < group_chunks.SIZE:
                return
            chunk += 1

    def _read(self, batch: list[tuple[int, str]]) -> list[GroupMember]:
        ids = {key: self._group.member_id(key) for _, key in batch}
        rows = read_many(ids.values(), fresh=True)
        missing = [each for each in ids.values() if each not in rows]
        items = groups.reasons_without_rows({each: self._group.member_of(each) for each in missing})
        return [
            _member(key, rows.get(ids[key]), items.get(ids[key]), ids[key], self._is_added(index))
            for index, key in batch
        ]

    def _is_added(self, index: int) -> bool:
        return index // group_chunks.SIZE in self._done.sizes


def _member(
    key: str, row: JobRequest | None, item: GroupItem | None, member_id: str, is_added: bool
) -> GroupMember:
    if row is not None:
        outcome = str(row.status) if row.status.finished else OPEN
        return GroupMember(key, row.id, outcome, row)
    if item is not None and item.job_id is not None:
        return GroupMember(key, item.job_id, EXISTING, None)
    if item is not None and not item.is_deleted:
        return GroupMember(key, member_id, item.outcome, None, item.error)
    # A row that is gone has ended. Without a record of its failure, it has succeeded.
    is_gone = is_added or item is not None
    return GroupMember(key, member_id, str(Status.SUCCEEDED) if is_gone else OPEN, None)
