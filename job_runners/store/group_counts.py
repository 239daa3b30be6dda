"""Count the members of a group by outcome, without reading the rows of those that succeeded."""

from collections import Counter
from collections.abc import Callable
from itertools import islice
from typing import Any, Self

from job_runners import clock
from job_runners.store import groups
from job_runners.store.groups import Group, GroupItem
from job_runners.store.member_outcomes import EXISTING, OPEN, OUTCOMES
from job_runners.store.queries import PAGE_LIMIT, read_many
from job_runners.values import Value

_MAX_ROWS_READ = 2_000  # rows of failed members that one look reads

_Call = Callable[[Callable[[], Any]], Any]


class Counts(Value):
    """The numbers of a group's members. `ended_once` never falls, even if a member is retried."""

    total: int
    open: int
    succeeded: int
    failed: int
    canceled: int
    existing: int
    ended_once: int

    @classmethod
    def of(cls, total: int, found: Counter[str], ended_once: int) -> Self:
        """Return the counts of a group, of which `found` has the numbers by outcome."""
        return cls(total=total, ended_once=ended_once, **{each: found[each] for each in OUTCOMES})

    @property
    def progress(self) -> int:
        """Return the percentage of members that have ended at least once."""
        return 100 * self.ended_once // self.total if self.total else 100

    def within(self, total: int, *, rest: str) -> Self:
        """Return the counts of a group with this total. Members that these counts leave out aren't
        dispatched. Their outcome is `rest`."""
        found = Counter(self.by_outcome)
        found[rest] += max(0, total - self.total)
        return self.of(total, found, self.ended_once)

    @property
    def by_outcome(self) -> dict[str, int]:
        """Return the numbers of members by outcome."""
        return {each: getattr(self, each) for each in OUTCOMES}


def count_dispatched(
    group: Group, total: int, *, most: int | None = None, call: _Call = lambda read: read()
) -> Counts:
    """Count the members of a group that are all dispatched.

    At most `most` rows of members that have failed are read, by default 2,000. The others of them
    count as they first ended, although some may have been retried. `call` makes each request.
    """
    found: Counter[str] = Counter()
    failures: list[GroupItem] = []
    for each in group.partitions:
        # Markers come first: a member that fails in between has its failure before it loses its
        # marker. So no member that isn't done is missed.
        found[OPEN] += call(lambda: groups.count_open(each))  # noqa: B023
        found[EXISTING] += call(lambda: groups.count_existing(each))  # noqa: B023
        failures += call(lambda: list(groups.failure_items(each)))  # noqa: B023
    ended = _statuses(failures, _MAX_ROWS_READ if most is None else most, call)
    again = ended.pop(OPEN, 0)  # retried members, which have a marker too
    found[OPEN] = max(found[OPEN], again)
    ended.pop("succeeded", None)
    found += ended
    total_open = min(total, found[OPEN])
    found["succeeded"] = max(0, total - found.total())
    return Counts.of(total, found, min(total, total - total_open + again))


def to_stored(group: Group, counts: Counts, earlier: dict[str, Any] | None) -> dict[str, Any]:
    """Return the counts as the row of a group's job stores them, which has the `earlier` ones.

    The number of members that have ended once never falls.
    """
    ended = counts.ended_once
    if earlier is not None and earlier["group"] == group.id:
        ended = max(ended, earlier["ended"])
    return {"group": group.id, "at": clock.now(), "ended": ended, **counts.by_outcome}


def _statuses(failures: list[GroupItem], most: int, call: _Call) -> Counter[str]:
    """Count members that have failed once by their outcome now. One without a row has ended as it
    first did."""
    found = Counter(each.outcome for each in failures[most:])
    left = iter(failures[:most])
    while page := list(islice(left, PAGE_LIMIT)):
        rows = call(lambda: read_many([each.member_id for each in page], fresh=True))
        found += Counter(str(row.status) if row.status.finished else OPEN for row in rows.values())
        found += Counter(each.outcome for each in page if each.member_id not in rows)
    return found
