"""Changes to queues' limits at run time. Where there is none, the limits in the code apply.

The coordination table has one item for each changed queue.

After a queue's limits are raised or its pause ends, a sweep admits the waiting jobs in each line of
the queue, key by key. The queue's item also stores the position of its sweep.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, cast

from pynamodb.attributes import NumberAttribute, UnicodeAttribute
from pynamodb.expressions.update import Action

from job_runners import caches, clock
from job_runners.aws.errors import try_write
from job_runners.store.rate import Rate
from job_runners.store.table import CoordinationItem, Integer, nullable, set_or_remove

# How long a process uses the changes that it has read before it reads them again. So a change
# applies everywhere after this time.
CACHE_TIME = 10 * clock.SECOND
MAX_CHANGED = 100  # queues; the number is limited because every worker reads all changes
_PARTITION = "limits"


class Limits(NamedTuple):
    """The limits that apply to one queue: those in code, with any changes."""

    slots: int | None = None
    rate: Rate | None = None
    per: str | None = None
    order: Literal["fifo", "fair"] = "fifo"
    max_waiting: int = 10_000


class LimitChange(CoordinationItem):
    """The changes to one queue's limits. If a limit is None, the code's value applies."""

    erasure = "none: it belongs to the stack"

    pk = UnicodeAttribute(hash_key=True, default=_PARTITION)
    sk = UnicodeAttribute(range_key=True)  # the queue's name
    slots = nullable(Integer())
    rate_count = nullable(Integer())
    rate_seconds = nullable(NumberAttribute())
    rate_burst = nullable(Integer())
    max_waiting = nullable(Integer())
    changed_at = nullable(Integer())
    changed_by = nullable(UnicodeAttribute())  # as "role:name"
    # The sweep continues after this key, or begins with the first key if this is "". It is None if
    # no sweep is under way.
    sweep_from = nullable(UnicodeAttribute())
    sweep_asked_at = nullable(Integer())  # when the sweep was last started or restarted

    @property
    def queue_name(self) -> str:
        """Return the name of the queue."""
        return self.sk

    @property
    def rate(self) -> Rate | None:
        """Return the changed rate, or None if the code's rate applies."""
        rate = (self.rate_count, self.rate_seconds, self.rate_burst)  # all are set, or none is
        return None if None in rate else Rate(*cast(Any, rate))

    @property
    def changes_nothing(self) -> bool:
        """Return whether the code's limits apply. The item then exists only for its sweep."""
        return self.slots is None and self.rate_count is None and self.max_waiting is None


def current(*, fresh: bool = False) -> Mapping[str, LimitChange]:
    """Return the changes by queue. They were read at most CACHE_TIME ago, or just now if `fresh`."""
    now = clock.now()
    if fresh or not 0 <= now - _cache.read_at < CACHE_TIME:
        found = LimitChange.query(_PARTITION, consistent_read=True)
        _cache.changed = MappingProxyType({each.queue_name: each for each in found})
        _cache.read_at = now
    return _cache.changed


@caches.register
def _forget() -> None:
    _cache.read_at = 0


def put(
    queue_name: str,
    *,
    slots: int | None = None,
    rate: Rate | None = None,
    max_waiting: int | None = None,
    by: str | None = None,
    sweep: bool = False,
) -> LimitChange:
    """Store the changes to a queue's limits, in place of all earlier ones.

    If a limit is None, the code's value applies. With `sweep`, start a sweep, or restart the one
    that is under way. Without it, a sweep that is under way continues.
    """
    return _update(
        queue_name,
        [
            set_or_remove(LimitChange.slots, slots),
            set_or_remove(LimitChange.rate_count, rate and rate.count),
            set_or_remove(LimitChange.rate_seconds, rate and rate.seconds),
            set_or_remove(LimitChange.rate_burst, rate and rate.burst),
            set_or_remove(LimitChange.max_waiting, max_waiting),
            set_or_remove(LimitChange.changed_by, by),
            LimitChange.changed_at.set(clock.now()),
            *(_sweep_from_the_start() if sweep else []),
        ],
    )


def reset(queue_name: str, *, by: str | None = None) -> None:
    """Let the code's limits apply to a queue again. Start a sweep, because they may be higher."""
    put(queue_name, by=by, sweep=True)


def ask_for_sweep(queue_name: str) -> LimitChange:
    """Start a sweep of a queue, or restart it."""
    return _update(queue_name, _sweep_from_the_start())


def note_swept(item: LimitChange, up_to: str | None) -> bool:
    """Record that a sweep has handled every key up to `up_to`, or all keys if that is None.

    If `item` has changed since it was read, record nothing and return False: another process
    may have continued or restarted the sweep.
    """
    unchanged = LimitChange.sweep_from == item.sweep_from
    unchanged &= LimitChange.sweep_asked_at == item.sweep_asked_at
    unchanged &= LimitChange.changed_at == item.changed_at
    _cache.read_at = 0
    if up_to is None and item.changes_nothing:
        return try_write(lambda: item.delete(unchanged))
    actions: list[Action] = (
        [LimitChange.sweep_from.remove(), LimitChange.sweep_asked_at.remove()]
        if up_to is None
        else [LimitChange.sweep_from.set(up_to)]
    )
    return try_write(lambda: item.update(actions, unchanged))


class _Cache:
    changed: Mapping[str, LimitChange] = MappingProxyType({})
    read_at = 0


_cache = _Cache()


def _update(queue_name: str, actions: list[Action]) -> LimitChange:
    changed = LimitChange(_PARTITION, queue_name)
    changed.update(actions)
    _cache.read_at = 0
    return changed


def _sweep_from_the_start() -> list[Action]:
    return [LimitChange.sweep_from.set(""), LimitChange.sweep_asked_at.set(clock.now())]
