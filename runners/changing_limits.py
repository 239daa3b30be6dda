"""Change what limits a queue while it runs, and have what its code declares again."""

from typing import NamedTuple

import clock
from errors import NothingLimited, TooManyLimited
from runners import sweeping, telemetry
from runners.limits import declared_limits, merged
from runners.sending import Send
from store import limits
from store.limits import Changed, Limits
from store.rate import Rate
from work import context

_TIME = 5 * clock.SECOND  # of the request that changes a queue's limits


class QueueLimits(NamedTuple):
    """What limits a queue: `in_force` is what its code declares, with what was changed since."""

    name: str
    in_force: Limits | None
    declared: Limits | None
    changed: Changed | None

    @classmethod
    def of(cls, name: str, changed: Changed | None) -> "QueueLimits":
        """Return what limits a queue when this is changed."""
        if changed is not None and changed.changes_nothing:
            changed = None
        return cls(name, merged(name, changed), declared_limits(name), changed)


def set_limits(
    name: str, *, slots: int | None, rate: Rate | None, max_waiting: int | None, send: Send
) -> QueueLimits:
    """Limit a queue, declared or not. What is None is as the code has it.

    It is in force everywhere within 10 seconds. If more may start than before, some of those that
    wait are let on here and now, and the timer sees to the rest. Raises NothingLimited,
    TooManyLimited.
    """
    known = limits.current(fresh=True)
    before = merged(name, known.get(name))
    overruled = {each for each, changed in known.items() if not changed.changes_nothing}
    if name not in overruled and len(overruled) >= limits.MOST_CHANGED:
        raise TooManyLimited(limits.MOST_CHANGED)
    if not slots and not rate and declared_limits(name) is None:
        raise NothingLimited(name)
    asked = Changed(sk=name, slots=slots, max_waiting=max_waiting)
    if rate is not None:
        asked.rate_count, asked.rate_seconds = rate.count, rate.seconds
        asked.rate_burst = rate.burst
    widened = _is_wider(merged(name, asked), before)
    changed = limits.put(
        name,
        slots=slots,
        rate=rate,
        max_waiting=max_waiting,
        by=context.recorded_author(),
        sweep=widened,
    )
    telemetry.limits_changed(name, slots, rate, max_waiting)
    if widened:
        sweeping.begin(name, send, until=clock.now() + _TIME)
    return QueueLimits.of(name, changed)


def reset_limits(name: str, send: Send) -> None:
    """Have a queue's limits as the code has them. Do nothing if they are."""
    changed = limits.current(fresh=True).get(name)
    if changed is None or changed.changes_nothing:
        return
    limits.reset(name, by=context.recorded_author())
    telemetry.limits_reset(name)
    sweeping.begin(name, send, until=clock.now() + _TIME)


def _is_wider(after: Limits | None, before: Limits | None) -> bool:
    """Return whether a job may start that had to wait before."""
    if before is None or after is None:
        return False
    slots, rate = before.slots, before.rate
    more_slots = slots is not None and (after.slots is None or after.slots > slots)
    faster = rate is not None and (
        after.rate is None or after.rate.interval < rate.interval or after.rate.burst > rate.burst
    )
    return more_slots or faster
