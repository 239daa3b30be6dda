"""Sweeps: after a queue was given wider limits, or was resumed, each of its lines is looked at.

Who ends a job lets on the next of its own line. But a line in which nothing runs has nobody who
would see that there is room now. The request that made the change looks at the first keys; the
timer goes along all of them, as far as it comes in one tick, and on from there in the next.
"""

from collections.abc import Callable, Iterable

import clock
from runners import telemetry
from runners.admission import admit_waiting
from runners.sending import Send
from store import limits, pauses, used_keys
from store.limits import Changed
from store.verbs import SKEW

_FIRST = 25  # keys that the request looks at
_BATCH = 1000  # keys between two notes of how far a sweep is
# A worker that has not read of the change yet may free a slot and let nobody on. So the sweep that
# counts begins only when every process must have read of it.
KNOWN_TO_ALL = SKEW + 6 * limits.CACHED

Each = Callable[[Iterable[str], Callable[[str], None]], bool]
"""Calls a function with each of these keys, in several threads perhaps; returns whether it came to
all of them."""


def begin(queue_name: str, send: Send, *, until: int) -> None:
    """Let on who waits under the first keys of a queue, until `until` (milliseconds since 1970)."""
    for key in used_keys.used(queue_name, _FIRST):
        if clock.now() >= until:
            return
        admit_waiting(queue_name, key, send, until=until)


def sweep(send: Send, each: Each, *, until: int) -> None:
    """Go on with every sweep that is under way, until `until` (milliseconds since 1970)."""
    if not any(changed.sweep_from is not None for changed in limits.current().values()):
        return
    pauses.current(fresh=True)
    for changed in limits.current(fresh=True).values():
        try:
            if changed.sweep_from is not None:
                _sweep(changed, send, each, until)
        except Exception as error:  # noqa: BLE001 - one queue must not keep the others waiting
            telemetry.crashed(error)


def _sweep(changed: Changed, send: Send, each: Each, until: int) -> None:
    def admit(key: str) -> None:
        admit_waiting(changed.queue_name, key, send, until=until)

    if clock.now() - (changed.sweep_asked_at or 0) < KNOWN_TO_ALL:
        each(used_keys.used(changed.queue_name, _BATCH), admit)
        return
    after = changed.sweep_from or ""
    while clock.now() < until:
        keys = used_keys.used(changed.queue_name, _BATCH, after)
        if not each(keys, admit) or clock.now() >= until:
            return  # not all of them were looked at: the next tick begins with these
        after = keys[-1] if len(keys) == _BATCH else ""
        if not limits.note_swept(changed, after or None) or not after:
            return
        changed.sweep_from = after
