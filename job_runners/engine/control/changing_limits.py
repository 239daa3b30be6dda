"""Change the limits of a queue at run time, or reset them to the limits in the code."""

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
    """The limits of a queue.

    `declared` are the limits in the code. `change` is the callers' change to them. `current` are
    the limits that result from both.
    """

    name: str
    current: Limits | None
    declared: Limits | None
    change: LimitChange | None

    @classmethod
    def of(cls, name: str, change: LimitChange | None) -> "QueueLimits":
        """Return the limits of a queue to which callers have made this change."""
        if change is not None and change.changes_nothing:
            change = None
        return cls(name, apply_change(name, change), declared_limits(name), change)


def set_limits(
    name: str, *, slots: int | None, rate: Rate | None, max_waiting: int | None, send: Send
) -> QueueLimits:
    """Change the limits of a queue, whether or not the code declares the queue.

    If an argument is None, the limit in the code applies. All processes apply the change within 10
    seconds. If more jobs may start than before, this call admits some of the waiting jobs, and the
    timer admits the rest.

    Raises NothingLimited, TooManyLimited.
    """
    changes = limits.current(fresh=True)
    old_limits = apply_change(name, changes.get(name))
    changed_queues = {queue for queue, change in changes.items() if not change.changes_nothing}
    if name not in changed_queues and len(changed_queues) >= limits.MAX_CHANGED:
        raise TooManyLimited(limits.MAX_CHANGED)
    if not slots and not rate and declared_limits(name) is None:
        raise NothingLimited(name)
    new_change = LimitChange(sk=name, slots=slots, max_waiting=max_waiting)
    if rate is not None:
        new_change.rate_count = rate.count
        new_change.rate_seconds = rate.seconds
        new_change.rate_burst = rate.burst
    allows_more = _allows_more(apply_change(name, new_change), old_limits)
    stored_change = limits.put(
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
    return QueueLimits.of(name, stored_change)


def reset_limits(name: str, send: Send) -> None:
    """Undo the callers' change to a queue's limits, if there is one."""
    change = limits.current(fresh=True).get(name)
    if change is None or change.changes_nothing:
        return
    limits.reset(name, by=context.recorded_author())
    telemetry.limits_reset(name)
    sweeping.begin(name, send, until=clock.now() + _ADMISSION_TIME)


def _allows_more(new: Limits | None, old: Limits | None) -> bool:
    """Return whether the new limits may let a job start that had to wait under the old ones."""
    if old is None or new is None:
        return False
    has_more_slots = old.slots is not None and (new.slots is None or new.slots > old.slots)
    has_faster_rate = old.rate is not None and (
        new.rate is None or new.rate.interval < old.rate.interval or new.rate.burst > old.rate.burst
    )
    return has_more_slots or has_faster_rate
