"""Show callers why a job waits, and its place: the number of jobs ahead of it.

A queue may be divided by a field of its jobs, such as the organization. The value of the field is
the job's key. A job waits only for jobs with the same key, which are its line. A row is a job as
the table stores it.
"""

from collections.abc import Sequence
from typing import Any

from job_runners.api import access
from job_runners.api.json_schema import (
    TEXT,
    TIME,
    Field,
    Fields,
    Schema,
    build_view,
    nullable,
    object_of,
    time_of,
)
from job_runners.engine.control import positions
from job_runners.engine.control.positions import Place
from job_runners.store.job_request import JobRequest
from job_runners.store.waiting import MAX_COUNTED


def place_view(place: Place, row: JobRequest) -> dict[str, Any]:
    """Return the view of a waiting job's place."""
    reason = _visible_reason(place.waits_for, row)
    is_key_hidden = reason != place.waits_for
    if is_key_hidden:  # the count would let the caller infer which jobs share the key
        place = place._replace(ahead=None)
    return build_view(PLACE, place._replace(waits_for=reason))


def wait_view(row: JobRequest) -> dict[str, Any] | None:
    """Return the reason why a job waits, or None if it doesn't wait."""
    return _reason_view(_visible_reason(positions.wait_reason(row), row))


def _visible_reason(
    reason: positions.WaitReason | None, row: JobRequest
) -> positions.WaitReason | None:
    """Return the reason, without payload values if the caller may not see payloads."""
    if access.current_caller.get().sees_payloads:
        return reason
    return positions.without_payload_key(reason, row)


def _reason_view(reason: positions.WaitReason | None) -> dict[str, Any] | None:
    if reason is None:
        return None
    return reason._asdict() | {"since": time_of(reason.since), "until": time_of(reason.until)}


# Jobs are counted only up to a limit.
COUNT: Schema = {"type": "integer", "minimum": 0, "maximum": MAX_COUNTED}
MORE: Schema = {"type": "boolean", "description": f"True if there are more than {MAX_COUNTED:,}"}
_TEXTS: Schema = {"type": "array", "items": TEXT}
WAITS_FOR = nullable(
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


def _question_views(questions: Sequence[positions.SignalQuestion] | None) -> Any:
    if questions is None:
        return None
    return [question._asdict() for question in questions]


PLACE: Fields[Place] = {
    "waits_for": Field(WAITS_FOR, lambda place: _reason_view(place.waits_for)),
    "ahead": Field(
        nullable(COUNT),
        lambda place: place.ahead.count if place.ahead else None,
        "Number of jobs ahead of it. Null if the job doesn't wait. Also null for viewers, "
        "if the key of the job's line is a payload value",
    ),
    "more_ahead": Field(MORE, lambda place: place.ahead is not None and place.ahead.more),
    "of_organization": Field(
        {"type": "boolean"}, about="True if `ahead` counts only jobs of this job's organization"
    ),
    "questions": Field(
        {
            "type": ["array", "null"],
            "items": object_of({"name": TEXT, "text": nullable(TEXT), "choices": _TEXTS}),
        },
        lambda place: _question_views(place.questions),
        "For a job that waits for signals, each signal, with the text and choices of its "
        "question if a link was made to answer it. Null for other jobs, and for callers "
        "that may not send signals",
    ),
}
