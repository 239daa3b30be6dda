"""The items of a line: the slots, the rate and the waiting jobs of one queue and concurrency key.

| sort key | content |
|---|---|
| `rate` | when the rate allows the next start, and which job started last and when |
| `slot#<number>` | which job holds the slot; a free slot has no holder |
| `wait#<group>#<time><job id>` | the entry of a waiting job |

In a fair queue, each organization has a group of its own. Otherwise, the group is "".
"""

from pynamodb.attributes import UnicodeAttribute
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from job_runners import clock
from job_runners.store import conditional_write
from job_runners.store.job_request import job_id_of
from job_runners.store.table import CoordinationItem, Integer, nullable

MILLISECOND = 1000  # microseconds, the unit of `tat`
# An item that isn't written for this long expires. Its concurrency key then counts as unused.
LIFETIME = 40 * clock.DAY
RATE = "rate"
SLOT = "slot#"
WAITING = "wait#"  # the prefix of the sort keys of entries


class LineItem(CoordinationItem):
    """One item of a line: a slot, the rate, or the entry of a waiting job."""

    how_erased = "with the jobs that lead to its line, by line_erasing.erase"

    pk = UnicodeAttribute(hash_key=True)  # the line, see `partition_key_of`
    sk = UnicodeAttribute(range_key=True)
    expires_at = nullable(Integer())  # in seconds, for TTL

    # The organization of an entry's job, or of the job that last got the slot or a start.
    organization_id = nullable(UnicodeAttribute())

    # Slots and the rate: their last grant to a job.
    since = nullable(Integer())  # when it was granted
    turn = nullable(Integer())  # the number of the grant in the line
    group = nullable(UnicodeAttribute())  # the job's group

    # Slots only.
    holder = nullable(UnicodeAttribute())  # the id of the job that has the slot

    # The rate only.
    # The end of the last interval that an admission used up, in microseconds since 1970: see
    # `Rate.end_of_next_interval`. GCRA, the algorithm, calls it the theoretical arrival time.
    tat = nullable(Integer())
    # The end of the last interval that a start used up. Starts may be much later than admissions.
    started_tat = nullable(Integer())
    started_at = nullable(Integer())  # the time of the last start
    # The claim token of the last start, or the job's id if it started without being admitted first.
    started_by = nullable(UnicodeAttribute())
    # When the wake-up message that was sent will arrive. Or, while a process admits jobs at the
    # pace of the rate, when it will end: see `job_runners.engine.lines.wake_ups`.
    wake_at = nullable(Integer())

    # Entries only.
    version = nullable(UnicodeAttribute())  # random, and new each time that the entry is written

    @property
    def job_id(self) -> str:
        """Return the id of an entry's job."""
        return job_id_of(self.sk.rpartition("#")[2])

    @property
    def waiting_since(self) -> int:
        """Return the time by which a group's entries are sorted: usually when the job was held."""
        return int(self.sk.rpartition("#")[2].removesuffix(self.job_id))

    @property
    def entry_group(self) -> str:
        """Return an entry's group."""
        return self.sk.removeprefix(WAITING).rpartition("#")[0]

    @property
    def number(self) -> int:
        """Return the number of a slot."""
        return int(self.sk.removeprefix(SLOT))


def start_actions(started_tat: int, started_at: int, started_by: str) -> list[Action]:
    """Return the actions that record a start in the rate item."""
    return [
        LineItem.started_tat.set(started_tat),
        LineItem.started_at.set(started_at),
        LineItem.started_by.set(started_by),
    ]


def same_starts(rate: LineItem) -> Condition:
    """Return the condition that no start has been counted since the rate item was read."""
    same = conditional_write.same
    condition: Condition = same(LineItem.started_tat, rate.started_tat) & same(
        LineItem.started_by, rate.started_by
    )
    return condition


def same_turn(item: LineItem) -> Condition:
    """Return the condition that a slot or the rate hasn't been granted since it was read."""
    return conditional_write.same(LineItem.turn, item.turn)


def new_expiry(used_until: int) -> int:
    """Return the expiry of an item that is written now, in seconds since 1970.

    `used_until` is the end of its rate's last used interval, in microseconds.
    """
    last_use = max(clock.now(), used_until // MILLISECOND)
    return (last_use + LIFETIME) // clock.SECOND
