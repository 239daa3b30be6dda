"""What every runner does with new work before it sends it: check it, and save it if it is a job."""

from hashlib import sha256
from typing import Any

import clock
from errors import CampaignMissing, IdempotencyConflict, PayloadTooLarge, RunnerCannotResend
from runners import telemetry
from runners.base import JobData, Send
from runners.messages import TaskMessage
from runners.registry import registry
from runners.retrying import next_due_at, send_or_leave_due
from store import verbs
from store.blobs import canonical_json, compact_json
from store.job_request import JobRequest, derived_id, new_id
from work import context

# Bytes of JSON. Lambda takes 1 MB, but a task that large wants a row, a retry and a record.
TASK_PAYLOAD_LIMIT = 100 * 1024


def accept_job(
    job_data: JobData,
    *,
    send: Send | None,
    job_id: str | None = None,
    parent_id: str | None = None,
) -> JobRequest:
    """The job, saved: due, and queued or scheduled; `send` is what it will be sent with. What was
    asked for before under the same idempotency key, or the same `job_id`, is the same job, as it is
    now. `parent_id` is the job that dispatches it, if one does.

    Before anything is saved, raises UnknownJobType, InvalidPayload, CampaignMissing, or
    RunnerCannotResend for a job that may need sending again under a runner that can't;
    IdempotencyConflict for a key that was used for another request.
    """
    job = registry().job(job_data.job_type)
    registry().new_job_payload(job_data.job_type, job_data.payload)
    if job.needs_campaign and job_data.campaign_id is None:
        raise CampaignMissing(job_data.job_type)
    run_at = job_data.starts_at()
    later = run_at > clock.now()
    if send is None and (job.retry or later):
        need = "is tagged for retry" if job.retry else "is to start later"
        raise RunnerCannotResend(job_data.job_type, need)
    key, request_hash = job_data.idempotency_key, None
    if key is not None:
        job_id = derived_id("idempotency", job_data.organization_id, key)
        request_hash = _hash(job_data)
    row = verbs.save(
        job_id=job_id,
        job_type=job_data.job_type,
        queue_name=job_data.queue_name or job.queue_name,
        organization_id=job_data.organization_id,
        campaign_id=job_data.campaign_id,
        payload=job_data.payload,
        max_attempts=job.retry.max_attempts if job.retry else 1,
        run_at=run_at if later else None,
        due_at=next_due_at(run_at, send) if later else None,
        request_id=context.request_id.get(),
        request_hash=request_hash,
        parent_id=parent_id,
        created_by=context.recorded_author(),
    )
    if key is not None and row.request_hash != request_hash:
        raise IdempotencyConflict(key, row.id)
    telemetry.accepted(row)
    return row


def send_if_unclaimed(row: JobRequest, send: Send | None) -> None:
    """Send a job that was accepted. If it can't be sent it is due, and the timer sends it."""
    if row.legs == 0 and not row.status.finished:  # else it was accepted, and begun, before
        send_or_leave_due(row, send, max(0, (row.run_at or 0) - clock.now()) / clock.SECOND)


def accept_task(task_name: str, payload: Any) -> TaskMessage:
    """The task as a message. Raises UnknownTask, InvalidPayload, PayloadTooLarge."""
    registry().new_task_payload(task_name, payload)
    size = len(compact_json(payload))
    if size > TASK_PAYLOAD_LIMIT:
        raise PayloadTooLarge(
            f"the payload of the task {task_name!r}",
            size,
            TASK_PAYLOAD_LIMIT,
            "Work that carries this much should be a job: a job's payload may be far larger",
        )
    return TaskMessage(
        id=new_id(), name=task_name, payload=payload, request_id=context.request_id.get()
    )


def _hash(job_data: JobData) -> str:
    """Tells one request from another; the order of keys in its objects makes no difference."""
    asked = job_data.model_dump(mode="json", exclude={"idempotency_key"}, exclude_unset=True)
    return sha256(canonical_json(asked).encode()).hexdigest()
