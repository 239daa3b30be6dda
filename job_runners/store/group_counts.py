"""Count the members of a group by outcome.

A member that hasn't ended has an item called a *marker*. A member that has failed at least once has
an item called a *failure*. (Both are in `job_runners.store.groups`.) All other dispatched members
have succeeded. Only the rows of members with a failure are read, because a retry may have changed
the outcome.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Any, Self

from job_runners import clock
from job_runners.store import groups
from job_runners.store.groups import Group, GroupItem
from job_runners.store.member_outcomes import EXISTING, OPEN, OUTCOMES
from job_runners.store.queries import PAGE_LIMIT, read_many
from job_runners.values import Value

_MAX_ROWS_READ = 2_000  # the rows of failed members that one count reads

# A function that gets a read as an argument, calls it, and returns its result. It may call it again
# after temporary errors.
_CallRead = Callable[[Callable[[], Any]], Any]


class Counts(Value):
    """The number of a group's members, in total and by outcome."""

    total: int
    open: int
    succeeded: int
    failed: int
    canceled: int
    existing: int  # members whose work an existing job with the same unique key does
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
        """Return the counts of all `total` members, from these counts of the dispatched members.

        The members that aren't dispatched are counted under the outcome `rest`.
        """
        by_outcome = Counter(self.by_outcome)
        by_outcome[rest] += max(0, total - self.total)
        return self.of(total, by_outcome, self.ended_once)

    @property
    def by_outcome(self) -> dict[str, int]:
        """Return how many members have each outcome."""
        return {outcome: getattr(self, outcome) for outcome in OUTCOMES}


def count_dispatched(
    group: Group, total: int, *, max_rows: int | None = None, call: _CallRead = lambda read: read()
) -> Counts:
    """Count the dispatched members of a group. `total` is their number.

    - `max_rows`: how many rows of failed members to read at most, by default 2,000. The other
      failed members count with their first outcome, although some may have been retried.
    - `call`: a function that calls each read, and may repeat it
    """
    counts: Counter[str] = Counter()
    failures: list[GroupItem] = []
    for partition in group.partitions:
        # Count markers before failures: a member that fails during these reads gets its failure
        # before it loses its marker, so at least one of the reads finds it.
        counts[OPEN] += call(partial(groups.count, partition, groups.MARKER))
        counts[EXISTING] += call(partial(groups.count, partition, groups.EXISTING_JOB))
        failures += call(partial(_failures_in, partition))
    if max_rows is None:
        max_rows = _MAX_ROWS_READ
    failed_once = _count_failed_once(failures, max_rows, call)
    # After a manual retry, a member that has failed may be open or have succeeded. If it is open,
    # its marker is already counted. If it has succeeded, it is counted below.
    open_again = failed_once.pop(OPEN, 0)
    failed_once.pop("succeeded", None)
    counts[OPEN] = max(counts[OPEN], open_again)
    counts += failed_once
    open_count = min(total, counts[OPEN])
    counts["succeeded"] = max(0, total - counts.total())
    ended_once = min(total, total - open_count + open_again)
    return Counts.of(total, counts, ended_once)


def to_stored(group: Group, counts: Counts, earlier: dict[str, Any] | None) -> dict[str, Any]:
    """Return the counts in the form in which the parent's row stores them.

    `earlier` is the form that the row has now. For the same group, "ended" never decreases.
    """
    ended_once = counts.ended_once
    if earlier is not None and earlier["group"] == group.id:
        ended_once = max(ended_once, earlier["ended"])
    return {"group": group.id, "at": clock.now(), "ended": ended_once, **counts.by_outcome}


def _failures_in(partition: str) -> list[GroupItem]:
    return list(groups.items_of_kind(partition, groups.FAILURE))


def _count_failed_once(failures: list[GroupItem], max_rows: int, call: _CallRead) -> Counter[str]:
    """Count the members that have failed at least once, by their current outcome.

    A member whose row isn't read, or doesn't exist, counts with its first outcome.
    """
    counts = Counter(failure.outcome for failure in failures[max_rows:])
    remaining = iter(failures[:max_rows])
    while page := list(islice(remaining, PAGE_LIMIT)):
        member_ids = [failure.member_id for failure in page]
        rows = call(partial(read_many, member_ids, fresh=True))
        for row in rows.values():
            counts[str(row.status) if row.status.finished else OPEN] += 1
        counts += Counter(failure.outcome for failure in page if failure.member_id not in rows)
    return counts
