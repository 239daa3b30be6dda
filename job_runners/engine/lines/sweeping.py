"""Sweep a queue: admit waiting jobs after the queue's limits were raised or its pause ended.

A queue with limits has a *line* of waiting jobs for each concurrency key. Normally, when a job
ends, its process *admits* the next job of the line (lets it continue). But if no job of a line is
running, no process notices the line's new capacity. So the request that made the change admits the
jobs under the first keys. Then the timer sweeps all keys, in several runs if necessary.
"""

from collections.abc import Callable, Iterable

from job_runners import clock
from job_runners.engine.lines.admission import admit_waiting
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.sending import Send
from job_runners.store import limits, used_keys
from job_runners.store.limits import LimitChange
from job_runners.store.transitions import SKEW

_KEYS_PER_REQUEST = 25  # keys that the request handles
_BATCH_SIZE = 1000  # keys after which a sweep records its progress
# After this time, every process has read a change. Before that, a worker that still has the old
# limits may free a slot and admit no job. So the sweep of all keys begins only after this time.
PROPAGATION_TIME = SKEW + 6 * limits.CACHE_TIME

CallEach = Callable[[Iterable[str], Callable[[str], None]], bool]
"""Calls a function with each of these keys. Returns whether there was time for all of them."""


def begin(queue_name: str, send: Send, *, until: int) -> None:
    """Admit waiting jobs under a queue's first keys, until `until` (milliseconds since 1970)."""
    for key in used_keys.used_in_queue(queue_name, _KEYS_PER_REQUEST):
        if clock.now() >= until:
            return
        admit_waiting(queue_name, key, send, until=until)


def sweep(send: Send, call_each: CallEach, *, until: int) -> None:
    """Continue every sweep that is under way, until `until` (milliseconds since 1970)."""
    # A cached read is enough, because a sweep doesn't end before every cache shows the change.
    for change in limits.current().values():
        try:
            if change.sweep_from is not None:
                _sweep(change, send, call_each, until)
        except Exception as error:  # noqa: BLE001 - a broken queue must not delay the others
            telemetry.crashed(error)


def _sweep(change: LimitChange, send: Send, call_each: CallEach, until: int) -> None:
    """Continue the sweep of one queue, batch by batch, from the last recorded key.

    Soon after the change, when some process may not have read it, only handle the first keys.
    """

    def admit(key: str) -> None:
        admit_waiting(change.queue_name, key, send, until=until)

    if clock.now() - (change.sweep_asked_at or 0) < PROPAGATION_TIME:
        call_each(used_keys.used_in_queue(change.queue_name, _BATCH_SIZE), admit)
        return
    last_key = change.sweep_from or ""
    while clock.now() < until:
        keys = used_keys.used_in_queue(change.queue_name, _BATCH_SIZE, last_key)
        had_time_for_all = call_each(keys, admit)
        if not had_time_for_all or clock.now() >= until:
            return  # the next timer run begins with this batch
        if len(keys) < _BATCH_SIZE:
            limits.record_sweep_progress(change, None)
            return
        last_key = keys[-1]
        if not limits.record_sweep_progress(change, last_key):
            return
        change.sweep_from = last_key
