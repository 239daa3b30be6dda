"""Sweep the lines of a queue after its limits were widened or its pause ended.

A job that ends admits the next job of its own line. But if no job of a line runs, no process would
notice the line's new capacity. So the request that made the change admits the jobs under the first
keys. Then the timer sweeps all keys. It continues in the next run if one run isn't enough.
"""

from collections.abc import Callable, Iterable

from job_runners import clock
from job_runners.engine.lines.admission import admit_waiting
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.sending import Send
from job_runners.store import limits, used_keys
from job_runners.store.limits import LimitChange
from job_runners.store.transitions import SKEW

_KEYS_PER_REQUEST = 25  # the number of keys that the request handles
_BATCH = 1000  # the number of keys between two records of a sweep's progress
# A worker that has not read the change yet may free a slot and admit no job. So the complete sweep
# begins this long after the change, when every process must have read it.
KNOWN_TO_ALL = SKEW + 6 * limits.CACHE_TIME

CallEach = Callable[[Iterable[str], Callable[[str], None]], bool]
"""Calls a function with each of these keys, in one thread or several. Returns whether there was
time for every key."""


def begin(queue_name: str, send: Send, *, until: int) -> None:
    """Admit waiting jobs under a queue's first keys, until `until` (milliseconds since 1970)."""
    for key in used_keys.used_in_queue(queue_name, _KEYS_PER_REQUEST):
        if clock.now() >= until:
            return
        admit_waiting(queue_name, key, send, until=until)


def sweep(send: Send, call_each: CallEach, *, until: int) -> None:
    """Continue every sweep that is under way, until `until` (milliseconds since 1970)."""
    # A cached read is enough: the pass that counts begins when every cache shows the change.
    for changed in limits.current().values():
        try:
            if changed.sweep_from is not None:
                _sweep(changed, send, call_each, until)
        except Exception as error:  # noqa: BLE001 - a broken queue must not delay the others
            telemetry.crashed(error)


def _sweep(changed: LimitChange, send: Send, call_each: CallEach, until: int) -> None:
    def admit(key: str) -> None:
        admit_waiting(changed.queue_name, key, send, until=until)

    if clock.now() - (changed.sweep_asked_at or 0) < KNOWN_TO_ALL:
        call_each(used_keys.used_in_queue(changed.queue_name, _BATCH), admit)
        return
    after = changed.sweep_from or ""
    while clock.now() < until:
        keys = used_keys.used_in_queue(changed.queue_name, _BATCH, after)
        if not call_each(keys, admit) or clock.now() >= until:
            return  # there was no time for some keys: the next timer run begins with this batch
        after = keys[-1] if len(keys) == _BATCH else ""
        if not limits.note_swept(changed, after or None) or not after:
            return
        changed.sweep_from = after
