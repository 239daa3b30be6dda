"""Show queues to callers, with their limits, their use and their pauses. Each constant
such as PAUSE maps a field's name to its JSON schema and to the function that reads its value."""

from dataclasses import asdict
from typing import Any, NamedTuple

from job_runners.api import access
from job_runners.api.json_schema import (
    ID,
    KIND,
    NUMBER,
    TEXT,
    TIME,
    Field,
    Fields,
    list_of,
    nullable,
    object_of,
    properties,
    ref,
    time_of,
    values,
)
from job_runners.api.shown import AUTHOR, author
from job_runners.api.wait_views import COUNT, MORE, described_or_null
from job_runners.engine.control.changing_limits import QueueLimits
from job_runners.engine.control.queues import Holder, KeyUsage, QueueUsage
from job_runners.store import pauses, queries
from job_runners.store.limits import Limits
from job_runners.store.pauses import Pause
from job_runners.store.waiting import WaitingCount


class PauseUse(NamedTuple):
    """A pause, and the jobs that wait for its end. `waiting` is None if the caller may not see
    them."""

    pause: Pause
    waiting: WaitingCount | None


def pause(found: Pause, waiting: WaitingCount | None) -> dict[str, Any]:
    """Return the view of the pause of a job type or queue."""
    return values(PAUSE, PauseUse(found, waiting))


def _oldest_queued_at(pause: Pause) -> str | None:
    ids = [entry.job_id for entry in pauses.held_entries(pause, 1)]
    rows = queries.read_many(ids).values()
    return next((time_of(row.could_run_at) for row in rows if not row.has_begun), None)


def queue(use: QueueUsage) -> dict[str, Any]:
    """Return the view of a queue with its keys in use."""
    return values(QUEUE_LIMITS, use.limits) | values(QUEUE_USE, use)


def queue_limits(limits: QueueLimits) -> dict[str, Any]:
    """Return the view of a queue's limits."""
    return values(QUEUE_LIMITS, limits)


def _limits(limits: Limits | None) -> dict[str, Any] | None:
    if limits is None:
        return None
    rate = limits.rate and asdict(limits.rate)
    return {**limits._asdict(), "rate": rate, "words": _in_words(limits)}


def _in_words(limits: Limits) -> str:
    """Return limits in words, as the dashboard and `job-runners queues` show them."""
    slots, rate = limits.slots, limits.rate
    words = [
        f"{slots:,} slot{'' if slots == 1 else 's'}" if slots else "",
        f"{rate.count:,} start{'' if rate.count == 1 else 's'} per {rate.seconds:g} s"
        if rate
        else "",
        f"bursts of {rate.burst:,}" if rate and rate.burst > 1 else "",
        "per " + limits.per.replace(", ", " and ") if limits.per else "",
        "fair between organizations" if limits.order == "fair" else "",
        f"at most {limits.max_waiting:,} waiting",
    ]
    return ", ".join(filter(None, words))


_OWN_JOBS_ONLY = "A caller of one organization sees only that organization's jobs"
_RATE = object_of(
    {"count": NUMBER, "seconds": {"type": "number", "exclusiveMinimum": 0}, "burst": NUMBER}
)
LIMITS = object_of(
    {
        "slots": nullable(NUMBER),
        "rate": described_or_null(
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
PAUSE: Fields[PauseUse] = {
    "kind": Field(KIND, lambda use: str(use.pause.kind)),
    "name": Field(TEXT, lambda use: use.pause.name),
    "paused_at": Field(TIME, lambda use: time_of(use.pause.changed_at)),
    "paused_by": Field(AUTHOR, lambda use: author(use.pause.changed_by)),
    "waiting": Field(
        {
            **nullable(COUNT),
            "description": "Number of jobs that the pause holds. Only services see it",
        },
        lambda use: use.waiting and use.waiting.count,
    ),
    "more_waiting": Field(MORE, lambda use: use.waiting is not None and use.waiting.more),
    "oldest_waiting_since": Field(
        nullable(TIME), lambda use: use.waiting and time_of(use.waiting.oldest)
    ),
    "oldest_queued_at": Field(
        {
            **nullable(TIME),
            "description": "Since when the oldest of these jobs could have run. If that is before "
            "the pause, no worker had started it by then. Null if one had",
        },
        lambda use: _oldest_queued_at(use.pause) if use.waiting and use.waiting.count else None,
    ),
}

_HOLDER: Fields[Holder] = {
    "job_id": Field(ID),
    "organization_id": Field(nullable(TEXT)),
    "since": Field(nullable(TIME)),
}

QUEUE_KEY: Fields[KeyUsage] = {
    "key": Field(
        {
            **TEXT,
            "description": "`*` is the key of a queue without `per`, and of jobs without a value "
            "in the field that `per` names",
        }
    ),
    "slots_in_use": Field(
        {**NUMBER, "description": f"Number of `holders`. {_OWN_JOBS_ONLY}"},
        lambda use: len(use.holders),
    ),
    "holders": Field(
        {"type": "array", "items": object_of(properties(_HOLDER))},
        lambda use: [values(_HOLDER, each) for each in use.holders],
    ),
    "waiting": Field(
        {**COUNT, "description": f"Number of waiting jobs. {_OWN_JOBS_ONLY}"},
        lambda use: use.waiting.count,
    ),
    "more_waiting": Field(MORE, lambda use: use.waiting.more),
    "oldest_waiting_since": Field(nullable(TIME), lambda use: time_of(use.waiting.oldest)),
    "oldest_waiting_id": Field(
        {
            **nullable(ID),
            "description": "The first job in line. Null in a fair queue, and if it belongs to "
            "another organization",
        },
        lambda use: use.oldest_id,
    ),
    "last_started_at": Field(
        {**nullable(TIME), "description": "When the newest of `holders` got its slot"},
        lambda use: time_of(max((each.since for each in use.holders if each.since), default=None)),
    ),
    "next_start_at": Field(
        {**nullable(TIME), "description": "Earliest time at which the rate allows a start"}
    ),
}

QUEUE_LIMITS: Fields[QueueLimits] = {
    "name": Field(TEXT),
    "limits": Field(
        described_or_null(
            LIMITS, "Active limits; a change takes up to 10 seconds. Null if there are none"
        ),
        lambda limits: _limits(limits.current),
    ),
    "declared_limits": Field(
        described_or_null(LIMITS, "Limits declared in code"),
        lambda limits: _limits(limits.declared),
    ),
    "changed_at": Field(
        {
            **nullable(TIME),
            "description": "Time at which the limits declared in code were last overridden. Null "
            "if they aren't overridden",
        },
        lambda limits: limits.changed and time_of(limits.changed.changed_at),
    ),
    "changed_by": Field(
        AUTHOR, lambda limits: limits.changed and author(limits.changed.changed_by)
    ),
}

# The fields of a queue in addition to those of its limits.
QUEUE_USE: Fields[QueueUsage] = {
    "may_limit": Field(
        {"type": "boolean", "description": "Whether the caller may change its limits"},
        lambda _: access.current_caller.get().is_service,
    ),
    "paused": Field(
        {"anyOf": [ref("Pause"), {"type": "null"}]},
        lambda use: use.pause and pause(use.pause, use.held),
    ),
    "keys": Field(
        {
            **list_of("ConcurrencyKey"),
            "description": "Keys in use, by key. Viewers don't see keys that are payload values",
        },
        lambda use: [values(QUEUE_KEY, each) for each in use.keys],
    ),
    "keys_cursor": Field(
        {**nullable(TEXT), "description": "Cursor of this queue's next page of keys"},
        lambda use: use.cursor,
    ),
}
