"""Change the limits of a queue at run time, and reset them to those in the code."""

from typing import NamedTuple

from job_runners import clock
from job_runners.engine.errors import NothingLimited, TooManyLimited
from job_runners.engine.lines import sweeping
from job_runners.engine.lines.limits import apply_change, declared_limits
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.sending import Send
from job_runners.store import limits
from job_runners.store.limits import LimitChange, Limits
from job_runners.store.rate import Rate
from job_runners.work import context

_ADMISSION_TIME = 5 * clock.SECOND  # how long a request that changes limits may admit waiting jobs


class QueueLimits(NamedTuple):
    """The limits of a queue: those declared in the code, the change to them, and the result."""

    name: str
    current: Limits | None
    declared: Limits | None
    changed: LimitChange | None

    @classmethod
    def of(cls, name: str, changed: LimitChange | None) -> "QueueLimits":
        """Return the limits of a queue, with this change applied to those in the code."""
        if changed is not None and changed.changes_nothing:
            changed = None
        return cls(name, apply_change(name, changed), declared_limits(name), changed)


def set_limits(
    name: str, *, slots: int | None, rate: Rate | None, max_waiting: int | None, send: Send
) -> QueueLimits:
    """Change the limits of a queue, whether or not the code declares the queue.

    None stands for the limit in the code. The limits are active everywhere within 10 seconds. If
    more jobs may start than before, this call admits some of the waiting jobs, and the timer admits
    the others.

    Raises NothingLimited, TooManyLimited.
    """
    changes = limits.current(fresh=True)
    before = apply_change(name, changes.get(name))
    changed_queues = {queue for queue, change in changes.items() if not change.changes_nothing}
    if name not in changed_queues and len(changed_queues) >= limits.MAX_CHANGED:
        raise TooManyLimited(limits.MAX_CHANGED)
    if not slots and not rate and declared_limits(name) is None:
        raise NothingLimited(name)
    new = LimitChange(sk=name, slots=slots, max_waiting=max_waiting)
    if rate is not None:
        new.rate_count = rate.count
        new.rate_seconds = rate.seconds
        new.rate_burst = rate.burst
    allows_more = _allows_more(apply_change(name, new), before)
    change = limits.put(
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
    return QueueLimits.of(name, change)


def reset_limits(name: str, send: Send) -> None:
    """Reset a queue's limits to those in the code. If they were not changed, do nothing."""
    change = limits.current(fresh=True).get(name)
    if change is None or change.changes_nothing:
        return
    limits.reset(name, by=context.recorded_author())
    telemetry.limits_reset(name)
    sweeping.begin(name, send, until=clock.now() + _ADMISSION_TIME)


def _allows_more(after: Limits | None, before: Limits | None) -> bool:
    """Return whether a job that had to wait before may start now."""
    if before is None or after is None:
        return False
    slots, rate = before.slots, before.rate
    has_more_slots = slots is not None and (after.slots is None or after.slots > slots)
    has_faster_rate = rate is not None and (
        after.rate is None or after.rate.interval < rate.interval or after.rate.burst > rate.burst
    )
    return has_more_slots or has_faster_rate
