"""Show batches and groups to callers, with their members.

A group is a set of jobs that another job waits for: its members. A batch is a built-in job that
waits for one group. A row is a job as the table stores it.
"""

from typing import Any

from job_runners.api import views
from job_runners.api.access import visible_payload_value
from job_runners.api.json_schema import (
    ID,
    NUMBER,
    STATUS,
    TEXT,
    TIME,
    Field,
    Fields,
    Schema,
    build_view,
    nullable,
    ref,
    time_of,
)
from job_runners.engine.groups import progress
from job_runners.engine.groups.progress import GroupProgress
from job_runners.store import blobs
from job_runners.store.group_members import GroupMember
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.member_outcomes import OUTCOMES


def batch_view(row: JobRequest) -> dict[str, Any]:
    """Return the view of a batch."""
    return build_view(BATCH, row) | build_view(COUNTS, progress.of_batch(row))


def group_view(name: str, group: GroupProgress) -> dict[str, Any]:
    """Return the view of a group, with the counts of its members."""
    return {"name": name, **build_view(COUNTS, group)}


def member_view(member: GroupMember) -> dict[str, Any]:
    """Return the view of a member of a batch."""
    return build_view(MEMBER, member)


def _then_id(row: JobRequest) -> str | None:
    """Return the id of the job that a batch dispatched after its last member had ended."""
    if row.status is not Status.SUCCEEDED:
        return None
    result = blobs.get(row.result, row.result_key) or {}
    return result.get("then")


def _member_error(member: GroupMember) -> dict[str, Any] | None:
    """Return the error that is recorded for a member, or otherwise the error of its job."""
    error = member.error
    if not error and member.row is not None:
        error = member.row.error
    return views.without_traceback(error) if error else None


OUTCOME: Schema = {"type": "string", "enum": list(OUTCOMES)}
_COUNT: Schema = {**NUMBER, "minimum": 0}

COUNTS: Fields[GroupProgress] = {
    "total": Field(_COUNT, lambda group: group.counts.total),
    "open": Field(_COUNT, lambda group: group.counts.open, "Members that have not ended"),
    "succeeded": Field(_COUNT, lambda group: group.counts.succeeded),
    "failed": Field(_COUNT, lambda group: group.counts.failed),
    "canceled": Field(_COUNT, lambda group: group.counts.canceled),
    "existing": Field(
        _COUNT,
        lambda group: group.counts.existing,
        "Unique members for which another job does the same work",
    ),
    "progress": Field(
        {"type": "number", "minimum": 0, "maximum": 100},
        about=(
            "The percentage of members that have ended, even if some were retried since. It "
            "never goes back"
        ),
    ),
    "as_of": Field(
        nullable(TIME),
        lambda group: time_of(group.at),
        "When the members were counted. Null if that is now, as for a batch of up to 1,000 members",
    ),
}


# The fields of a batch besides its counts.
BATCH: Fields[JobRequest] = {
    "id": Field(ID),
    "state": Field(
        STATUS,
        lambda row: str(row.status),
        "The status of the batch's job. It succeeds even if members fail",
    ),
    "cancel_requested": views.SUMMARY["cancel_requested"],
    "then_id": Field(
        nullable(ID), _then_id, "The job that was dispatched after all members had ended"
    ),
    **{
        name: views.SUMMARY[name]
        for name in ("error", "organization_id", "created_at", "created_by", "finished_at")
    },
}

MEMBER: Fields[GroupMember] = {
    "key": Field(
        nullable(TEXT),
        lambda member: visible_payload_value(member.key),
        "Its key in the batch. Null for viewers",
    ),
    "id": Field(ID, about="Its job, or the existing job that does the same work"),
    "status": Field(OUTCOME, lambda member: member.outcome),
    "error": Field(views.ERROR, _member_error),
    "job": Field(
        {"anyOf": [ref("JobSummary"), {"type": "null"}]},
        lambda member: views.summary_view(member.row) if member.row else None,
        "Null if the job was deleted, or was never saved",
    ),
}
