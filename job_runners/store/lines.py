"""Lines: for each queue and key, the slots, the rate, and the jobs that wait for them.

A line is stored as one DynamoDB partition of the coordination table. One consistent query thus
reads everything that a decision needs. A slot is an item that names its holder, because a count
could drift.

A job takes a slot, or one of the starts that the rate allows, in one transaction with its row. The
condition is that the items haven't changed since they were read. If two processes decide at once,
DynamoDB refuses one of the transactions, and that process reads the line again.
"""

from collections.abc import Iterator
from zlib import crc32

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from job_runners import clock
from job_runners.aws.errors import try_write
from job_runners.store.job_request import JobRequest
from job_runners.store.limits import Limits
from job_runners.store.line_items import (
    MILLISECOND,
    RATE,
    SLOT,
    LineItem,
    new_expiry,
    same_starts,
    same_turn,
    start_actions,
)
from job_runners.store.rate import Rate
from job_runners.values import Value

# If a slot was taken longer ago than this, its holder's row must name it. Otherwise the slot has
# leaked. The clocks of any two machines differ by less.
_GRACE = clock.MINUTE
# A job is admitted this long before the rate allows its start, because its message takes time to
# arrive. The claim then waits until the start is allowed. Without this lead, the time that each
# message takes would delay all later starts.
ADMISSION_LEAD = clock.SECOND


class Grant(Value):
    """The capacity that a job gets: a slot, a start under the rate, both, or neither.

    It is neither if the queue has no limits. `slot` and `rate` are the items as they were read. The
    other fields are their new values. `tat` (GCRA's theoretical arrival time) and `started_tat`
    are the ends of the intervals that the admission and the start use up, in microseconds: see
    `Rate.end_of_next_interval`. `started_tat` is None for a job that is admitted but doesn't start
    yet. The worker that claims it counts the start later (`line_rates.count_start`).
    """

    group: str  # the organization in a fair queue, otherwise ""
    turn: int  # the grant's number, which only grows within a line
    slot: LineItem | None = None
    rate: LineItem | None = None
    tat: int = 0
    started_tat: int | None = None

    def writes_for(self, job: JobRequest) -> Iterator[tuple[LineItem, list[Action], Condition]]:
        """Yield the writes that give the capacity to a job.

        Each is refused if its item has changed since it was read.
        """
        now = clock.now()
        taken: list[Action] = [
            LineItem.since.set(now),
            LineItem.turn.set(self.turn),
            LineItem.group.set(self.group),
            LineItem.organization_id.set(job.organization_id),
            # A large burst can leave a rate used up for a long time. Keep the item until then.
            LineItem.expires_at.set(new_expiry(max(self.tat, self.started_tat or 0))),
        ]
        if self.slot is not None:
            yield self.slot, [*taken, LineItem.holder.set(job.id)], same_turn(self.slot)
        if self.rate is not None:
            taken.append(LineItem.tat.set(self.tat))
            unchanged = same_turn(self.rate)
            if self.started_tat is not None:
                taken += start_actions(self.started_tat, now, job.id)
                unchanged &= same_starts(self.rate)
            yield self.rate, taken, unchanged


class Line(Value):
    """A line as one query found it, with the limits that applied at that time."""

    partition_key: str
    limits: Limits
    slots: dict[int, LineItem]
    rate: LineItem | None = None
    first: LineItem | None = None  # the first entry, by group and then by time

    def organizations_on(self, day: int) -> set[str | None]:
        """Return the organizations whose jobs got a slot or a start on this day.

        Items show only the last job that got each of them, so some organizations may be missing.
        """
        return {
            item.organization_id
            for item in self._grantable_items
            if day_of(self.partition_key, item.since or 0) == day
        }

    @property
    def held_slots(self) -> list[LineItem]:
        """Return the slots that have a holder, in the order of their numbers."""
        return [slot for _, slot in sorted(self.slots.items()) if slot.holder is not None]

    def grant(self, group: str, *, starts: bool = True) -> Grant | None:
        """Return the capacity that the next job of this group gets now, or None if there is none.

        Pass `starts=False` for a job that is only admitted. The job gets the lowest free slot. If
        as many jobs as the limit allows already have a slot, it gets none. So new starts
        keep to the limit even after it was lowered.
        """
        slot = self._free_slot()
        opens_at = max(self.opens_at(), self.start_opens_at() if starts else 0)
        if opens_at > clock.now() or (self.limits.slots is not None and slot is None):
            return None
        turn = 1 + max((item.turn or 0 for item in self._grantable_items), default=0)
        limit, now = self.limits.rate, clock.now() * MILLISECOND
        if limit is None:
            return Grant(group, turn, slot)
        rate = self.rate or LineItem(self.partition_key, RATE)
        # At a fast rate, the next admissions make up for those that came too late, so that enough
        # jobs are ready to start. Starts make up for nothing.
        late = max(0, ADMISSION_LEAD * MILLISECOND - limit.interval)
        tat = limit.end_of_next_interval(self._admissions_until(limit), now - late)
        started_tat = limit.end_of_next_interval(self.started_until(limit), now) if starts else None
        return Grant(group, turn, slot, rate, tat, started_tat)

    def opens_at(self) -> int:
        """Return when the rate allows the next admission, in milliseconds since 1970.

        The result is 0 if there is no rate.
        """
        rate = self.limits.rate
        if rate is None:
            return 0
        return max(
            rate.opens_at(self._admissions_until(rate)), self.start_opens_at() - ADMISSION_LEAD
        )

    def start_opens_at(self, token: str | None = None) -> int:
        """Return when the rate allows an admitted job to start, in milliseconds since 1970.

        The result is 0 if there is no rate. If an earlier try of the claim with this token has
        counted the last start, it is the time of that start.
        """
        rate = self.limits.rate
        if rate is None or self.rate is None:
            return 0
        if token and self.rate.started_by == token:
            return self.rate.started_at or 0
        return rate.opens_at(self.started_until(rate))

    @property
    def waits_for_rate(self) -> bool:
        """Return whether only the rate keeps the next job from starting."""
        has_free_slot = self.limits.slots is None or self._free_slot() is not None
        return self.opens_at() > clock.now() and has_free_slot

    @property
    def last_served(self) -> str:
        """Return the group whose job last got a slot or a start, or "" if none has."""
        # Two processes that granted different items at the same moment may have used the same turn.
        last = max(
            self._grantable_items, key=lambda item: (item.turn or 0, item.since or 0), default=None
        )
        return (last.group if last is not None else None) or ""

    @property
    def _grantable_items(self) -> list[LineItem]:
        return [*self.slots.values(), *([self.rate] if self.rate else [])]

    def _free_slot(self) -> LineItem | None:
        limit = self.limits.slots
        if limit is None:
            return None
        numbers = {slot.number for slot in self.held_slots}
        lowest = next(number for number in range(1, len(numbers) + 2) if number not in numbers)
        # All slots below `lowest` are held. With this slot, `lowest + above` slots would be held.
        above = sum(1 for number in numbers if number > lowest)
        if lowest + above > limit:
            return None
        return self.slots.get(lowest) or LineItem(self.partition_key, f"{SLOT}{lowest:03d}")

    def _admissions_until(self, rate: Rate) -> int:
        """Return the end of the last interval that an admission took, in microseconds.

        The result is at most `burst` intervals after the last admission. The stored time may be
        later, because it may come from an earlier, slower rate.
        """
        if self.rate is None:
            return 0
        last = (self.rate.since or 0) * MILLISECOND
        return min(self.rate.tat or 0, last + rate.burst * rate.interval)

    def started_until(self, rate: Rate) -> int:
        """Return the end of the last interval that a start took, in microseconds.

        The result is at most `burst` intervals after the last start.
        """
        if self.rate is None:
            return 0
        last = (self.rate.started_at or 0) * MILLISECOND
        return min(self.rate.started_tat or 0, last + rate.burst * rate.interval)


def partition_key_of(queue_name: str, concurrency_key: str) -> str:
    """Return a line's partition key in DynamoDB. It is also `held_by` in rows of jobs that wait."""
    return f"line#{queue_name}#{concurrency_key}"


def day_of(partition_key: str, moment: int) -> int:
    """Return the number of the day that a moment belongs to, for one line.

    Each line's days begin at a different time, so that the daily work of all lines is spread over
    the day.
    """
    return (moment + crc32(partition_key.encode()) % clock.DAY) // clock.DAY


def is_line(held_by: str | None) -> bool:
    """Return whether a row's `held_by` names a line, not a pause or another job."""
    return str(held_by).startswith("line#")


def read_line(queue_name: str, concurrency_key: str, limits: Limits | None) -> Line:
    """Read the rate, the slots and the first entry of a line, consistently.

    `limits` is None if the queue has none.
    """
    limits = limits or Limits()
    partition_key = partition_key_of(queue_name, concurrency_key)
    slots: dict[int, LineItem] = {}
    rate = first = None
    # Items sort as rate, slots, entries. Read the rate, the slots and the first entry.
    expected = (limits.slots or 0) + 2
    for item in LineItem.query(
        partition_key, LineItem.sk >= RATE, consistent_read=True, page_size=expected
    ):
        if item.sk == RATE:
            rate = item
        elif item.sk.startswith(SLOT):
            slots[item.number] = item
        else:
            first = item
            break
    return Line(partition_key, limits, slots, rate, first)


def is_past_grace(slot: LineItem) -> bool:
    """Return whether a slot was taken so long ago that its holder's row must name it."""
    return clock.now() - (slot.since or 0) > _GRACE


def slot_release(job: JobRequest) -> tuple[LineItem, list[Action], Condition]:
    """Return the write that frees the slot that a row names. It is refused unless the job has
    it."""
    # While a row names a slot, its concurrency key doesn't change.
    partition_key = partition_key_of(job.queue_name, str(job.concurrency_key))
    item = LineItem(partition_key, f"{SLOT}{job.slot:03d}")
    return item, [LineItem.holder.remove()], LineItem.holder == job.id


def free_slot(slot: LineItem) -> bool:
    """Free a slot that its holder's row doesn't name. Return False if its grant has changed."""
    unchanged = (LineItem.holder == slot.holder) & same_turn(slot)
    return try_write(lambda: slot.update([LineItem.holder.remove()], unchanged))
