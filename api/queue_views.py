"""Queues, their limits, who uses them and what is paused, as callers see them. Each table says its
fields once, for the values and for their schema."""

from dataclasses import asdict
from typing import Any, NamedTuple

from api import access
from api.json_schema import (
    ID,
    KIND,
    NUMBER,
    TEXT,
    TIME,
    Field,
    Fields,
    Schema,
    list_of,
    nullable,
    object_of,
    properties,
    ref,
    values,
)
from api.shown import AUTHOR, author, time_of
from runners import places
from runners.changing_limits import QueueLimits
from runners.places import Place
from runners.queues import Holder, KeyUse, QueueUse
from store.job_request import JobRequest
from store.limits import Limits
from store.pauses import Pause
from store.waiting import COUNTED, Waiting


class PauseUse(NamedTuple):
    """What is paused, and who waits for its end; None for those who may not know."""

    pause: Pause
    waiting: Waiting | None


def pause(paused: Pause, waiting: Waiting | None) -> dict[str, Any]:
    """Return a job type or a queue that is paused."""
    return values(PAUSE, PauseUse(paused, waiting))


def queue(use: QueueUse) -> dict[str, Any]:
    """Return a queue with its keys in use."""
    return values(QUEUE_LIMITS, use.limits) | values(QUEUE_USE, use)


def queue_limits(limits: QueueLimits) -> dict[str, Any]:
    """Return what limits a queue."""
    return values(QUEUE_LIMITS, limits)


def place(found: Place, row: JobRequest) -> dict[str, Any]:
    """Return where a job is among those that wait."""
    seen = _as_seen(found.waits_for, row)
    if seen != found.waits_for:  # counts would tell which jobs have the same value as their key
        found = found._replace(ahead=None)
    return values(PLACE, found._replace(waits_for=seen))


def waits_for(row: JobRequest) -> dict[str, Any] | None:
    """Return what a job waits for."""
    return _what(_as_seen(places.waits_for(row), row))


def _as_seen(found: places.WaitsFor | None, row: JobRequest) -> places.WaitsFor | None:
    """Return what a row waits for, as far as the caller may know."""
    sees_all = access.asking.get().sees_payloads
    return found if sees_all else places.without_payload(found, row)


def _what(found: places.WaitsFor | None) -> dict[str, Any] | None:
    return found._asdict() if found else None


def _limits(limits: Limits | None) -> dict[str, Any] | None:
    return {**limits._asdict(), "rate": limits.rate and asdict(limits.rate)} if limits else None


def _nullable(schema: Schema, description: str) -> Schema:
    return {**schema, "type": [schema["type"], "null"], "description": description}


_RATE = object_of(
    {"count": NUMBER, "seconds": {"type": "number", "exclusiveMinimum": 0}, "burst": NUMBER}
)
LIMITS = object_of(
    {
        "slots": nullable(NUMBER),
        "rate": _nullable(_RATE, "So many starts in so many seconds, so many of them at once"),
        "per": {**nullable(TEXT), "description": "Each value of it has slots and rate of its own"},
        "order": {"type": "string", "enum": ["fifo", "fair"]},
        "max_waiting": {**NUMBER, "description": "Of one key: beyond it no job is accepted"},
    }
)
WAITS_FOR = _nullable(
    object_of(
        {
            "kind": {"type": "string", "enum": [*KIND["enum"], places.LINE, places.JOB]},
            "name": TEXT,
            "key": nullable(TEXT),
        }
    ),
    "What a waiting job waits for: that this job type or queue is resumed, its turn in the line of "
    "this queue and key, or the end of the job of this id, which is the same work. Viewers see no "
    "key that is of its payload",
)
_COUNT: Schema = {"type": "integer", "minimum": 0, "maximum": COUNTED}
_MORE: Schema = {"type": "boolean", "description": f"There are more than the {COUNTED:,} counted"}
_IS_OURS = "for a caller of one organisation, only its own are counted"

PAUSE: Fields[PauseUse] = {
    "kind": Field(KIND, lambda use: str(use.pause.kind)),
    "name": Field(TEXT, lambda use: use.pause.name),
    "paused_at": Field(TIME, lambda use: time_of(use.pause.changed_at)),
    "paused_by": Field(AUTHOR, lambda use: author(use.pause.changed_by)),
    "waiting": Field(
        {**nullable(_COUNT), "description": "Jobs that it holds back; only services see it"},
        lambda use: use.waiting and use.waiting.count,
    ),
    "more_waiting": Field(_MORE, lambda use: use.waiting is not None and use.waiting.more),
    "oldest_waiting_since": Field(
        nullable(TIME), lambda use: use.waiting and time_of(use.waiting.oldest)
    ),
}

_HOLDER: Fields[Holder] = {
    "job_id": Field(ID, lambda holder: holder.job_id),
    "organization_id": Field(nullable(TEXT), lambda holder: holder.organization_id),
    "since": Field(nullable(TIME), lambda holder: time_of(holder.since)),
}

QUEUE_KEY: Fields[KeyUse] = {
    "key": Field({**TEXT, "description": "`*`: the whole queue"}, lambda use: use.key),
    "slots_in_use": Field(
        {**NUMBER, "description": f"By `holders`; {_IS_OURS}"}, lambda use: len(use.holders)
    ),
    "holders": Field(
        {"type": "array", "items": object_of(properties(_HOLDER))},
        lambda use: [values(_HOLDER, each) for each in use.holders],
    ),
    "waiting": Field(
        {**_COUNT, "description": f"Jobs in line; {_IS_OURS}"}, lambda use: use.waiting.count
    ),
    "more_waiting": Field(_MORE, lambda use: use.waiting.more),
    "oldest_waiting_since": Field(nullable(TIME), lambda use: time_of(use.waiting.oldest)),
    "next_start_at": Field(
        {**nullable(TIME), "description": "Until then its rate allows no start"},
        lambda use: time_of(use.next_start_at),
    ),
}

QUEUE_LIMITS: Fields[QueueLimits] = {
    "name": Field(TEXT, lambda limits: limits.name),
    "limits": Field(
        _nullable(LIMITS, "Those in force within 10 seconds; null: none"),
        lambda limits: _limits(limits.in_force),
    ),
    "declared_limits": Field(
        _nullable(LIMITS, "Those of the code"), lambda limits: _limits(limits.declared)
    ),
    "changed_at": Field(
        {**nullable(TIME), "description": "When the code's limits were last overruled"},
        lambda limits: limits.changed and time_of(limits.changed.changed_at),
    ),
    "changed_by": Field(
        AUTHOR, lambda limits: limits.changed and author(limits.changed.changed_by)
    ),
}

# The fields of a queue beside those of its limits.
QUEUE_USE: Fields[QueueUse] = {
    "may_limit": Field(
        {"type": "boolean", "description": "Whether the caller may change its limits"},
        lambda _: access.asking.get().is_service,
    ),
    "paused": Field(
        {"anyOf": [ref("Pause"), {"type": "null"}]},
        lambda use: use.paused and pause(use.paused, use.held_back),
    ),
    "keys": Field(
        {
            **list_of("QueueKey"),
            "description": "Those in use, by key; to viewers none that are of payloads",
        },
        lambda use: [values(QUEUE_KEY, each) for each in use.keys],
    ),
    "keys_cursor": Field(
        {**nullable(TEXT), "description": "The cursor for the keys that follow, of this queue"},
        lambda use: use.cursor,
    ),
}

PLACE: Fields[Place] = {
    "waits_for": Field(WAITS_FOR, lambda found: _what(found.waits_for)),
    "ahead": Field(
        {
            **nullable(_COUNT),
            "description": "How many jobs start before it; null if it "
            "does not wait, and for a viewer whose job waits under a key of its payload",
        },
        lambda found: found.ahead and found.ahead.count,
    ),
    "more_ahead": Field(_MORE, lambda found: found.ahead is not None and found.ahead.more),
    "of_organization": Field(
        {
            "type": "boolean",
            "description": "Only its organization's jobs are counted",
        },
        lambda found: found.of_organization,
    ),
}
