"""Show a job's timeline to callers.

A timeline has records and acts. A record is one of the job's invocations, or a part of it, such as
a step or a wait. An act is something that a caller did with the job, such as a retry. A claim is
the number of an invocation.
"""

from typing import Any

from job_runners.api import responses
from job_runners.api.access import visible_author, visible_payload_value
from job_runners.api.json_schema import (
    AUTHOR,
    ID,
    NUMBER,
    TEXT,
    TIME,
    Field,
    Fields,
    build_view,
    list_of,
    nullable,
)
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
        nullable(TEXT),
        lambda record: visible_payload_value(record.name),
        "The name of the step, signal, wait or group, or the key of the child. For a "
        "failed invocation, the step that raised the error. Null for viewers",
    ),
    "claim": Field(
        nullable(NUMBER),
        about=(
            "The number of the invocation, or of the one in which it began. It is 0 for what a "
            "rerun copied"
        ),
    ),
    "attempt": Field(nullable(NUMBER)),
    "run": Field(nullable(NUMBER), about="1, plus the manual retries before the invocation"),
    "ready_at": Field(nullable(TIME), about="When a worker could have begun the invocation"),
    "began_at": Field(TIME),
    "until": Field(nullable(TIME), about="When a wait ends at the latest"),
    "ended_at": Field(nullable(TIME)),
    "outcome": Field({"enum": [*_OUTCOMES, None]}),
    "error": Field(nullable(TEXT), about="The kind of the error of a failed attempt"),
    "by": Field(
        AUTHOR, lambda record: visible_author(record.by), "The caller that sent the signal"
    ),
    "id": Field(nullable(ID), about="The child's id"),
}

ACT: Fields[Act] = {
    "at": Field(TIME),
    "what": Field({"type": "string", "enum": ["dispatched", "replaced", "canceled", "retried"]}),
    "by": Field(AUTHOR, lambda act: visible_author(act.by)),
    "rerun_of": Field(nullable(ID), about="The job that this one continues from a step"),
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


def timeline_view(job_timeline: Timeline) -> dict[str, Any]:
    """Return the view of a timeline. If it is too large for a response, leave out its last half,
    again and again until it fits."""
    records = [build_view(RECORD, record) for record in job_timeline.records]
    is_complete = job_timeline.is_complete
    while records and responses.size(records) > responses.MAX_CONTENT_BYTES:
        records = records[: len(records) // 2]
        is_complete = False
    return {
        "records": records,
        "acts": [build_view(ACT, act) for act in job_timeline.acts],
        "gaps": job_timeline.gaps,
        "complete": is_complete,
    }
