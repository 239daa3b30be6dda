"""The limits of queues that were changed while they run, over those that the code declares.

There is one item for each changed queue, in the coordination table. It is also where a sweep notes
how far it has come: the walk along all keys of a queue after its limits were widened, to let on who
waits there.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, cast

from pynamodb.attributes import NumberAttribute, UnicodeAttribute
from pynamodb.exceptions import DeleteError, UpdateError
from pynamodb.expressions.update import Action

import clock
from aws.errors import condition_failed
from store.rate import Rate
from store.table import Integer, Table, nullable, set_or_remove

# How long a process goes by what it has read: a change is in force everywhere after this time.
CACHED = 10 * clock.SECOND
MOST_CHANGED = 100  # every worker reads them all
_PARTITION = "limits"


class Limits(NamedTuple):
    """What limits one queue now: code and what was changed since, as one."""

    slots: int | None = None
    rate: Rate | None = None
    per: str | None = None
    order: Literal["fifo", "fair"] = "fifo"
    max_waiting: int = 10_000


class Changed(Table):
    """What was changed about one queue's limits. What is None is as the code has it."""

    class Meta:
        table_name = ""  # from table_setting, at first use

    table_setting = "COORDINATION_TABLE_NAME"

    pk = UnicodeAttribute(hash_key=True, default=_PARTITION)
    sk = UnicodeAttribute(range_key=True)  # the queue's name
    slots = nullable(Integer())
    rate_count = nullable(Integer())
    rate_seconds = nullable(NumberAttribute())
    rate_burst = nullable(Integer())
    max_waiting = nullable(Integer())
    changed_at = nullable(Integer())
    changed_by = nullable(UnicodeAttribute())  # who did, as "role:name"
    # The key after which a sweep goes on, "" for the first. None: none is due.
    sweep_from = nullable(UnicodeAttribute())
    sweep_asked_at = nullable(Integer())

    @property
    def queue_name(self) -> str:
        """Return the name of the queue."""
        return self.sk

    @property
    def rate(self) -> Rate | None:
        """Return the rate, if it was changed."""
        rate = (self.rate_count, self.rate_seconds, self.rate_burst)  # all of them, or none
        return None if None in rate else Rate(*cast(Any, rate))

    @property
    def changes_nothing(self) -> bool:
        """Return whether all is as the code has it: then it is here for its sweep alone."""
        return self.slots is None and self.rate_count is None and self.max_waiting is None


def current(*, fresh: bool = False) -> Mapping[str, Changed]:
    """Return what was changed, by queue, as it was at most CACHED ago, or is now if `fresh`."""
    now = clock.now()
    if fresh or not 0 <= now - _cache.read_at < CACHED:
        found = Changed.query(_PARTITION, consistent_read=True)
        _cache.changed = MappingProxyType({each.queue_name: each for each in found})
        _cache.read_at = now
    return _cache.changed


def forget_cache() -> None:
    """Read what was changed again at the next call: for tests."""
    _cache.read_at = 0


def put(
    queue_name: str,
    *,
    slots: int | None = None,
    rate: Rate | None = None,
    max_waiting: int | None = None,
    by: str | None = None,
    sweep: bool = False,
) -> Changed:
    """Store what is to differ from the code's limits of a queue, instead of what did before.

    With `sweep`, a sweep begins, or begins anew; without, one that is under way goes on.
    """
    return _update(
        queue_name,
        [
            set_or_remove(Changed.slots, slots),
            set_or_remove(Changed.rate_count, rate and rate.count),
            set_or_remove(Changed.rate_seconds, rate and rate.seconds),
            set_or_remove(Changed.rate_burst, rate and rate.burst),
            set_or_remove(Changed.max_waiting, max_waiting),
            set_or_remove(Changed.changed_by, by),
            Changed.changed_at.set(clock.now()),
            *(_sweep_from_the_start() if sweep else []),
        ],
    )


def reset(queue_name: str, *, by: str | None = None) -> None:
    """Have a queue's limits as the code has them again, and begin a sweep: they may be wider."""
    put(queue_name, by=by, sweep=True)


def ask_for_sweep(queue_name: str) -> Changed:
    """Begin a sweep of a queue, or begin it anew."""
    return _update(queue_name, _sweep_from_the_start())


def note_swept(read: Changed, up_to: str | None) -> bool:
    """Note how far a sweep has come: every key up to this one, or all of them for None.

    Return whether that holds: not if another has gone on with the sweep since this was `read`, or
    a new one was asked for.
    """
    as_read = Changed.sweep_from == read.sweep_from
    as_read &= Changed.sweep_asked_at == read.sweep_asked_at
    as_read &= Changed.changed_at == read.changed_at
    _cache.read_at = 0
    try:
        if up_to is not None:
            read.update([Changed.sweep_from.set(up_to)], condition=as_read)
        elif read.changes_nothing:
            read.delete(as_read)
        else:
            done: list[Action] = [Changed.sweep_from.remove(), Changed.sweep_asked_at.remove()]
            read.update(done, condition=as_read)
    except (UpdateError, DeleteError) as error:
        if not condition_failed(error):
            raise
        return False
    return True


class _Cache:
    changed: Mapping[str, Changed] = MappingProxyType({})
    read_at = 0


_cache = _Cache()


def _update(queue_name: str, actions: list[Action]) -> Changed:
    changed = Changed(_PARTITION, queue_name)
    changed.update(actions)
    _cache.read_at = 0
    return changed


def _sweep_from_the_start() -> list[Action]:
    return [Changed.sweep_from.set(""), Changed.sweep_asked_at.set(clock.now())]
