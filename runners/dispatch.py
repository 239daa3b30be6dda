"""How new work is dispatched, whatever the runner: checked, saved if it is a job, then sent.

Children and tasks that a running job dispatches come the same way: runners/children.py.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

import clock
import runners
from errors import IdempotencyConflict, PayloadTooLarge, QueueFull, QuotaReached
from runners import quota, telemetry, tracing
from runners.full_queues import refuse_if_full
from runners.limits import line_of
from runners.messages import TaskMessage
from runners.registry import registry
from runners.sending import Send, next_due_at, require_sender, send_if_unclaimed
from store import verbs
from store.blobs import canonical_json, compact_json
from store.failed_tasks import new_task_id
from store.job_request import JobRequest, Outcome, id_under_key
from store.queries import read
from store.transactions import RecordWrite
from work import Job, Unique, context

if TYPE_CHECKING:
    from pydantic import BaseModel

    from runners.base import JobData

# Bytes of JSON. Lambda takes 1 MB, but a task that large wants a row, a retry and a record.
TASK_PAYLOAD_LIMIT = 100 * 1024


def dispatch_job(job_data: "JobData", send: Send) -> JobRequest:
    """Accept a job and send it; return the row as it was saved. If it can't be sent now it is due,
    and the timer sends it.

    Every runner calls this with its own `send`. Whether the job can be sent again is asked of the
    runner that JOB_RUNNER names, which may have borrowed the functions of another.
    """
    with tracing.dispatching(job_data.job_type):
        row = accept_job(job_data, send=runners.sender())
        send_if_unclaimed(row, send)
    return row


def dispatch_task(task_name: str, payload: Any, send: Send) -> None:
    """Accept a task and send it; raises SendFailed if it did not leave, for nothing holds it, and
    SendInDoubt if nobody knows."""
    with tracing.dispatching(task_name):
        send(accept_task(task_name, payload))


def accept_job(
    job_data: "JobData",
    *,
    send: Send | None,
    job_id: str | None = None,
    parent_id: str | None = None,
    more_writes: Sequence[RecordWrite] = (),
    writes_if_answered: Callable[[JobRequest, Outcome], Sequence[RecordWrite]] | None = None,
) -> JobRequest:
    """Save a job: due, and queued or scheduled. Return its row.

    What was asked for before under the same idempotency key, or the same `job_id`, is the same job,
    as it is now. `send` is how it will be sent; `parent_id` is the job that dispatches it. `also`
    is written in one transaction with the row, or else RaceLost or RowExists is raised.
    A job that is unique may be answered with another one: then `met` of the row tells how, and
    `writes_if_answered` returns what is written to the records of `also` instead.
    Before anything is saved, raises UnknownJobType, InvalidPayload, CampaignMissing, or
    RunnerCannotResend for a job that may need sending again under a runner that can't; QueueFull;
    QuotaReached; UniqueConflict; IdempotencyConflict for a key that was used for another request.
    """
    job = registry().job(job_data.job_type)
    later = (run_at := job_data.starts_at()) > clock.now()
    payload = _check(job, job_data, send, later=later)
    key = job_data.idempotency_key
    organization_id = job_data.organization_id
    request_hash = _hash(job_data) if key is not None else None
    job_id = id_under_key(organization_id, key) if key else job_id
    unique_key = _unique_key(job, job_data, payload)
    queue_name = job_data.queue_name or job.queue_name
    existing = _ExistingJob(job_id, job.unique, unique_key)
    queue_key = _queue_key(queue_name, job_data, payload, existing if parent_id is None else None)
    if queue_key is not None:
        require_sender(send, job_data.job_type, "is in a queue with limits")
    if parent_id is None:
        existing.refuse_unless_answered(lambda: quota.refuse_if_reached(organization_id))

    save = partial(
        verbs.save,
        job_id=job_id,
        job_type=job_data.job_type,
        queue_name=queue_name,
        queue_key=queue_key,
        organization_id=organization_id,
        campaign_id=job_data.campaign_id,
        payload=job_data.payload,
        max_attempts=_most_attempts(job),
        run_at=run_at,
        due_at=next_due_at(run_at, send) if later else None,
        request_id=context.request_id.get(),
        request_hash=request_hash,
        parent_id=parent_id,
        created_by=context.recorded_author(),
        counted=quota.is_on(),
        traceparent=tracing.current(),
    )
    if job.unique is None or unique_key is None:
        row = save(more_writes=more_writes)
    else:
        from runners import unique_work  # which most jobs do without

        asked = unique_work.UniqueRequest(
            job.unique,
            unique_key,
            job_data,
            payload,
            _most_attempts(job),
            job_id,
            request_hash,
            more_writes,
            writes_if_answered,
            send,
        )
        row = unique_work.accept(asked, save)
    is_its_own = row.duplicate is None or row.duplicate.before
    if key is not None and is_its_own and row.request_hash != request_hash:
        raise IdempotencyConflict(key, row.id)
    _note(row)
    return row


def _note(row: JobRequest) -> None:
    """Log a job that was accepted, or how its request was answered, and count it if it is new."""
    if row.is_new:
        quota.note_accepted(row.organization_id)
    if row.duplicate is None:
        telemetry.accepted(row)
    else:
        telemetry.answered_with_existing(row, row.duplicate.outcome)


def check_job(job_data: "JobData", send: Send | None) -> None:
    """Raise what says why such a job could not be accepted, whatever else there is: UnknownJobType,
    InvalidPayload, CampaignMissing, RunnerCannotResend, EntryNotLoaded."""
    _check(registry().job(job_data.job_type), job_data, send, later=False)


def job_data(
    job_type: str, payload: Any, organization_id: str, campaign_id: str | None
) -> "JobData":
    """Return the data of a job that no request has asked for."""
    from runners.base import JobData  # pydantic, which a process that only sends does without

    return JobData(
        job_type=job_type,
        payload=payload,
        organization_id=organization_id,
        campaign_id=campaign_id,
    )


def _most_attempts(job: Job) -> int:
    return job.retry.max_attempts if job.retry else 1


def _unique_key(job: Job, job_data: "JobData", payload: "BaseModel") -> str | None:
    if job.unique is None:
        return None
    return job.unique.key_of(
        job_data.job_type, job_data.organization_id, job_data.campaign_id, payload
    )


def accept_task(task_name: str, payload: Any) -> TaskMessage:
    """Return a task as a message. Raises UnknownTask, InvalidPayload, PayloadTooLarge."""
    registry().new_task_payload(task_name, payload)
    size = len(compact_json(payload))
    if size > TASK_PAYLOAD_LIMIT:
        raise PayloadTooLarge(
            f"the payload of the task {task_name!r}",
            size,
            TASK_PAYLOAD_LIMIT,
            "Work that carries this much should be a job: a job's payload may be far larger",
        )
    task_id, asked = new_task_id(), _asked_for.get()
    if asked is not None and asked.id is None:  # else it is one that the task itself dispatches
        asked.id = task_id
    return TaskMessage(
        id=task_id,
        name=task_name,
        payload=payload,
        request_id=context.request_id.get(),
        traceparent=tracing.current(),
    )


class AcceptedTask:
    """The task that a call of `dispatch_task` has made."""

    id: str | None = None  # None with a runner that makes its messages by itself


_asked_for: ContextVar[AcceptedTask | None] = ContextVar("asked_for", default=None)


@contextmanager
def noting_the_task() -> Iterator[AcceptedTask]:
    """Yield what tells the id of the first task that is accepted inside: `dispatch_task` returns
    nothing."""
    accepted = AcceptedTask()
    token = _asked_for.set(accepted)
    try:
        yield accepted
    finally:
        _asked_for.reset(token)


def _check(job: Job, job_data: "JobData", send: Send | None, *, later: bool) -> "BaseModel":
    """Return the payload as its model; raise the error that says why the job can't be accepted, if
    it can't."""
    payload = registry().check_new_job(job_data.job_type, job_data.payload, job_data.campaign_id)
    if job.retry or later:
        need = "is tagged for retry" if job.retry else "is to start later"
        require_sender(send, job_data.job_type, need)
    if job.unique is not None and job.unique.then is not None:
        require_sender(send, job_data.job_type, "may have to wait for the end of another")
    return payload


def _queue_key(
    queue_name: str, job_data: "JobData", payload: "BaseModel", existing: "_ExistingJob | None"
) -> str | None:
    """Return the key of a job's line, if it has one that is known: see `line_of`.

    Raises QueueFull if too many wait there, but not for a job that is there already, and not for a
    child: its parent was accepted, and would fail halfway.
    """
    line = line_of(queue_name, job_data.organization_id, job_data.campaign_id, payload)
    if line is None:
        return None
    if existing is not None:
        existing.refuse_unless_answered(lambda: refuse_if_full(queue_name, line.key, line.limits))
    return line.key


class _ExistingJob(NamedTuple):
    """Whether a request is answered with a job that is there already: its own, or that of its key
    as work that is unique. One that is made to follow that is a new job."""

    job_id: str | None
    rule: Unique | None
    unique_key: str | None

    def refuse_unless_answered(self, refuse_if_too_many: Callable[[], None]) -> None:
        """Refuse a job because of others, but not one that is there already."""
        try:
            refuse_if_too_many()
        except (QueueFull, QuotaReached):
            if self.job_id is not None and read(self.job_id) is not None:
                return
            if not self._creates_no_job():
                raise

    def _creates_no_job(self) -> bool:
        if self.rule is None or self.unique_key is None:
            return False
        from runners import unique_work  # which most jobs do without

        return unique_work.creates_no_job(self.rule, self.unique_key, self.job_id)


def _hash(job_data: "JobData") -> str:
    """Return what tells one request from another, whatever the order of keys in its objects."""
    asked = job_data.model_dump(mode="json", exclude={"idempotency_key"}, exclude_unset=True)
    return sha256(canonical_json(asked).encode()).hexdigest()
