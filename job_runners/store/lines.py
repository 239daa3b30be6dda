"""Read a line, and decide whether its next job may start.

A *line* belongs to one queue and one concurrency key. It has *slots*, which limit how many jobs run
at once, a *rate*, which limits how often jobs start, and an *entry* for each job that waits. Each
of these is an item (see `line_items`). A slot's item names the job that has it, because a count
could drift. A waiting job is *admitted* when it gets capacity: a slot, a start under the rate, or
both. A worker then claims the job and starts it.

All items of a line are in one DynamoDB partition, so one consistent query reads all that a decision
needs. A job takes its capacity in one transaction with the change of its row, on condition that the
items haven't changed since they were read. If two processes decide at once, DynamoDB refuses one of
the transactions, and that process reads the line again.
"""

from zlib import crc32

from pynamodb.expressions.update import Action

from job_runners import clock
from job_runners.aws.errors import try_write
from job_runners.store import conditional_write
from job_runners.store.job_request import JobRequest, new_id, sort_key
from job_runners.store.limits import Limits
from job_runners.store.line_items import (
    LIFETIME,
    MILLISECOND,
    RATE,
    SLOT,
    WAITING,
    LineItem,
    new_expiry,
    same_starts,
    same_turn,
    start_actions,
)
from job_runners.store.rate import Rate
from job_runners.store.transactions import RecordWrite
from job_runners.values import Value

# If a slot was taken longer ago than this, but its holder's row doesn't name it, the slot has
# leaked. The clocks of any two machines differ by less than this.
_GRACE = clock.MINUTE
# A job is admitted this long before the rate allows its start, because its message takes time to
# arrive. The claim then waits until the start is allowed. Without this lead, each message's time
# would delay all later starts.
ADMISSION_LEAD = clock.SECOND


class Grant(Value):
    """The capacity that a job gets: a slot, a start under the rate, both, or neither.

    A job gets neither if the queue has no limits.
    """

    group: str  # the organization in a fair queue, where organizations take turns, otherwise ""
    turn: int  # the number of this grant, which increases with each grant in a line
    slot: LineItem | None = None  # the item as it was read
    rate: LineItem | None = None  # the item as it was read
    # The end of the interval that the admission uses up, in microseconds since 1970: see
    # `Rate.end_of_next_interval`. GCRA calls this the theoretical arrival time.
    tat: int = 0
    # The same for the start. None for a job that is admitted but doesn't start yet: the worker that
    # claims the job later counts its start. See `lines.count_start`.
    started_tat: int | None = None

    def writes_for(self, job: JobRequest) -> list[RecordWrite]:
        """Return the writes that give the capacity to a job.

        Each is refused if its item has changed since it was read.
        """
        now = clock.now()
        actions: list[Action] = [
            LineItem.since.set(now),
            LineItem.turn.set(self.turn),
            LineItem.group.set(self.group),
            LineItem.organization_id.set(job.organization_id),
            # A large burst can use up a rate for a long time. Keep the item until then.
            LineItem.expires_at.set(new_expiry(max(self.tat, self.started_tat or 0))),
        ]
        writes = []
        if self.slot is not None:
            taken = [*actions, LineItem.holder.set(job.id)]
            writes.append(RecordWrite(self.slot, "change", taken, same_turn(self.slot)))
        if self.rate is not None:
            actions.append(LineItem.tat.set(self.tat))
            unchanged = same_turn(self.rate)
            if self.started_tat is not None:
                actions += start_actions(self.started_tat, now, job.id)
                unchanged &= same_starts(self.rate)
            writes.append(RecordWrite(self.rate, "change", actions, unchanged))
        return writes


class Line(Value):
    """A line as one query read it, with the limits that applied at that time."""

    partition_key: str
    limits: Limits
    slots: dict[int, LineItem]  # by number
    rate: LineItem | None = None
    first: LineItem | None = None  # the first entry; entries are ordered by group, then by time

    def organizations_on(self, day: int) -> set[str | None]:
        """Return organizations whose jobs got a slot or a start on this day.

        Some may be missing, because each slot, and the rate, names only the last organization.
        """
        return {
            item.organization_id
            for item in self._grantable_items
            if day_of(self.partition_key, item.since or 0) == day
        }

    @property
    def held_slots(self) -> list[LineItem]:
        """Return the slots that have a holder, ordered by number."""
        return [slot for _, slot in sorted(self.slots.items()) if slot.holder is not None]

    def grant(self, group: str, *, starts: bool = True) -> Grant | None:
        """Return the capacity that the next job of this group gets now, or None if there is none.

        Pass `starts=False` for a job that is admitted now, and starts later. The job gets the
        lowest free slot, unless as many jobs as the limit allows already have one. So new starts
        keep to the limit even after it was lowered.
        """
        slot = self._free_slot()
        if self.limits.slots is not None and slot is None:
            return None
        opens_at = self.opens_at()
        if starts:
            opens_at = max(opens_at, self.start_opens_at())
        if opens_at > clock.now():
            return None
        turn = 1 + max((item.turn or 0 for item in self._grantable_items), default=0)
        rate = self.limits.rate
        if rate is None:
            return Grant(group, turn, slot)
        now = clock.now() * MILLISECOND
        # At a fast rate, admissions catch up after a delay, so that enough jobs are ready to start.
        # Starts don't catch up.
        max_catch_up = max(0, ADMISSION_LEAD * MILLISECOND - rate.interval)
        tat = rate.end_of_next_interval(self._admissions_until(rate), now - max_catch_up)
        started_tat = None
        if starts:
            started_tat = rate.end_of_next_interval(self.started_until(rate), now)
        rate_item = self.rate or LineItem(self.partition_key, RATE)
        return Grant(group, turn, slot, rate_item, tat, started_tat)

    def opens_at(self) -> int:
        """Return when the rate allows the next admission, in milliseconds since 1970.

        The result is 0 if there is no rate.
        """
        rate = self.limits.rate
        if rate is None:
            return 0
        admission_opens_at = rate.next_start_at(self._admissions_until(rate))
        return max(admission_opens_at, self.start_opens_at() - ADMISSION_LEAD)

    def start_opens_at(self, token: str | None = None) -> int:
        """Return when the rate allows an admitted job to start, in milliseconds since 1970.

        The result is 0 if there is no rate. `token` is the token of the claim: if an earlier try of
        that claim has already counted its start, the result is the time of that start.
        """
        rate = self.limits.rate
        if rate is None or self.rate is None:
            return 0
        if token and self.rate.started_by == token:
            return self.rate.started_at or 0
        return rate.next_start_at(self.started_until(rate))

    @property
    def waits_for_rate(self) -> bool:
        """Return whether only the rate keeps the next job from starting."""
        has_free_slot = self.limits.slots is None or self._free_slot() is not None
        return self.opens_at() > clock.now() and has_free_slot

    @property
    def last_served(self) -> str:
        """Return the group whose job last got a slot or a start, or "" if none has."""
        # Compare the times too. If two processes grant different items at once, both may use the
        # same turn.
        last = max(
            self._grantable_items, key=lambda item: (item.turn or 0, item.since or 0), default=None
        )
        if last is None:
            return ""
        return last.group or ""

    @property
    def _grantable_items(self) -> list[LineItem]:
        return [*self.slots.values(), *([self.rate] if self.rate else [])]

    def _free_slot(self) -> LineItem | None:
        """Return the lowest free slot, or None if there is none or no limit of slots."""
        limit = self.limits.slots
        if limit is None:
            return None
        held_numbers = {slot.number for slot in self.held_slots}
        if len(held_numbers) >= limit:
            return None
        lowest = 1
        while lowest in held_numbers:
            lowest += 1
        return self.slots.get(lowest) or LineItem(self.partition_key, f"{SLOT}{lowest:03d}")

    def _admissions_until(self, rate: Rate) -> int:
        """Return the end of the last interval that an admission took, in microseconds."""
        return _used_until(rate, self.rate.tat, self.rate.since) if self.rate else 0

    def started_until(self, rate: Rate) -> int:
        """Return the end of the last interval that a start took, in microseconds."""
        return _used_until(rate, self.rate.started_tat, self.rate.started_at) if self.rate else 0


def _used_until(rate: Rate, stored_end: int | None, last_use: int | None) -> int:
    """Return the end of the last interval of a rate that is taken, in microseconds.

    The stored end may come from an earlier, slower rate. So the result is at most `burst` intervals
    after the last use, which is in milliseconds.
    """
    latest_end = (last_use or 0) * MILLISECOND + rate.burst * rate.interval
    return min(stored_end or 0, latest_end)


def partition_key_of(queue_name: str, concurrency_key: str) -> str:
    """Return a line's partition key in DynamoDB. In the rows of its jobs, `held_by` is the same."""
    return f"line#{queue_name}#{concurrency_key}"


def day_of(partition_key: str, at: int) -> int:
    """Return the number of the day, for one line, that contains a time in milliseconds since 1970.

    Each line's days begin at a different time, so that the daily work of all lines is spread over
    the day.
    """
    offset = crc32(partition_key.encode()) % clock.DAY
    return (at + offset) // clock.DAY


def is_line(held_by: str | None) -> bool:
    """Return whether a row's `held_by` names a line, and not a pause or another job."""
    return str(held_by).startswith("line#")


def read_line(queue_name: str, concurrency_key: str, limits: Limits | None) -> Line:
    """Read the rate, the slots and the first entry of a line, consistently.

    `limits` is None if the queue has none.
    """
    limits = limits or Limits()
    partition_key = partition_key_of(queue_name, concurrency_key)
    slots: dict[int, LineItem] = {}
    rate = first = None
    page_size = (limits.slots or 0) + 2  # all slots, the rate and the first entry
    # The items are sorted: the rate, the slots, then the entries.
    for item in LineItem.query(
        partition_key, LineItem.sk >= RATE, consistent_read=True, page_size=page_size
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
    """Return whether a slot was taken so long ago that it has leaked if no row names it."""
    return clock.now() - (slot.since or 0) > _GRACE


def write_that_frees_slot(job: JobRequest) -> RecordWrite:
    """Return the write that frees the slot that a row names, unless another job has it."""
    # While a row names a slot, its concurrency key doesn't change.
    partition_key = partition_key_of(job.queue_name, str(job.concurrency_key))
    item = LineItem(partition_key, f"{SLOT}{job.slot:03d}")
    return RecordWrite(item, "change", [LineItem.holder.remove()], LineItem.holder == job.id)


def free_slot(slot: LineItem) -> bool:
    """Free a leaked slot. Return False if it was granted again since it was read."""
    unchanged = (LineItem.holder == slot.holder) & same_turn(slot)
    return try_write(lambda: slot.update([LineItem.holder.remove()], unchanged))


# --- the rate item --------------------------------------------------------------------------------


def count_start(line: Line, rate: Rate, token: str, at: int) -> bool:
    """Count an admitted job's start, at the time `at`, against the rate of its line.

    The caller must not start the job before `at`, which may be later than now. Because starts are
    reserved in advance, waiting workers don't compete for the moment when the rate opens.

    Return False if another start was counted since the line was read. `token` is the claim's token.
    If an earlier try of the same claim counted its start and then failed, that start is moved to
    `at`, because the job starts only then.
    """
    item = line.rate or LineItem(line.partition_key, RATE)
    if item.started_by == token:
        delay = max(0, at - (item.started_at or at))
        started_tat = (item.started_tat or 0) + delay * MILLISECOND
    else:
        started_tat = rate.end_of_next_interval(line.started_until(rate), at * MILLISECOND)
    actions = [
        *start_actions(started_tat, at, token),
        LineItem.expires_at.set(new_expiry(max(item.tat or 0, started_tat))),
    ]
    return try_write(lambda: item.update(actions, same_starts(item)))


def mark_wake_up(line: Line, wake_at: int) -> bool:
    """Record when a wake-up message will arrive, or when the pass that paces the line will end.

    Return False if another process has recorded that, or has admitted a job under the rate, since
    the line was read.
    """
    rate = line.rate
    if rate is None:
        return False
    unchanged = same_turn(rate) & conditional_write.same(LineItem.wake_at, rate.wake_at)
    return try_write(lambda: rate.update([LineItem.wake_at.set(wake_at)], unchanged))


def unmark_wake_up(partition_key: str, wake_at: int) -> bool:
    """Undo `mark_wake_up`. Return False if a different wake-up is recorded now."""
    item = LineItem(partition_key, RATE)
    same_wake_up = LineItem.wake_at == wake_at
    return try_write(lambda: item.update([LineItem.wake_at.remove()], same_wake_up))


# --- entries --------------------------------------------------------------------------------------


def next_entry(line: Line) -> LineItem | None:
    """Return the entry of the next job to admit, or None if no job waits.

    The next group is the one that sorts after the group that was served last, or the first one if
    that was the last. Within a group, jobs are in the order in which they were held.
    """
    if line.first is None:
        return None
    # The sort key of an entry is f"{WAITING}{group}#...", and WAITING ends in "#". "$" comes right
    # after "#", so these keys sort right after all entries of the group, and of the line.
    after_group = f"{WAITING}{line.last_served}$"
    after_all = f"{WAITING.removesuffix('#')}$"
    later = LineItem.query(
        line.partition_key,
        LineItem.sk.between(after_group, after_all),
        consistent_read=True,
        limit=1,
    )
    return next(iter(later), line.first)


def new_entry(partition_key: str, group: str, job: JobRequest, since: int) -> LineItem:
    """Return an entry for a job that is about to be held.

    The entries of a group are sorted by `since`, the time at which the job is held.
    """
    return _entry(partition_key, f"{WAITING}{group}#{sort_key(since, job.id)}", job)


def entry_from_row(job: JobRequest) -> LineItem:
    """Return a new copy of the entry that a waiting job's row names, to restore the entry."""
    return _entry(str(job.held_by), str(job.wait_key), job)


def _entry(partition_key: str, sk: str, job: JobRequest) -> LineItem:
    return LineItem(
        partition_key,
        sk,
        expires_at=clock.expiry(LIFETIME),
        organization_id=job.organization_id,
        version=new_id(),
    )


def has_entry(job: JobRequest) -> bool:
    """Return whether the entry that a waiting job's row names exists."""
    entries = LineItem.query(
        str(job.held_by), LineItem.sk == job.wait_key, consistent_read=True, limit=1
    )
    return next(iter(entries), None) is not None


def count_waiting(queue_name: str, concurrency_key: str, limit: int) -> int:
    """Count the jobs that wait in a line, up to `limit`.

    The read isn't consistent, so the latest changes may be missing. It costs one read unit for each
    40 to 80 entries.
    """
    partition_key = partition_key_of(queue_name, concurrency_key)
    return LineItem.count_up_to(limit, partition_key, LineItem.sk.startswith(WAITING))


def drop_entry(entry: LineItem) -> None:
    """Delete an entry whose job no longer waits, unless a newer entry has replaced it."""
    try_write(lambda: entry.delete(LineItem.version == entry.version))
