"""Show callers why a job waits, and its position. Each constant such as PLACE maps a field's name
to its JSON schema and to the function that reads its value."""

from typing import Any

from job_runners.api import access
from job_runners.api.json_schema import (
    TEXT,
    TIME,
    Field,
    Fields,
    Schema,
    nullable,
    object_of,
    time_of,
    values,
)
from job_runners.engine.control import positions
from job_runners.engine.control.positions import Place
from job_runners.store.job_request import JobRequest
from job_runners.store.waiting import MAX_COUNTED


def place(found: Place, row: JobRequest) -> dict[str, Any]:
    """Return the view of a waiting job's position in line."""
    visible = _without_hidden_values(found.waits_for, row)
    if visible != found.waits_for:  # the count would let the caller infer which jobs share a key
        found = found._replace(ahead=None)
    return values(PLACE, found._replace(waits_for=visible))


def waits_for(row: JobRequest) -> dict[str, Any] | None:
    """Return the reason why a job waits, or None if it doesn't wait."""
    return _reason(_without_hidden_values(positions.waits_for(row), row))


def _without_hidden_values(
    found: positions.WaitsFor | None, row: JobRequest
) -> positions.WaitsFor | None:
    """Return the reason, without payload values if the caller may not see payloads."""
    sees_all = access.current_caller.get().sees_payloads
    return found if sees_all else positions.without_payload_key(found, row)


def _reason(found: positions.WaitsFor | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return found._asdict() | {"since": time_of(found.since), "until": time_of(found.until)}


def described_or_null(schema: Schema, description: str) -> Schema:
    """Return the schema of a value that may be null, with a description."""
    return {**schema, "type": [schema["type"], "null"], "description": description}


COUNT: Schema = {"type": "integer", "minimum": 0, "maximum": MAX_COUNTED}
MORE: Schema = {"type": "boolean", "description": f"True if there are more than {MAX_COUNTED:,}"}
_TEXTS: Schema = {"type": "array", "items": TEXT}
WAITS_FOR = described_or_null(
    object_of(
        {
            "kind": {"type": "string", "enum": list(positions.KINDS)},
            "name": TEXT,
            "key": nullable(TEXT),
            "since": nullable(TIME),
            "until": nullable(TIME),
            "names": {"type": ["array", "null"], "items": TEXT},
        }
    ),
    "The reason why a job waits, by `kind`. `job_type`, `queue`: the one with this `name` is "
    "paused. `line`: it waits for its turn in the queue `name`, under `key`. `job`: the job with "
    "the id `name` does the same work. `time`: its function sleeps until `until`; `name` is the "
    "name of the wait. `signal`: its function waits for any of the signals `names`. `group`: its "
    "function waits for the members of its group `name`. Viewers don't see keys that are payload "
    "values",
)

PLACE: Fields[Place] = {
    "waits_for": Field(WAITS_FOR, lambda found: _reason(found.waits_for)),
    "ahead": Field(
        {
            **nullable(COUNT),
            "description": "Number of jobs ahead of it. Null if the job doesn't wait. Also null "
            "for viewers, if the key of the job's line is a payload value",
        },
        lambda found: found.ahead and found.ahead.count,
    ),
    "more_ahead": Field(MORE, lambda found: found.ahead is not None and found.ahead.more),
    "of_organization": Field(
        {
            "type": "boolean",
            "description": "True if `ahead` counts only jobs of this job's organization",
        }
    ),
    "questions": Field(
        {
            "type": ["array", "null"],
            "items": object_of({"name": TEXT, "text": nullable(TEXT), "choices": _TEXTS}),
            "description": "For a job that waits for signals, each signal, with the text and "
            "choices of its question if a link was made to answer it. Null for other jobs, and for "
            "callers that may not send signals",
        },
        lambda found: found.questions and [each._asdict() for each in found.questions],
    ),
}
