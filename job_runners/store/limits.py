"""Changes that operators make to the limits of queues. They override the limits in the code.

The coordination table has one item for each changed queue. When a queue's limits are raised, or its
pause ends, a *sweep* goes through the queue's concurrency keys, and admits the jobs that wait under
each of them. The queue's item also stores how far the sweep has come.
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

# Each process reads the changes again after this time, so by then a change applies everywhere.
CACHE_TIME = 10 * clock.SECOND
MAX_CHANGED = 100  # the maximum number of changed queues, because every worker reads all changes
_PARTITION = "limits"


class Limits(NamedTuple):
    """The limits that apply to a queue: those in the code, and changes to them."""

    slots: int | None = None  # how many jobs of each concurrency key may run at once
    rate: Rate | None = None  # how often jobs of each concurrency key may start
    per: str | None = None  # the field of the payload with the key, or "organization_id"
    order: Literal["fifo", "fair"] = "fifo"
    max_waiting: int = 10_000


class LimitChange(CoordinationItem):
    """The changes to one queue's limits. For each limit that is None, the code's value applies."""

    how_erased = "not at all: it belongs to the stack"

    pk = UnicodeAttribute(hash_key=True, default=_PARTITION)
    sk = UnicodeAttribute(range_key=True)  # the queue's name
    slots = nullable(Integer())
    rate_count = nullable(Integer())
    rate_seconds = nullable(NumberAttribute())
    rate_burst = nullable(Integer())
    max_waiting = nullable(Integer())
    changed_at = nullable(Integer())
    changed_by = nullable(UnicodeAttribute())  # as "role:name"
    # The fields of a sweep in progress: the last key that it has handled, or "" at its start, and
    # when it was last started or restarted.
    sweep_from = nullable(UnicodeAttribute())
    sweep_asked_at = nullable(Integer())

    @property
    def queue_name(self) -> str:
        """Return the name of the queue."""
        return self.sk

    @property
    def rate(self) -> Rate | None:
        """Return the changed rate, or None if the code's rate applies."""
        values = (self.rate_count, self.rate_seconds, self.rate_burst)
        if None in values:  # then all of them are None
            return None
        return Rate(*cast(Any, values))

    @property
    def changes_nothing(self) -> bool:
        """Return whether all of the code's limits apply. The item then exists only for a sweep."""
        return self.slots is None and self.rate_count is None and self.max_waiting is None


def current(*, fresh: bool = False) -> Mapping[str, LimitChange]:
    """Return the changes by queue. They are at most CACHE_TIME old, or new with `fresh=True`."""
    now = clock.now()
    if fresh or not 0 <= now - _cache.read_at < CACHE_TIME:
        changes = LimitChange.query(_PARTITION, consistent_read=True)
        _cache.changes = MappingProxyType({change.queue_name: change for change in changes})
        _cache.read_at = now
    return _cache.changes


@caches.register
def _clear_cache() -> None:
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
    """Replace all changes to a queue's limits. If a limit is None, the code's value applies.

    Pass `sweep=True` to start a sweep, or to restart the one in progress. Otherwise, a sweep in
    progress continues.
    """
    actions = [
        set_or_remove(LimitChange.slots, slots),
        set_or_remove(LimitChange.rate_count, None if rate is None else rate.count),
        set_or_remove(LimitChange.rate_seconds, None if rate is None else rate.seconds),
        set_or_remove(LimitChange.rate_burst, None if rate is None else rate.burst),
        set_or_remove(LimitChange.max_waiting, max_waiting),
        set_or_remove(LimitChange.changed_by, by),
        LimitChange.changed_at.set(clock.now()),
    ]
    if sweep:
        actions += _start_sweep_actions()
    return _update(queue_name, actions)


def reset(queue_name: str, *, by: str | None = None) -> None:
    """Remove all changes to a queue's limits. Start a sweep, because the code may allow more."""
    put(queue_name, by=by, sweep=True)


def ask_for_sweep(queue_name: str) -> LimitChange:
    """Start a sweep of a queue, or restart it."""
    return _update(queue_name, _start_sweep_actions())


def record_sweep_progress(item: LimitChange, last_key: str | None) -> bool:
    """Record that a sweep has handled all keys up to `last_key`, or all keys if it is None.

    If `item` has changed since it was read, record nothing and return False: another process may
    have continued or restarted the sweep.
    """
    is_unchanged = LimitChange.sweep_from == item.sweep_from
    is_unchanged &= LimitChange.sweep_asked_at == item.sweep_asked_at
    is_unchanged &= LimitChange.changed_at == item.changed_at
    _cache.read_at = 0
    if last_key is not None:
        return try_write(lambda: item.update([LimitChange.sweep_from.set(last_key)], is_unchanged))
    if item.changes_nothing:
        return try_write(lambda: item.delete(is_unchanged))
    actions: list[Action] = [LimitChange.sweep_from.remove(), LimitChange.sweep_asked_at.remove()]
    return try_write(lambda: item.update(actions, is_unchanged))


class _Cache:
    changes: Mapping[str, LimitChange] = MappingProxyType({})
    read_at = 0


_cache = _Cache()


def _update(queue_name: str, actions: list[Action]) -> LimitChange:
    change = LimitChange(_PARTITION, queue_name)
    change.update(actions)
    _cache.read_at = 0
    return change


def _start_sweep_actions() -> list[Action]:
    return [LimitChange.sweep_from.set(""), LimitChange.sweep_asked_at.set(clock.now())]
