"""What every runner does with new work before it sends it: check it, and save it if it is a job."""

from typing import Any

import runners
from errors import NotFullyCapable, PayloadTooLarge
from runners.base import JobData
from runners.messages import TaskMessage
from runners.registry import registry
from store import verbs
from store.blobs import canonical
from store.job_request import JobRequest, new_id
from work import context

# Bytes of JSON. Lambda takes 1 MB, but a task that large wants a row, a retry and a record.
TASK_PAYLOAD_LIMIT = 100 * 1024


def accept_job(job_data: JobData) -> JobRequest:
    """The job, saved: queued and due. Before that, raises UnknownJobType, InvalidPayload, or
    NotFullyCapable for a job that may need sending again under a runner that can't."""
    job = registry().job(job_data.job_type)
    registry().job_payload(job_data.job_type, job_data.payload)
    if job.retry and runners.sender() is None:
        raise NotFullyCapable(job_data.job_type, "is tagged for retry")
    return verbs.save(
        job_type=job_data.job_type,
        queue_name=job_data.queue_name or job.queue_name,
        organization_id=job_data.organization_id,
        campaign_id=job_data.campaign_id,
        payload=job_data.payload,
        max_attempts=job.retry.max_attempts if job.retry else 1,
        request_id=context.request_id.get(),
    )


def accept_task(task_name: str, payload: Any) -> TaskMessage:
    """The task as a message. Raises UnknownTask, InvalidPayload, PayloadTooLarge."""
    registry().task_payload(task_name, payload)
    size = len(canonical(payload))
    if size > TASK_PAYLOAD_LIMIT:
        raise PayloadTooLarge(
            f"the payload of the task {task_name!r}",
            size,
            TASK_PAYLOAD_LIMIT,
            "Work that carries this much should be a job: a job's payload may be of any size",
        )
    return TaskMessage(
        id=new_id(), name=task_name, payload=payload, request_id=context.request_id.get()
    )
