"""Show callers how many jobs wait for a worker, by queue and job type."""

from typing import Any

from job_runners.api.json_schema import (
    ID,
    NUMBER,
    TEXT,
    TIME,
    Field,
    Fields,
    Schema,
    build_view,
    nullable,
    time_of,
)
from job_runners.engine.tick.backlog import MAX_SAMPLED, Backlog, Sample


def backlog_view(sample: Sample) -> dict[str, Any]:
    """Return the numbers of waiting and running jobs, by queue and job type."""
    counts = [build_view(BACKLOG, backlog) for backlog in sample.counts]
    return {"jobs": counts, "more": sample.is_full}


BACKLOG: Fields[Backlog] = {
    "queue_name": Field(TEXT),
    "job_type": Field(TEXT),
    "waiting": Field(NUMBER, about="Jobs that could run, and that no worker has started"),
    "running": Field(NUMBER),
    "oldest_waiting_since": Field(nullable(TIME), lambda backlog: time_of(backlog.oldest_since)),
    "oldest_waiting_id": Field(nullable(ID), lambda backlog: backlog.oldest_id),
    "last_started_at": Field(
        nullable(TIME),
        about=(
            "The latest start among the jobs that were read: the counted ones and, if none of "
            "the type runs, some that were created before and after the oldest. A type without "
            "waiting jobs may have started some since"
        ),
    ),
}
MORE: Schema = {
    "type": "boolean",
    "description": f"True if the stack has more than the {MAX_SAMPLED:,} jobs that were read: "
    "those that the timer checks first, some newer ones and some that run. Each number is then a "
    "minimum",
}
