"""The items of a line, as DynamoDB stores them, and the conditions that they haven't changed.

| item | content |
|---|---|
| `rate` | when the rate allows the next start, and which job started last and when |
| `slot#<number>` | which job holds the slot; a free slot has no holder |
| `wait#<group>#<time><job id>` | a waiting job; each organization is a group, or all share one |
"""

from pynamodb.attributes import UnicodeAttribute
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from job_runners import clock
from job_runners.store import conditional_write
from job_runners.store.job_request import job_id_of
from job_runners.store.table import CoordinationItem, Integer, nullable

MILLISECOND = 1000  # in microseconds, the unit of `tat`
# An item that hasn't been written for this long expires. Its concurrency key then counts as unused.
LIFETIME = 40 * clock.DAY
RATE = "rate"
SLOT = "slot#"
WAITING = "wait#"  # prefix of the sort key of every entry


class LineItem(CoordinationItem):
    """One item of a line: a slot, the rate, or the entry of a waiting job."""

    erasure = "with the jobs that lead to its line, by line_erasing.erase"

    pk = UnicodeAttribute(hash_key=True)  # the line, see `partition_key_of`
    sk = UnicodeAttribute(range_key=True)
    expires_at = nullable(Integer())  # in seconds, for TTL

    # In an entry, the organization of its job. In a slot or the rate item, the organization of the
    # job to which it was granted last.
    organization_id = nullable(UnicodeAttribute())

    # In a slot or the rate item, about the job to which it was granted last.
    since = nullable(Integer())  # when it was granted
    turn = nullable(Integer())  # the number of that grant, which only grows within a line
    group = nullable(UnicodeAttribute())  # the job's group

    # In a slot, the id of the job that has it.
    holder = nullable(UnicodeAttribute())

    # In the rate item, the end of the last interval that an admission took, in microseconds: see
    # `Rate.end_of_next_interval`. In the algorithm (GCRA), it is the next theoretical arrival time.
    tat = nullable(Integer())
    # In the rate item, about starts, which may come long after the admissions.
    started_tat = nullable(Integer())  # as `tat`, but for starts
    started_at = nullable(Integer())  # the time of the last start
    # The claim token of the last start, or the job's id if it started without being admitted first.
    started_by = nullable(UnicodeAttribute())
    # In the rate item, when the wake-up that was sent will arrive, or when the admission pass that
    # paces the line will end: see `job_runners.engine.lines.wake_ups`.
    wake_at = nullable(Integer())

    # In an entry, a random id, so that an entry that was put again isn't taken for the old one.
    version = nullable(UnicodeAttribute())

    @property
    def job_id(self) -> str:
        """Return the id of an entry's job."""
        return job_id_of(self.sk.rpartition("#")[2])

    @property
    def waiting_since(self) -> int:
        """Return the time that decides an entry's position: usually when its job was held."""
        return int(self.sk.rpartition("#")[2].removesuffix(self.job_id))

    @property
    def entry_group(self) -> str:
        """Return an entry's group."""
        return self.sk.removeprefix(WAITING).rpartition("#")[0]

    @property
    def number(self) -> int:
        """Return the number of a slot."""
        return int(self.sk.removeprefix(SLOT))


def start_actions(started_tat: int, at: int, by: str) -> list[Action]:
    """Return the actions that record a start in the rate item."""
    return [
        LineItem.started_tat.set(started_tat),
        LineItem.started_at.set(at),
        LineItem.started_by.set(by),
    ]


def same_starts(rate: LineItem) -> Condition:
    """Return the condition that no start was counted since the rate item was read."""
    condition: Condition = conditional_write.same(LineItem.started_tat, rate.started_tat)
    condition &= conditional_write.same(LineItem.started_by, rate.started_by)
    return condition


def same_turn(item: LineItem) -> Condition:
    """Return the condition that a slot or the rate wasn't granted since it was read."""
    return conditional_write.same(LineItem.turn, item.turn)


def new_expiry(used_until: int) -> int:
    """Return when an item expires, in seconds since 1970.

    `used_until` is the end of the last interval taken in its rate, in microseconds since 1970.
    """
    return (max(clock.now(), used_until // MILLISECOND) + LIFETIME) // clock.SECOND
