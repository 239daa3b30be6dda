"""The *follow-ups* of a job: other jobs, which are saved by the transaction that ends it.

When a job is dispatched, its row gets descriptions of its follow-ups. So when the job ends, nothing
else has to be read. A follow-up is an ordinary job, except that it has no follow-ups itself. A job
that is retried after its end ends again, and each end saves new follow-ups.
"""

from collections.abc import Mapping
from typing import Any

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from job_runners import clock
from job_runners.settings import settings
from job_runners.store import blobs, conditional_write
from job_runners.store.conditional_write import JobEnd
from job_runners.store.job_request import (
    JobRequest,
    Lane,
    Status,
    derived_id,
    due_shard,
    sort_key,
)
from job_runners.store.transactions import RecordWrite

KINDS = ("on_end", "on_failure", "announcement")  # also the fields of a row that describe them
_REQUIRED_KEYS = {"job_type", "queue_name", "max_attempts"}
# An error's message is cut to this length, so that the payload of a follow-up fits into a row.
_MAX_MESSAGE_BYTES = 2000


def stored_form(
    job_type: str,
    queue_name: str,
    max_attempts: int,
    webhook: Mapping[str, str] | None = None,
    statuses: list[str] | None = None,
) -> dict[str, Any]:
    """Return the description of a follow-up that a row stores.

    `webhook` has the `url` to which the follow-up posts, and the `secret` that signs the request.
    If `statuses` isn't None, the follow-up is saved only if the job ends with one of them.
    """
    form: dict[str, Any] = {
        "job_type": job_type,
        "queue_name": queue_name,
        "max_attempts": max_attempts,
    }
    if webhook is not None:
        form["webhook"] = webhook
    if statuses is not None:
        form["statuses"] = statuses
    return form


def job_types_of(job: JobRequest) -> dict[str, str]:
    """Return the job types of a job's follow-ups, by kind."""
    return {kind: stored["job_type"] for kind, stored in _stored(job).items()}


def webhooks_of(job: JobRequest) -> dict[str, dict[str, str]]:
    """Return the webhooks of a job's follow-ups, by kind."""
    follow_ups = _stored(job).items()
    return {kind: dict(stored["webhook"]) for kind, stored in follow_ups if "webhook" in stored}


def saved_by(job: JobRequest) -> dict[str, str]:
    """Return the ids of the follow-ups that a job's last end saved, by kind."""
    if job.finished_at is None or job.finished_at != job.follow_ups_saved_at:
        return {}
    return {kind: _id_of(job, kind, job.ends or 0) for kind in _kinds_for(job, job.status)}


def writes(job: JobRequest, end: JobEnd) -> list[RecordWrite]:
    """Return the writes that save a job's follow-ups, for the transaction that ends it."""
    kinds = _kinds_for(job, end.status)
    payload = _payload(job, end)
    ends = (job.ends or 0) + 1
    rows = [
        _row(job, stored, _id_of(job, kind, ends), payload)
        for kind, stored in _stored(job).items()
        if kind in kinds
    ]
    return [RecordWrite(row, "put", condition=JobRequest.id.does_not_exist()) for row in rows]


def actions(job: JobRequest, end: JobEnd) -> list[Action]:
    """Return the actions that record in the job's row that its end saves follow-ups."""
    return [
        JobRequest.ends.set((job.ends or 0) + 1),
        JobRequest.follow_ups_saved_at.set(end.at),
    ]


def condition(job: JobRequest) -> Condition:
    """Return the condition that the job hasn't ended again since it was read.

    A follow-up's id depends on how often the job has ended. If that number were outdated, the new
    follow-up would have the id of an earlier one, and couldn't be saved.
    """
    return conditional_write.same(JobRequest.ends, job.ends)


def _stored(job: JobRequest) -> dict[str, Mapping[str, Any]]:
    """Return the descriptions of a row's follow-ups by kind.

    Descriptions that newer code wrote in another form are left out.
    """
    descriptions = {}
    for kind in KINDS:
        stored = getattr(job, kind)
        if isinstance(stored, Mapping) and stored.keys() >= _REQUIRED_KEYS:
            descriptions[kind] = stored
    return descriptions


def _kinds_for(job: JobRequest, status: Status) -> list[str]:
    """Return the kinds of follow-ups that are saved if the job ends with this status."""
    kinds = []
    for kind, stored in _stored(job).items():
        if kind == "on_failure" and status is not Status.FAILED:
            continue
        if "statuses" in stored and status not in stored["statuses"]:
            continue
        kinds.append(kind)
    return kinds


def _id_of(job: JobRequest, kind: str, ends: int) -> str:
    return derived_id("follow-up", job.created_key, str(ends), kind)


def _row(
    job: JobRequest, stored: Mapping[str, Any], job_id: str, payload: dict[str, Any]
) -> JobRequest:
    if "webhook" in stored:
        payload = payload | {"webhook": stored["webhook"]}
    now = clock.now()
    has_quota = settings().max_unfinished_jobs > 0
    return JobRequest(
        id=job_id,
        follow_up_of=job.id,
        job_type=stored["job_type"],
        queue_name=stored["queue_name"],
        max_attempts=stored["max_attempts"],
        organization_id=job.organization_id,
        unfinished_organization=job.organization_id if has_quota else None,
        payload=blobs.compressed(blobs.compact_json(payload)),
        request_id=job.request_id,
        traceparent=job.traceparent,
        status=Status.QUEUED,
        due_at=now + conditional_write.GRACE,
        due_shard=due_shard(job_id, Lane.QUEUED),
        created_at=now,
        created_key=sort_key(now, job_id),
        queued_at=now,
        updated_at=now,
    )


def _payload(job: JobRequest, end: JobEnd) -> dict[str, Any]:
    """Return the payload of the follow-ups. Its model is in `job_runners.work.job_ended`."""
    return {
        "job_id": job.id,
        "job_type": job.job_type,
        "status": str(end.status),
        "error": _without_traceback(end.error) if end.error else None,
        "attempts": job.attempt,
        "created_at": clock.iso(job.created_at),
        "started_at": None if job.started_at is None else clock.iso(job.started_at),
        "finished_at": clock.iso(end.at),
        "organization_id": job.organization_id,
        "group": end.group,
    }


def _without_traceback(error: Mapping[str, Any]) -> dict[str, str]:
    """Return only the kind and the message of an error."""
    message = str(error.get("message", "")).encode()[:_MAX_MESSAGE_BYTES]
    return {"kind": str(error.get("kind", "")), "message": message.decode(errors="ignore")}
