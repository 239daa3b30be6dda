"""Read a line, and decide whether its next job may start.

A *line* belongs to one queue and one concurrency key. It has *slots*, which limit how many jobs run
at once, a *rate*, which limits how often jobs start, and an *entry* for each waiting job. Each of
these is an item (see `line_items`). A slot's item names the job that holds the slot, because a
mere count of running jobs could become wrong. A waiting job is *admitted* when it gets capacity: a
slot, a start under the rate, or both. A worker then claims the job and starts it.

All items of a line are in one DynamoDB partition, so a decision needs only one consistent query.
One transaction changes the job's row and takes the capacity, if the items haven't changed since
they were read. If two processes decide at once, DynamoDB refuses one of their transactions, and
that process reads the line again.
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

# A slot has leaked if it was taken longer ago than this, and its holder's row doesn't name it. The
# clocks of any two machines differ by less than this.
_SLOT_GRACE = clock.MINUTE
# A job is admitted this long before the rate allows its start, because its message takes time to
# arrive. The claim then waits until the start is allowed. Without this lead, the time that each
# message takes would delay all later starts.
ADMISSION_LEAD = clock.SECOND


class Grant(Value):
    """The capacity that a job gets: a slot, a start under the rate, or both.

    If the queue has no limits, the job needs neither.
    """

    group: str  # in a fair queue, whose organizations take turns, the organization; otherwise ""
    turn: int  # the number of this grant; each grant in a line has a higher number
    slot: LineItem | None = None  # the slot's item, as it was read
    rate: LineItem | None = None  # the rate's item, as it was read
    # The end of the interval that the admission uses up, in microseconds since 1970: see
    # `Rate.end_of_next_interval`. GCRA calls it the theoretical arrival time, or tat.
    tat: int = 0
    # The end of the interval that the start uses up. None if the job is only admitted: the worker
    # that claims the job later counts its start with `count_start`.
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
            # A large burst can use up a rate for a long time, and the item must last as long.
            LineItem.expires_at.set(new_expiry(max(self.tat, self.started_tat or 0))),
        ]
        writes = []
        if self.slot is not None:
            slot_actions = [*actions, LineItem.holder.set(job.id)]
            writes.append(RecordWrite(self.slot, "change", slot_actions, same_turn(self.slot)))
        if self.rate is not None:
            rate_actions = [*actions, LineItem.tat.set(self.tat)]
            condition = same_turn(self.rate)
            if self.started_tat is not None:
                rate_actions += start_actions(self.started_tat, now, job.id)
                condition &= same_starts(self.rate)
            writes.append(RecordWrite(self.rate, "change", rate_actions, condition))
        return writes


class Line(Value):
    """A line as read by one query, and the limits that applied at that time."""

    partition_key: str
    limits: Limits
    slots: dict[int, LineItem]  # by number
    rate: LineItem | None = None
    first: LineItem | None = None  # the first entry; entries are ordered by group, then by time

    def organizations_on(self, day: int) -> set[str | None]:
        """Return organizations whose jobs got a slot or a start on this day.

        The result may be incomplete, because each item names only the last organization.
        """
        return {
            item.organization_id
            for item in self._grantable_items
            if day_of(self.partition_key, item.since or 0) == day
        }

    @property
    def held_slots(self) -> list[LineItem]:
        """Return the slots that jobs hold, ordered by number."""
        return [slot for _, slot in sorted(self.slots.items()) if slot.holder is not None]

    def grant(self, group: str, *, starts: bool = True) -> Grant | None:
        """Return the capacity that the next job of this group gets now, or None if there is none.

        Pass `starts=False` for a job that is admitted now and starts later. The job gets the lowest
        free slot. But if as many slots are held as the limit allows, it gets none, even if a slot
        with a low number is free. So a limit that was lowered applies to the next start.
        """
        slot = self._free_slot()
        if self.limits.slots is not None and slot is None:
            return None
        allowed_at = self.next_admission_at()
        if starts:
            allowed_at = max(allowed_at, self.next_start_at())
        if allowed_at > clock.now():
            return None
        turn = 1 + max((item.turn or 0 for item in self._grantable_items), default=0)
        rate = self.limits.rate
        if rate is None:
            return Grant(group, turn, slot)
        now = clock.now() * MILLISECOND
        # If admissions were delayed, they may catch up on unused intervals of a fast rate, so that
        # enough jobs are ready to start. Starts don't catch up.
        max_catch_up = max(0, ADMISSION_LEAD * MILLISECOND - rate.interval)
        tat = rate.end_of_next_interval(self._admissions_used_until(rate), now - max_catch_up)
        started_tat = None
        if starts:
            started_tat = rate.end_of_next_interval(self.starts_used_until(rate), now)
        rate_item = self.rate or LineItem(self.partition_key, RATE)
        return Grant(group, turn, slot, rate_item, tat, started_tat)

    def next_admission_at(self) -> int:
        """Return when the rate allows the next admission, in milliseconds since 1970.

        Without a rate, return 0.
        """
        rate = self.limits.rate
        if rate is None:
            return 0
        after_last_admission = rate.next_start_at(self._admissions_used_until(rate))
        return max(after_last_admission, self.next_start_at() - ADMISSION_LEAD)

    def next_start_at(self, token: str | None = None) -> int:
        """Return when the rate allows an admitted job to start, in milliseconds since 1970.

        Without a rate, return 0. `token` is the token of the claim: if an earlier try of that claim
        has already counted its start, return the time of that start.
        """
        rate = self.limits.rate
        if rate is None or self.rate is None:
            return 0
        if token and self.rate.started_by == token:
            return self.rate.started_at or 0
        return rate.next_start_at(self.starts_used_until(rate))

    @property
    def waits_for_rate(self) -> bool:
        """Return whether only the rate keeps the next job from starting."""
        has_free_slot = self.limits.slots is None or self._free_slot() is not None
        return self.next_admission_at() > clock.now() and has_free_slot

    @property
    def last_served(self) -> str:
        """Return the group whose job last got a slot or a start, or "" if none has."""

        # If two processes grant different items at once, both may use the same turn.
        def order(item: LineItem) -> tuple[int, int]:
            return item.turn or 0, item.since or 0

        last_granted = max(self._grantable_items, key=order, default=None)
        return "" if last_granted is None else last_granted.group or ""

    @property
    def _grantable_items(self) -> list[LineItem]:
        items = list(self.slots.values())
        return items if self.rate is None else [*items, self.rate]

    def _free_slot(self) -> LineItem | None:
        """Return the lowest free slot, or None if all slots are held or the queue has none."""
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

    def _admissions_used_until(self, rate: Rate) -> int:
        """Return the end of the last interval that an admission used up, in microseconds."""
        return _used_until(rate, self.rate.tat, self.rate.since) if self.rate else 0

    def starts_used_until(self, rate: Rate) -> int:
        """Return the end of the last interval that a start used up, in microseconds."""
        return _used_until(rate, self.rate.started_tat, self.rate.started_at) if self.rate else 0


def _used_until(rate: Rate, stored_end: int | None, last_use: int | None) -> int:
    """Return the end of the last used interval of a rate, in microseconds.

    The stored end may come from an earlier, slower rate. So the result is at most `burst` intervals
    after `last_use` (in milliseconds).
    """
    latest_end = (last_use or 0) * MILLISECOND + rate.burst * rate.interval
    return min(stored_end or 0, latest_end)


def partition_key_of(queue_name: str, concurrency_key: str) -> str:
    """Return a line's partition key in DynamoDB, which its waiting jobs' rows have as `held_by`."""
    return f"line#{queue_name}#{concurrency_key}"


def day_of(partition_key: str, at: int) -> int:
    """Return the number of the day that contains a time, in the days of this line.

    `at` is in milliseconds since 1970. Each line's days begin at a different time, so that the
    lines' daily work is spread out.
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
    """Return whether a slot was taken long ago, so that it has leaked if no row names it."""
    return clock.now() - (slot.since or 0) > _SLOT_GRACE


def slot_release(job: JobRequest) -> RecordWrite:
    """Return the write that frees a job's slot. It is refused if another job has the slot."""
    # While a row names a slot, its concurrency key doesn't change.
    partition_key = partition_key_of(job.queue_name, str(job.concurrency_key))
    item = LineItem(partition_key, f"{SLOT}{job.slot:03d}")
    return RecordWrite(item, "change", [LineItem.holder.remove()], LineItem.holder == job.id)


def free_slot(slot: LineItem) -> bool:
    """Free a leaked slot. Return False if it has been granted again since it was read."""
    unchanged = (LineItem.holder == slot.holder) & same_turn(slot)
    return try_write(lambda: slot.update([LineItem.holder.remove()], unchanged))


# --- the rate item --------------------------------------------------------------------------------


def count_start(line: Line, rate: Rate, token: str, at: int) -> bool:
    """Count an admitted job's start, at the time `at`, against the rate of its line.

    `at` may be later than now. The caller must not start the job before that time. Because
    workers reserve their starts in advance, they don't compete for the moment when the rate allows
    one.

    Return False if another start has been counted since the line was read. `token` is the claim's
    token. If an earlier try of the same claim has already counted its start, this moves that start
    to `at`.
    """
    item = line.rate or LineItem(line.partition_key, RATE)
    if item.started_by == token:
        delay = max(0, at - (item.started_at or at))
        started_tat = (item.started_tat or 0) + delay * MILLISECOND
    else:
        started_tat = rate.end_of_next_interval(line.starts_used_until(rate), at * MILLISECOND)
    actions = [
        *start_actions(started_tat, at, token),
        LineItem.expires_at.set(new_expiry(max(item.tat or 0, started_tat))),
    ]
    return try_write(lambda: item.update(actions, same_starts(item)))


def mark_wake_up(line: Line, wake_at: int) -> bool:
    """Record when a wake-up message will arrive, or when the pass that paces the line will end.

    Such a pass admits the line's jobs one by one, as the rate allows: see
    `job_runners.engine.lines.wake_ups`. Return False if, since the line was read, another process
    has recorded a wake-up or has admitted a job under the rate.
    """
    rate = line.rate
    if rate is None:
        return False
    unchanged = same_turn(rate) & conditional_write.same(LineItem.wake_at, rate.wake_at)
    return try_write(lambda: rate.update([LineItem.wake_at.set(wake_at)], unchanged))


def unmark_wake_up(partition_key: str, wake_at: int) -> bool:
    """Remove what `mark_wake_up` recorded. Return False if another wake-up is recorded now."""
    item = LineItem(partition_key, RATE)
    same_wake_up = LineItem.wake_at == wake_at
    return try_write(lambda: item.update([LineItem.wake_at.remove()], same_wake_up))


# --- entries --------------------------------------------------------------------------------------


def next_entry(line: Line) -> LineItem | None:
    """Return the entry of the next job to admit, or None if no job waits.

    Groups take turns in alphabetical order. Within a group, the job that was held first comes
    first.
    """
    if line.first is None:
        return None
    # The sort key of an entry is f"{WAITING}{group}#...", and WAITING ends in "#". "$" is the next
    # character after "#". So `after_group` sorts right after the last entry of the group that got
    # capacity last, and `after_all` right after the last entry of the line.
    after_group = f"{WAITING}{line.last_served}$"
    after_all = f"{WAITING.removesuffix('#')}$"
    later = LineItem.query(
        line.partition_key,
        LineItem.sk.between(after_group, after_all),
        consistent_read=True,
        limit=1,
    )
    # If no later group has an entry, begin again with the first group.
    return next(iter(later), line.first)


def new_entry(partition_key: str, group: str, job: JobRequest, since: int) -> LineItem:
    """Return an entry for a job that is held now. The entries of a group are sorted by `since`."""
    return _entry(partition_key, f"{WAITING}{group}#{sort_key(since, job.id)}", job)


def entry_from_row(job: JobRequest) -> LineItem:
    """Return a new entry for a waiting job whose entry was lost. Its key is in the job's row."""
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
    """Return whether a waiting job's entry exists."""
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
