"""Check the request for a new job. Nothing is saved, and AWS is called only to fill caches."""

from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from job_runners import clock
from job_runners.engine.lines.limits import LimitedLine, line_of
from job_runners.engine.registry.registry import registry
from job_runners.engine.wire.sending import Send, can_send, next_due_at, require_sender
from job_runners.settings import settings
from job_runners.store import transitions
from job_runners.store.blobs import canonical_json
from job_runners.store.job_request import id_for_idempotency_key
from job_runners.work import Job, Unique, context

if TYPE_CHECKING:
    from pydantic import BaseModel

    from job_runners.engine.job_data import JobData


class CheckedJob(NamedTuple):
    """A job that is checked but not saved yet."""

    new_job: transitions.NewJob
    payload: "BaseModel"
    line: LimitedLine | None  # None if its queue has no limits
    rule: Unique | None  # the unique rule of its type, if there is one
    idempotency_key: str | None
    send: Send


def check_new_job(
    job_data: "JobData",
    send: Send,
    *,
    job_id: str | None,
    parent_id: str | None,
    idempotency_key: str | None,
    follow_up_of: str | None = None,
    dispatched_by: str | None = None,
) -> CheckedJob:
    """Check a job that `accept_job` or `bulk` is about to save.

    - `idempotency_key` may be the key of a whole bulk request. If there is one, the row stores a
      hash of `job_data`, so that another request with the same key is refused.
    - `follow_up_of` is the id of the job that the new one follows up. A follow-up has no follow-ups
      of its own.
    - `dispatched_by` is the type of the job that dispatches the new one. Only some job types may
      dispatch an internal job.

    Raises UnknownJobType, InvalidPayload, InvalidFollowUp, RunnerCannotResend.
    """
    job = registry().job(job_data.job_type)
    run_at = job_data.starts_at()
    payload = _checked_payload(
        job, job_data, send, starts_later=run_at > clock.now(), dispatched_by=dispatched_by
    )
    line = _checked_line(job, job_data, payload, send)
    organization_id = job_data.organization_id
    if job_data.idempotency_key is not None:
        job_id = id_for_idempotency_key(organization_id, job_data.idempotency_key)
    unique_key = None
    if job.unique is not None:
        unique_key = job.unique.key_of(job_data.job_type, organization_id, payload)
    follow_up_fields = _checked_follow_ups(job, job_data, send) if follow_up_of is None else {}
    new_job = transitions.NewJob(
        job_id=job_id,
        job_type=job_data.job_type,
        queue_name=job_data.queue_name or job.queue_name,
        concurrency_key=line.key if line else None,
        organization_id=organization_id,
        payload=job_data.payload,
        max_attempts=job.attempts(job_data.max_attempts),
        attempt_limit=job_data.max_attempts,
        run_at=run_at,
        due_at=next_due_at(run_at, send) if run_at > clock.now() else None,
        unique_key=unique_key,
        request_id=context.request_id.get(),
        request_hash=None if idempotency_key is None else _request_hash(job_data),
        parent_id=parent_id,
        created_by=context.recorded_author(),
        rerun_of=getattr(job_data, "rerun_of", None),
        counted=settings().max_unfinished_jobs > 0,
        follow_up_of=follow_up_of,
        **follow_up_fields,
    )
    return CheckedJob(new_job, payload, line, job.unique, idempotency_key, send)


def check_type_and_payload(job_data: "JobData", send: Send) -> None:
    """Check a job's type and payload, but neither limits nor existing jobs.

    Raises UnknownJobType, InvalidPayload, RunnerCannotResend, FunctionNotLoaded.
    """
    _checked_payload(registry().job(job_data.job_type), job_data, send, starts_later=False)


def new_job_data(
    job_type: str,
    payload: Any,
    organization_id: str,
    follow_ups: Mapping[str, Any] | None = None,
) -> "JobData":
    """Return the data of a job that a schedule or another job dispatches.

    `follow_ups` may contain the job's `on_end` and `on_failure`.
    """
    # Imported here because it imports pydantic, which most processes don't need.
    from job_runners.engine.job_data import JobData

    follow_ups = follow_ups or {}
    return JobData(
        job_type=job_type,
        payload=payload,
        organization_id=organization_id,
        on_end=follow_ups.get("on_end"),
        on_failure=follow_ups.get("on_failure"),
    )


def _checked_payload(
    job: Job,
    job_data: "JobData",
    send: Send,
    *,
    starts_later: bool,
    dispatched_by: str | None = None,
) -> "BaseModel":
    """Return the payload as an instance of its model.

    Raises the errors of `check_type_and_payload`.
    """
    payload = registry().check_new_job(job_data.job_type, job_data.payload, dispatched_by)
    if job.retry:
        require_sender(send, job_data.job_type, "has a retry policy")
    elif starts_later:
        require_sender(send, job_data.job_type, "is scheduled to start later")
    if job.unique is not None and job.unique.then is not None:
        require_sender(send, job_data.job_type, "may have to wait for another job to end")
    return payload


def _checked_line(
    job: Job, job_data: "JobData", payload: "BaseModel", send: Send
) -> LimitedLine | None:
    """Return the job's line, or None if its queue has no limits or they can't be read.

    Raises RunnerCannotResend if the queue has limits and the runner can't send the job later.
    """
    queue_name = job_data.queue_name or job.queue_name
    line = line_of(queue_name, job_data.organization_id, payload)
    if line is not None:
        require_sender(send, job_data.job_type, "is in a queue with limits")
    return line


def _checked_follow_ups(job: Job, job_data: "JobData", send: Send) -> dict[str, Any]:
    """Check the job's follow-ups, and return the fields of the row that store them.

    If the request has follow-ups, they replace the follow-ups of the job type. The announcement is
    a built-in follow-up, which reports the job's end to the stack's outputs and to the
    organization's webhooks.
    """
    on_end = job_data.on_end or job.on_end
    on_failure = job_data.on_failure or job.on_failure
    announces = can_send(send) and settings().may_announce
    if on_end is None and on_failure is None and not announces:
        return {}
    # Imported here because most jobs have no follow-ups.
    from job_runners.engine.dispatch import follow_ups

    if on_end is not None or on_failure is not None:
        require_sender(send, job_data.job_type, "has follow-ups")
    announcement = None
    if announces:
        announcement = follow_ups.announcement(job_data.organization_id, job_data.job_type)
    return {
        "on_end": follow_ups.to_store("on_end", on_end),
        "on_failure": follow_ups.to_store("on_failure", on_failure),
        "announcement": announcement,
    }


def _request_hash(job_data: "JobData") -> str:
    """Return a hash that identifies a request, whatever the order of the keys in its objects.

    Fields with their default value are left out. So a request that gives a default value has the
    same hash as a request without the field. Also, a later version of Job Runners with more fields
    computes the same hash.
    """
    fields = job_data.model_dump(mode="json", exclude={"idempotency_key"}, exclude_defaults=True)
    return sha256(canonical_json(fields).encode()).hexdigest()
