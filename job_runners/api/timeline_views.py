"""Show a job's timeline to callers. Viewers see kinds and times, and no names."""

from typing import Any

from job_runners.api import responses
from job_runners.api.json_schema import (
    ID,
    NUMBER,
    TEXT,
    TIME,
    Field,
    Fields,
    list_of,
    nullable,
    values,
)
from job_runners.api.shown import AUTHOR, author, if_payloads_are_seen
from job_runners.engine.control import timeline
from job_runners.engine.control.timeline import Record, Timeline
from job_runners.store import past
from job_runners.store.acts import Act
from job_runners.store.job_request import Status

_OUTCOMES = dict.fromkeys(
    (
        *past.OUTCOMES,
        *map(str, Status),
        timeline.DONE,
        timeline.ANSWERED,
        timeline.TIMED_OUT,
        timeline.COPIED,
    )
)

RECORD: Fields[Record] = {
    "kind": Field({"type": "string", "enum": list(timeline.KINDS)}),
    "name": Field(
        {
            **nullable(TEXT),
            "description": "The name of the step, signal, wait or group, or the key of the child. "
            "For a failed invocation, the step that raised the error. Null for viewers",
        },
        lambda each: if_payloads_are_seen(each.name),
    ),
    "claim": Field(
        {
            **nullable(NUMBER),
            "description": "The number of the invocation, or of the one in which it began. "
            "It is 0 for what a rerun copied",
        }
    ),
    "attempt": Field(nullable(NUMBER)),
    "run": Field(
        {**nullable(NUMBER), "description": "1, plus the manual retries before the invocation"}
    ),
    "ready_at": Field(
        {**nullable(TIME), "description": "When a worker could have begun the invocation"}
    ),
    "began_at": Field(TIME),
    "until": Field({**nullable(TIME), "description": "When a wait ends at the latest"}),
    "ended_at": Field(nullable(TIME)),
    "outcome": Field({"enum": [*_OUTCOMES, None]}),
    "error": Field({**nullable(TEXT), "description": "The kind of the error of a failed attempt"}),
    "by": Field(
        {**AUTHOR, "description": "The caller that sent the signal"}, lambda each: author(each.by)
    ),
    "id": Field({**nullable(ID), "description": "The child's id"}),
}

ACT: Fields[Act] = {
    "at": Field(TIME),
    "what": Field({"type": "string", "enum": ["dispatched", "replaced", "canceled", "retried"]}),
    "by": Field(AUTHOR, lambda act: author(act.by)),
    "rerun_of": Field(
        {**nullable(ID), "description": "The job that this one continues from a step"}
    ),
}

TIMELINE = {
    "records": list_of("TimelineRecord"),
    "acts": list_of("Act"),
    "gaps": {
        "type": "array",
        "items": NUMBER,
        "description": "Claims whose invocations aren't recorded, because AWS refused a write",
    },
    "complete": {
        "type": "boolean",
        "description": "False if the job has more records than the answer",
    },
}


def shown(found: Timeline) -> dict[str, Any]:
    """Return the view of a timeline. Its last records are left out if it is too large to send."""
    records = [values(RECORD, each) for each in found.records]
    is_complete = found.is_complete
    while records and responses.size(records) > responses.ROOM:
        records, is_complete = records[: len(records) // 2], False
    return {
        "records": records,
        "acts": [values(ACT, each) for each in found.acts],
        "gaps": found.gaps,
        "complete": is_complete,
    }
