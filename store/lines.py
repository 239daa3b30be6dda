"""A partition, which is one queue and one key: its slots, its rate, and the line of waiting jobs.

A partition is one DynamoDB partition of the coordination table, so one consistent query reads all
that a decision needs. A slot is an item that names its holder, because a count could drift.

A job takes a slot or a start in one transaction with its row, on condition that the items are as
they were read. If two processes decide at once, one of them is refused and reads again.

| item | content |
|---|---|
| `rate` | when the rate allows the next start, and which one was the last |
| `slot#<number>` | which job holds the slot; a free slot has no holder |
| `wait#<group>#<time><job id>` | a waiting job; groups are organizations, or all jobs are in one |
"""

from collections.abc import Iterator
from typing import NamedTuple
from zlib import crc32

from pynamodb.attributes import UnicodeAttribute
from pynamodb.exceptions import UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

import clock
from aws.errors import condition_failed
from store import conditional_write
from store.job_request import JobRequest, job_id_of
from store.limits import Limits
from store.rate import Rate
from store.table import Integer, Table, nullable

_MILLISECOND = 1000  # microseconds, the unit of a rate
# An item that wasn't written for this long belongs to a key that is no longer used.
LIFETIME = 40 * clock.DAY
# A slot that was taken longer ago is named in its holder's row. Clocks differ by less than this.
_SETTLED = clock.MINUTE
# A job is admitted this long before its start is allowed, because its message takes time. The claim
# waits for the rest. Otherwise each start would delay all later ones by that time.
START_WAIT = clock.SECOND
RATE = "rate"
_SLOT = "slot#"
WAITING = "wait#"  # begins the sort key of every waiting job


class LineItem(Table):
    """One item of a partition: a slot, the rate, or a waiting job's entry."""

    class Meta:
        table_name = ""  # from table_setting, at first use

    table_setting = "COORDINATION_TABLE_NAME"

    pk = UnicodeAttribute(hash_key=True)  # the partition
    sk = UnicodeAttribute(range_key=True)
    expires_at = nullable(Integer())  # in seconds, for TTL

    holder = nullable(UnicodeAttribute())  # of a slot: the job that has it
    # Of an entry's job, or of the job that was last given the slot or the rate.
    organization_id = nullable(UnicodeAttribute())
    since = nullable(Integer())  # of a slot or the rate: when it was last taken
    turn = nullable(Integer())  # of those: its grant number, the highest when it is granted
    group = nullable(UnicodeAttribute())  # of those: the group that it was last granted to
    tat = nullable(Integer())  # of the rate, in microseconds: the time that is paid for
    # Of the rate: the time that starts have used up, in microseconds; the latest start; and the
    # claim of that start. A job pays `tat` when it is admitted, which may be long before it starts.
    started_tat = nullable(Integer())
    started_at = nullable(Integer())
    started_by = nullable(UnicodeAttribute())
    wake_at = nullable(Integer())  # of the rate: when the message arrives that admits waiting jobs
    version = nullable(UnicodeAttribute())  # of an entry: differs from that of a replacement

    @property
    def job_id(self) -> str:
        """Return the id of the job that an entry belongs to."""
        return job_id_of(self.sk.rpartition("#")[2])

    @property
    def waiting_since(self) -> int:
        """Return when the job that an entry belongs to was parked."""
        return int(self.sk.rpartition("#")[2].removesuffix(self.job_id))

    @property
    def waits_in(self) -> str:
        """Return the group of an entry."""
        return self.sk.removeprefix(WAITING).rpartition("#")[0]

    @property
    def number(self) -> int:
        """Return the number of a slot."""
        return int(self.sk.removeprefix(_SLOT))


class Grant(NamedTuple):
    """The capacity that a decision gives a job: a slot, a start of the rate, both, or neither.

    It is neither if there are no limits. The items are as they were read, and `turn` is their new
    grant number. `started_tat` is None for a job that is admitted, because its claim counts the
    start (see `count_start`).
    """

    group: str
    turn: int
    slot: LineItem | None = None
    rate: LineItem | None = None
    tat: int = 0
    started_tat: int | None = None

    def taken_by(self, job: JobRequest) -> Iterator[tuple[LineItem, list[Action], Condition]]:
        """Return the writes that take the capacity, each refused unless its item is as it was
        read."""
        now = clock.now()
        taken: list[Action] = [
            LineItem.since.set(now),
            LineItem.turn.set(self.turn),
            LineItem.group.set(self.group),
            LineItem.organization_id.set(job.organization_id),
            # A rate with a large burst may be used up for longer than an unused item is kept.
            LineItem.expires_at.set(new_expiry(max(self.tat, self.started_tat or 0))),
        ]
        if self.slot is not None:
            yield self.slot, [*taken, LineItem.holder.set(job.id)], same_turn(self.slot)
        if self.rate is not None:
            taken.append(LineItem.tat.set(self.tat))
            as_read = same_turn(self.rate)
            if self.started_tat is not None:
                taken += started(self.started_tat, now, job.id)
                as_read &= same_starts(self.rate)
            yield self.rate, taken, as_read


class Line(NamedTuple):
    """A partition as one query found it, with the limits that applied at that time."""

    place: str
    limits: Limits
    slots: dict[int, LineItem]
    rate: LineItem | None = None
    first: LineItem | None = None  # of the entries, by group and time

    def organizations_on(self, day: int) -> set[str | None]:
        """Return whose jobs were given a start on a day, as far as the items still show it."""
        return {
            item.organization_id
            for item in self._given
            if day_of(self.place, item.since or 0) == day
        }

    @property
    def held(self) -> list[LineItem]:
        """Return the slots that have a holder, lowest number first."""
        return [slot for _, slot in sorted(self.slots.items()) if slot.holder is not None]

    def grant(self, group: str, *, starts: bool = True) -> Grant | None:
        """Return the capacity that the next job of this group gets now, or None if there is none.

        Pass `starts=False` for a job that is only admitted. The lowest free slot is granted, and
        only while fewer slots are held than the limit allows. So new starts never exceed a limit
        that was lowered.
        """
        slot = self._free_slot()
        opens_at = max(self.opens_at(), self.start_opens_at() if starts else 0)
        if opens_at > clock.now() or (self.limits.slots is not None and slot is None):
            return None
        turn = 1 + max((item.turn or 0 for item in self._given), default=0)
        limit, now = self.limits.rate, clock.now() * _MILLISECOND
        if limit is None:
            return Grant(group, turn, slot)
        rate = self.rate or LineItem(self.place, RATE)
        tat = limit.with_one_more(self._paid_until(limit), now)
        started_tat = limit.with_one_more(self.started_until(limit), now) if starts else None
        return Grant(group, turn, slot, rate, tat, started_tat)

    def opens_at(self) -> int:
        """Return when the rate allows the next admission, in milliseconds since 1970 (0 without a
        rate)."""
        rate = self.limits.rate
        if rate is None:
            return 0
        return max(rate.opens_at(self._paid_until(rate)), self.start_opens_at() - START_WAIT)

    def start_opens_at(self, token: str | None = None) -> int:
        """Return when the rate allows an admitted job to start, in milliseconds since 1970.

        The result is 0 without a rate. It is also 0 if the last start that was counted is that of
        an earlier try of the claim with this token.
        """
        rate = self.limits.rate
        if rate is None or self.rate is None or (token and self.rate.started_by == token):
            return 0
        return rate.opens_at(self.started_until(rate))

    @property
    def waits_for_rate(self) -> bool:
        """Return whether only the rate keeps the next job from starting."""
        has_room = self.limits.slots is None or self._free_slot() is not None
        return self.opens_at() > clock.now() and has_room

    @property
    def last_served(self) -> str:
        """Return the group that was last given a start."""
        # Two items that were granted at the same moment may have the same turn.
        last = max(self._given, key=lambda item: (item.turn or 0, item.since or 0), default=None)
        return (last.group if last is not None else None) or ""

    @property
    def _given(self) -> list[LineItem]:
        return [*self.slots.values(), *([self.rate] if self.rate else [])]

    def _free_slot(self) -> LineItem | None:
        limit = self.limits.slots
        if limit is None:
            return None
        held = {slot.number for slot in self.held}
        lowest = next(number for number in range(1, len(held) + 2) if number not in held)
        above = sum(1 for number in held if number > lowest)
        if lowest + above > limit:
            return None
        return self.slots.get(lowest) or LineItem(self.place, f"{_SLOT}{lowest:03d}")

    def _paid_until(self, rate: Rate) -> int:
        """Return the time up to which the starts so far are paid for, in microseconds.

        They may have been paid under another rate than the current one.
        """
        if self.rate is None:
            return 0
        last = (self.rate.since or 0) * _MILLISECOND
        return min(self.rate.tat or 0, last + rate.burst * rate.interval)

    def started_until(self, rate: Rate) -> int:
        """Return the time up to which the starts so far have used the rate, in microseconds."""
        if self.rate is None:
            return 0
        last = (self.rate.started_at or 0) * _MILLISECOND
        return min(self.rate.started_tat or 0, last + rate.burst * rate.interval)


def place_of(queue_name: str, queue_key: str) -> str:
    """Return the partition's key in DynamoDB, which is also the `held_by` of its waiting jobs."""
    return f"line#{queue_name}#{queue_key}"


def day_of(place: str, moment: int) -> int:
    """Return the day of a moment, by a partition's own clock.

    Each partition's days begin at another time, so that the daily work of all partitions isn't done
    at midnight.
    """
    return (moment + crc32(place.encode()) % clock.DAY) // clock.DAY


def is_line(held_by: str | None) -> bool:
    """Return whether a line, and not a pause, has parked a row."""
    return str(held_by).startswith("line#")


def read_line(queue_name: str, queue_key: str, limits: Limits | None) -> Line:
    """Return a partition as every earlier write left it: its rate, its slots, and the first entry.

    `limits` is None if the queue has none.
    """
    limits = limits or Limits()
    place = place_of(queue_name, queue_key)
    slots: dict[int, LineItem] = {}
    rate = first = None
    expected = (limits.slots or 0) + 2
    for item in LineItem.query(
        place, LineItem.sk >= RATE, consistent_read=True, page_size=expected
    ):
        if item.sk == RATE:
            rate = item
        elif item.sk.startswith(_SLOT):
            slots[item.number] = item
        else:
            first = item
            break
    return Line(place, limits, slots, rate, first)


def is_settled(slot: LineItem) -> bool:
    """Return whether a slot has been held for so long that its holder's row must name it."""
    return clock.now() - (slot.since or 0) > _SETTLED


def held_slot(job: JobRequest) -> tuple[LineItem, list[Action], Condition] | None:
    """Return the write that frees the slot that a row names, refused unless the job has it."""
    if job.slot is None:
        return None
    place = place_of(job.queue_name, str(job.queue_key))  # the key since it was given the slot
    item = LineItem(place, f"{_SLOT}{job.slot:03d}")
    return item, [LineItem.holder.remove()], LineItem.holder == job.id


def free_slot(slot: LineItem) -> bool:
    """Free a slot that its holder's row doesn't name. Return False if it was taken again."""
    try:
        slot.update([LineItem.holder.remove()], (LineItem.holder == slot.holder) & same_turn(slot))
    except UpdateError as error:
        if not condition_failed(error):
            raise
        return False
    return True


def started(started_tat: int, at: int, by: str) -> list[Action]:
    return [
        LineItem.started_tat.set(started_tat),
        LineItem.started_at.set(at),
        LineItem.started_by.set(by),
    ]


def same_starts(rate: LineItem) -> Condition:
    condition: Condition = conditional_write.same(LineItem.started_tat, rate.started_tat)
    condition &= conditional_write.same(LineItem.started_by, rate.started_by)
    return condition


def same_turn(item: LineItem) -> Condition:
    return conditional_write.same(LineItem.turn, item.turn)


def new_expiry(used_until: int) -> int:
    """Return when an item expires, in seconds since 1970, if its rate is used up to `used_until`.

    `used_until` is in microseconds since 1970.
    """
    return (max(clock.now(), used_until // _MILLISECOND) + LIFETIME) // clock.SECOND
