"""Change the limits of a queue at run time, and reset them to those in the code."""

from typing import NamedTuple

from job_runners import clock
from job_runners.engine.errors import NothingLimited, TooManyLimited
from job_runners.engine.lines import sweeping
from job_runners.engine.lines.limits import declared_limits, merged
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.sending import Send
from job_runners.store import limits
from job_runners.store.limits import LimitChange, Limits
from job_runners.store.rate import Rate
from job_runners.work import context

_ADMISSION_TIME = 5 * clock.SECOND  # how long a request that changes limits may spend on admission


class QueueLimits(NamedTuple):
    """The limits of a queue. `current` combines those declared in the code with later changes."""

    name: str
    current: Limits | None
    declared: Limits | None
    changed: LimitChange | None

    @classmethod
    def of(cls, name: str, changed: LimitChange | None) -> "QueueLimits":
        """Return the limits of a queue with this change applied."""
        if changed is not None and changed.changes_nothing:
            changed = None
        return cls(name, merged(name, changed), declared_limits(name), changed)


def set_limits(
    name: str, *, slots: int | None, rate: Rate | None, max_waiting: int | None, send: Send
) -> QueueLimits:
    """Limit a queue, whether or not the code declares it.

    For a limit that is None, the code's limit applies. The limits are active everywhere within 10
    seconds. If more jobs may start than before, this call admits some of the waiting jobs, and the
    timer admits the others.

    Raises NothingLimited, TooManyLimited.
    """
    known = limits.current(fresh=True)
    before = merged(name, known.get(name))
    changed_queues = {each for each, changed in known.items() if not changed.changes_nothing}
    if name not in changed_queues and len(changed_queues) >= limits.MAX_CHANGED:
        raise TooManyLimited(limits.MAX_CHANGED)
    if not slots and not rate and declared_limits(name) is None:
        raise NothingLimited(name)
    new = LimitChange(sk=name, slots=slots, max_waiting=max_waiting)
    if rate is not None:
        new.rate_count, new.rate_seconds = rate.count, rate.seconds
        new.rate_burst = rate.burst
    allows_more = _allows_more(merged(name, new), before)
    changed = limits.put(
        name,
        slots=slots,
        rate=rate,
        max_waiting=max_waiting,
        by=context.recorded_author(),
        sweep=allows_more,
    )
    telemetry.limits_changed(name, slots, rate, max_waiting)
    if allows_more:
        sweeping.begin(name, send, until=clock.now() + _ADMISSION_TIME)
    return QueueLimits.of(name, changed)


def reset_limits(name: str, send: Send) -> None:
    """Reset a queue's limits to those in the code. If they were not changed, do nothing."""
    changed = limits.current(fresh=True).get(name)
    if changed is None or changed.changes_nothing:
        return
    limits.reset(name, by=context.recorded_author())
    telemetry.limits_reset(name)
    sweeping.begin(name, send, until=clock.now() + _ADMISSION_TIME)


def _allows_more(after: Limits | None, before: Limits | None) -> bool:
    """Return whether a job that had to wait before may start now."""
    if before is None or after is None:
        return False
    slots, rate = before.slots, before.rate
    more_slots = slots is not None and (after.slots is None or after.slots > slots)
    faster = rate is not None and (
        after.rate is None or after.rate.interval < rate.interval or after.rate.burst > rate.burst
    )
    return more_slots or faster
