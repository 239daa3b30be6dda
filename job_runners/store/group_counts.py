"""Count the members of a group by outcome.

This reads only the rows of members that have failed. All members that have ended and haven't failed
have succeeded. Each member that hasn't ended has a *marker*, an item of its own, and each member
that has failed at least once has a *failure*.
"""

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

_MAX_ROWS_READ = 2_000  # rows of failed members, for one count

# A function that calls the function that it gets, and repeats the call after temporary errors.
_Call = Callable[[Callable[[], Any]], Any]


class Counts(Value):
    """How many members a group has: in total, and by outcome."""

    total: int
    open: int
    succeeded: int
    failed: int
    canceled: int
    existing: int  # unique members whose work an existing job does
    ended_once: int  # members that have ended at least once, even if they were retried since

    @classmethod
    def of(cls, total: int, by_outcome: Counter[str], ended_once: int) -> Self:
        """Return the counts of a group from a Counter of outcomes."""
        counts = {outcome: by_outcome[outcome] for outcome in OUTCOMES}
        return cls(total=total, ended_once=ended_once, **counts)

    @property
    def progress(self) -> int:
        """Return the percentage of members that have ended at least once."""
        return 100 * self.ended_once // self.total if self.total else 100

    def within(self, total: int, *, rest: str) -> Self:
        """Return these counts of dispatched members, extended to all members of the group.

        `total` is the number of all members. `rest` is the outcome of those that aren't dispatched.
        """
        by_outcome = Counter(self.by_outcome)
        by_outcome[rest] += max(0, total - self.total)
        return self.of(total, by_outcome, self.ended_once)

    @property
    def by_outcome(self) -> dict[str, int]:
        """Return how many members have each outcome."""
        return {outcome: getattr(self, outcome) for outcome in OUTCOMES}


def count_dispatched(
    group: Group, total: int, *, max_rows: int | None = None, call: _Call = lambda read: read()
) -> Counts:
    """Count the dispatched members of a group. `total` is their number.

    - `max_rows`: how many rows of failed members to read at most, by default 2,000. The other
      failed members count as they first ended, although some may have been retried.
    - `call` gets each read as a function, and calls it.
    """
    counts: Counter[str] = Counter()
    failures: list[GroupItem] = []
    for partition in group.partitions:
        # Count the markers before the failures. When a member fails, its failure is put before its
        # marker is deleted. So if it fails during these reads, at least one of them finds it.
        counts[OPEN] += call(lambda: groups.count(partition, groups.MARKER))  # noqa: B023
        counts[EXISTING] += call(lambda: groups.count(partition, groups.EXISTING_JOB))  # noqa: B023
        failures += call(lambda: list(groups.items_of_kind(partition, groups.FAILURE)))  # noqa: B023
    failed_once = _count_failed_once(
        failures, _MAX_ROWS_READ if max_rows is None else max_rows, call
    )
    # Members that failed and were then retried may be open again, or have succeeded. The open ones
    # also have a marker, so they are already counted. The succeeded ones are part of the rest.
    retried = failed_once.pop(OPEN, 0)
    failed_once.pop("succeeded", None)
    counts[OPEN] = max(counts[OPEN], retried)
    counts += failed_once
    total_open = min(total, counts[OPEN])
    counts["succeeded"] = max(0, total - counts.total())
    ended_once = min(total, total - total_open + retried)
    return Counts.of(total, counts, ended_once)


def to_stored(group: Group, counts: Counts, earlier: dict[str, Any] | None) -> dict[str, Any]:
    """Return the counts in the form in which the row of the parent stores them.

    `earlier` is what the row has. The number of members that have ended once never decreases.
    """
    ended_once = counts.ended_once
    if earlier is not None and earlier["group"] == group.id:
        ended_once = max(ended_once, earlier["ended"])
    return {"group": group.id, "at": clock.now(), "ended": ended_once, **counts.by_outcome}


def _count_failed_once(failures: list[GroupItem], max_rows: int, call: _Call) -> Counter[str]:
    """Count the members that have failed at least once, by their current outcome.

    A member without a row, or whose row isn't read, counts as it first ended.
    """
    counts = Counter(failure.outcome for failure in failures[max_rows:])
    remaining = iter(failures[:max_rows])
    while page := list(islice(remaining, PAGE_LIMIT)):
        rows = call(lambda: read_many([failure.member_id for failure in page], fresh=True))
        for row in rows.values():
            counts[str(row.status) if row.status.finished else OPEN] += 1
        counts += Counter(failure.outcome for failure in page if failure.member_id not in rows)
    return counts
