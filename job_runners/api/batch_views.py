"""Show batches and their members to callers."""

from typing import Any

from job_runners.api import views
from job_runners.api.json_schema import (
    ID,
    NUMBER,
    STATUS,
    TEXT,
    TIME,
    Field,
    Fields,
    Schema,
    nullable,
    ref,
    time_of,
    values,
)
from job_runners.api.shown import if_payloads_are_seen
from job_runners.engine.groups import progress
from job_runners.engine.groups.progress import GroupProgress
from job_runners.store import blobs
from job_runners.store.group_members import GroupMember
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.member_outcomes import OUTCOMES


def batch(row: JobRequest) -> dict[str, Any]:
    """Return the view of a batch."""
    return values(BATCH, row) | values(COUNTS, progress.of_batch(row))


def group(name: str, seen: GroupProgress) -> dict[str, Any]:
    """Return the view of a group of a job."""
    return {"name": name, **values(COUNTS, seen)}


def member(found: GroupMember) -> dict[str, Any]:
    """Return the view of a member of a batch."""
    return values(MEMBER, found)


def _then_id(row: JobRequest) -> str | None:
    if row.status is not Status.SUCCEEDED:
        return None
    return (blobs.get(row.result, row.result_key) or {}).get("then")


def _error(found: GroupMember) -> dict[str, Any] | None:
    error = found.error or (found.row and found.row.error)
    return views.without_traceback(error) if error else None


OUTCOME: Schema = {"type": "string", "enum": list(OUTCOMES)}
_COUNT: Schema = {**NUMBER, "minimum": 0}

COUNTS: Fields[GroupProgress] = {
    "total": Field(_COUNT, lambda seen: seen.counts.total),
    "open": Field(
        {**_COUNT, "description": "Members that have not ended"}, lambda seen: seen.counts.open
    ),
    "succeeded": Field(_COUNT, lambda seen: seen.counts.succeeded),
    "failed": Field(_COUNT, lambda seen: seen.counts.failed),
    "canceled": Field(_COUNT, lambda seen: seen.counts.canceled),
    "existing": Field(
        {**_COUNT, "description": "Unique members for which another job does the same work"},
        lambda seen: seen.counts.existing,
    ),
    "progress": Field(
        {
            "type": "number",
            "minimum": 0,
            "maximum": 100,
            "description": "The percentage of members that have ended, even if some were retried "
            "since. It never goes back",
        }
    ),
    "as_of": Field(
        {
            **nullable(TIME),
            "description": "When the members were counted. Null if that is now, as for a batch of "
            "up to 1,000 members",
        },
        lambda seen: time_of(seen.at),
    ),
}


# The fields of a batch in addition to those of its counts.
BATCH: Fields[JobRequest] = {
    "id": Field(ID),
    "state": Field(
        {
            **STATUS,
            "description": "The status of the batch's job. It succeeds even if members fail",
        },
        lambda row: str(row.status),
    ),
    "cancel_requested": views.SUMMARY["cancel_requested"],
    "then_id": Field(
        {**nullable(ID), "description": "The job that was dispatched after all members had ended"},
        _then_id,
    ),
    **{
        name: views.SUMMARY[name]
        for name in ("error", "organization_id", "created_at", "created_by", "finished_at")
    },
}

MEMBER: Fields[GroupMember] = {
    "key": Field(
        {**nullable(TEXT), "description": "Its key in the batch. Null for viewers"},
        lambda one: if_payloads_are_seen(one.key),
    ),
    "id": Field({**ID, "description": "Its job, or the existing job that does the same work"}),
    "status": Field(OUTCOME, lambda one: one.outcome),
    "error": Field(views.ERROR, _error),
    "job": Field(
        {
            "anyOf": [ref("JobSummary"), {"type": "null"}],
            "description": "Null if the job was deleted, or was never saved",
        },
        lambda one: one.row and views.summary(one.row),
    ),
}
