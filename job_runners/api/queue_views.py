"""Show queues to callers, with their limits, their pauses and the keys that are in use.

A queue may be divided by a field of its jobs, such as the organization. Each value of the field is
a key, and the queue's limits apply to each key separately. A running job holds one of its key's
slots. A view is the JSON object that the API returns for something.
"""

from dataclasses import asdict
from typing import Any, NamedTuple

from job_runners.api import access
from job_runners.api.access import visible_author
from job_runners.api.json_schema import (
    AUTHOR,
    ID,
    KIND,
    NUMBER,
    TEXT,
    TIME,
    Field,
    Fields,
    build_view,
    list_of,
    nullable,
    object_of,
    properties,
    ref,
    time_of,
)
from job_runners.api.wait_views import COUNT, MORE
from job_runners.engine.control.changing_limits import QueueLimits
from job_runners.engine.control.queues import Holder, KeyUsage, QueueUsage
from job_runners.store import pauses, queries
from job_runners.store.limits import Limits
from job_runners.store.pauses import Pause
from job_runners.store.waiting import WaitingCount


class PauseWithCount(NamedTuple):
    """A pause of a job type or queue, and the number of jobs that wait for its end."""

    pause: Pause
    waiting: WaitingCount | None  # None if the caller may not see the number


def pause_view(pause: Pause, waiting: WaitingCount | None) -> dict[str, Any]:
    """Return the view of a pause. `waiting` is None if the caller may not see that number."""
    return build_view(PAUSE, PauseWithCount(pause, waiting))


def _oldest_queued_at(source: PauseWithCount) -> str | None:
    """Return when the oldest job that the pause holds back became ready to run.

    Return None if there is no such job, or if a worker had already started it.
    """
    if source.waiting is None or not source.waiting.count:
        return None
    oldest_ids = [entry.job_id for entry in pauses.held_entries(source.pause, 1)]
    for row in queries.read_many(oldest_ids).values():  # at most one
        if not row.has_begun:
            return time_of(row.could_run_at)
    return None


def queue_view(queue: QueueUsage) -> dict[str, Any]:
    """Return the view of a queue with its keys in use."""
    return build_view(QUEUE_LIMITS, queue.limits) | build_view(QUEUE, queue)


def limits_view(limits: QueueLimits) -> dict[str, Any]:
    """Return the view of a queue's limits."""
    return build_view(QUEUE_LIMITS, limits)


def _limits_to_json(limits: Limits | None) -> dict[str, Any] | None:
    if limits is None:
        return None
    rate = asdict(limits.rate) if limits.rate else None
    return {**limits._asdict(), "rate": rate, "words": _in_words(limits)}


def _in_words(limits: Limits) -> str:
    """Return limits as a phrase for people. The dashboard and `job-runners queues` show it."""
    phrases = []
    if limits.slots:
        phrases.append(_with_noun(limits.slots, "slot"))
    rate = limits.rate
    if rate:
        phrases.append(f"{_with_noun(rate.count, 'start')} per {rate.seconds:g} s")
        if rate.burst > 1:
            phrases.append(f"bursts of {rate.burst:,}")
    if limits.per:
        phrases.append("per " + limits.per.replace(", ", " and "))
    if limits.order == "fair":
        phrases.append("fair between organizations")
    phrases.append(f"at most {limits.max_waiting:,} waiting")
    return ", ".join(phrases)


def _with_noun(number: int, noun: str) -> str:
    """Return a number and its noun, in the plural if necessary."""
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"


_ONLY_OWN_JOBS = "A caller of one organization sees only that organization's jobs"
_RATE = object_of(
    {"count": NUMBER, "seconds": {"type": "number", "exclusiveMinimum": 0}, "burst": NUMBER}
)
LIMITS = object_of(
    {
        "slots": nullable(NUMBER),
        "rate": nullable(
            _RATE, "At most `count` starts per `seconds`, and at most `burst` of them at once"
        ),
        "per": {
            **nullable(TEXT),
            "description": "The field whose values are the keys. Each key has its own slots and "
            "rate",
        },
        "order": {"type": "string", "enum": ["fifo", "fair"]},
        "max_waiting": {
            **NUMBER,
            "description": "Number of waiting jobs per key at which dispatches are refused",
        },
        "words": {**TEXT, "description": "The limits in words: `2 slots, per organization_id`"},
    }
)
PAUSE: Fields[PauseWithCount] = {
    "kind": Field(KIND, lambda source: str(source.pause.kind)),
    "name": Field(TEXT, lambda source: source.pause.name),
    "paused_at": Field(TIME, lambda source: time_of(source.pause.changed_at)),
    "paused_by": Field(AUTHOR, lambda source: visible_author(source.pause.changed_by)),
    "waiting": Field(
        nullable(COUNT),
        lambda source: source.waiting.count if source.waiting else None,
        "Number of jobs that the pause holds. Only services see it",
    ),
    "more_waiting": Field(MORE, lambda source: source.waiting is not None and source.waiting.more),
    "oldest_waiting_since": Field(
        nullable(TIME),
        lambda source: time_of(source.waiting.oldest) if source.waiting else None,
    ),
    "oldest_queued_at": Field(
        nullable(TIME),
        _oldest_queued_at,
        "Since when the oldest of these jobs could have run. If that is before the pause, "
        "no worker had started it by then. Null if one had",
    ),
}

_HOLDER: Fields[Holder] = {
    "job_id": Field(ID),
    "organization_id": Field(nullable(TEXT)),
    "since": Field(nullable(TIME)),
}


def _last_start(key: KeyUsage) -> int | None:
    """Return when the newest holder of a slot got it, or None."""
    return max((holder.since for holder in key.holders if holder.since), default=None)


QUEUE_KEY: Fields[KeyUsage] = {
    "key": Field(
        TEXT,
        about=(
            "`*` is the key of a queue without `per`, and of jobs without a value in the field "
            "that `per` names"
        ),
    ),
    "slots_in_use": Field(
        NUMBER, lambda key: len(key.holders), f"Number of `holders`. {_ONLY_OWN_JOBS}"
    ),
    "holders": Field(
        {"type": "array", "items": object_of(properties(_HOLDER))},
        lambda key: [build_view(_HOLDER, holder) for holder in key.holders],
    ),
    "waiting": Field(
        COUNT, lambda key: key.waiting.count, f"Number of waiting jobs. {_ONLY_OWN_JOBS}"
    ),
    "more_waiting": Field(MORE, lambda key: key.waiting.more),
    "oldest_waiting_since": Field(nullable(TIME), lambda key: time_of(key.waiting.oldest)),
    "oldest_waiting_id": Field(
        nullable(ID),
        lambda key: key.oldest_id,
        "The first job in line. Null in a fair queue, and if it belongs to another organization",
    ),
    "last_started_at": Field(
        nullable(TIME),
        lambda key: time_of(_last_start(key)),
        "When the newest of `holders` got its slot",
    ),
    "next_start_at": Field(nullable(TIME), about="Earliest time at which the rate allows a start"),
}

QUEUE_LIMITS: Fields[QueueLimits] = {
    "name": Field(TEXT),
    "limits": Field(
        nullable(LIMITS),
        lambda limits: _limits_to_json(limits.current),
        "Active limits; a change takes up to 10 seconds. Null if there are none",
    ),
    "declared_limits": Field(
        nullable(LIMITS), lambda limits: _limits_to_json(limits.declared), "Limits declared in code"
    ),
    "changed_at": Field(
        nullable(TIME),
        lambda limits: time_of(limits.change.changed_at) if limits.change else None,
        "Time at which the limits declared in code were last overridden. Null if they "
        "aren't overridden",
    ),
    "changed_by": Field(
        AUTHOR,
        lambda limits: visible_author(limits.change.changed_by) if limits.change else None,
    ),
}

# The fields of a queue besides its limits.
QUEUE: Fields[QueueUsage] = {
    "may_limit": Field(
        {"type": "boolean"},
        lambda _: access.current_caller.get().is_service,
        "Whether the caller may change its limits",
    ),
    "paused": Field(
        {"anyOf": [ref("Pause"), {"type": "null"}]},
        lambda queue: pause_view(queue.pause, queue.held) if queue.pause else None,
    ),
    "keys": Field(
        list_of("ConcurrencyKey"),
        lambda queue: [build_view(QUEUE_KEY, key) for key in queue.keys],
        "Keys in use, by key. Viewers don't see keys that are payload values",
    ),
    "keys_cursor": Field(
        nullable(TEXT), lambda queue: queue.cursor, "Cursor of this queue's next page of keys"
    ),
}
