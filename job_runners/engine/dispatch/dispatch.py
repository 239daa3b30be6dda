"""Dispatch new work under any runner: check it, save it if it is a job, then send it.

A running job's children and tasks are dispatched through this module too: see
job_runners/engine/running/children.py.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from job_runners import clock
from job_runners.engine import configured
from job_runners.engine.dispatch import quota
from job_runners.engine.dispatch.full_queues import refuse_if_full
from job_runners.engine.lines.limits import LimitedLine, line_of
from job_runners.engine.registry.registry import registry
from job_runners.engine.telemetry import telemetry, tracing
from job_runners.engine.wire.messages import TaskMessage
from job_runners.engine.wire.sending import Send, next_due_at, require_sender, send_if_unclaimed
from job_runners.errors import IdempotencyConflict, PayloadTooLarge, QueueFull, QuotaReached
from job_runners.store import verbs
from job_runners.store.blobs import canonical_json, compact_json
from job_runners.store.failed_tasks import new_task_id
from job_runners.store.job_request import JobRequest, Outcome, id_under_key
from job_runners.store.queries import read
from job_runners.store.transactions import RecordWrite
from job_runners.work import Job, Unique, context

if TYPE_CHECKING:
    from pydantic import BaseModel

    from job_runners.engine.job_data import JobData

# Bytes of JSON. Lambda accepts 1 MB, but work with a larger payload than this should be a job.
TASK_PAYLOAD_LIMIT = 100 * 1024


def dispatch_job(job_data: "JobData", send: Send) -> JobRequest:
    """Accept a job, send it, and return the row as it was saved.

    If the job can't be sent now, the timer sends it later. A runner may use another runner's
    `dispatch_job`, and `send` then belongs to that other runner. So the runner that JOB_RUNNER
    names decides whether the job can be sent again, not `send`.
    """
    with tracing.dispatching(job_data.job_type):
        row = accept_job(job_data, send=configured.sender())
        send_if_unclaimed(row, send)
    return row


def dispatch_task(task_name: str, payload: Any, send: Send) -> None:
    """Accept a task and send it.

    Raises SendFailed if the task was not sent, because nothing stores it. Raises SendInDoubt if it
    may or may not have been sent.
    """
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
    """Save a job as queued, or as scheduled if it starts later, with a due time. Return its row.

    If the idempotency key or the `job_id` was used before, return the same job, as it is now.
    `send` is the function that can send the job again, or None. `parent_id` is the job that
    dispatches it. `more_writes` are made in one transaction with the row; if that is impossible,
    RaceLost or RowExists is raised.

    A request for a unique job may be answered with an existing job. The row's `duplicate` then
    shows how, and the writes from `writes_if_answered` are made instead of `more_writes`.

    Raises UnknownJobType, InvalidPayload, CampaignMissing, InvalidFollowUp, QueueFull, QuotaReached
    or UniqueConflict before anything is saved. Raises IdempotencyConflict for a key that another
    request used, and RunnerCannotResend if the job may have to be sent again and the runner can't
    do that.
    """
    checked = check_new_job(
        job_data, send, job_id=job_id, parent_id=parent_id, key=job_data.idempotency_key
    )
    if parent_id is None:  # a child isn't refused, because its parent would fail halfway
        refuse_if_too_many([checked])
    return save_checked(checked, more_writes, writes_if_answered)


class CheckedJob(NamedTuple):
    """A job that may be saved. `key` is the idempotency key of its request, if it has one."""

    new_job: verbs.NewJob
    payload: "BaseModel"
    line: LimitedLine | None
    rule: Unique | None
    key: str | None
    send: Send | None


def check_new_job(
    job_data: "JobData",
    send: Send | None,
    *,
    job_id: str | None,
    parent_id: str | None,
    key: str | None,
) -> CheckedJob:
    """Check a job that `accept_job` or `bulk` saves. This makes no call for the job.

    Raises UnknownJobType, InvalidPayload, CampaignMissing, InvalidFollowUp, RunnerCannotResend.
    """
    job = registry().job(job_data.job_type)
    run_at = job_data.starts_at()
    payload = _check(job, job_data, send, later=run_at > clock.now())
    line = _line(job, job_data, payload, send)
    if job_data.idempotency_key is not None:
        job_id = id_under_key(job_data.organization_id, job_data.idempotency_key)
    new_job = _new_job(
        job, job_data, payload, line, job_id=job_id, parent_id=parent_id, run_at=run_at, send=send
    )
    if key is not None:
        new_job = new_job._replace(request_hash=_hash(job_data))
    return CheckedJob(new_job, payload, line, job.unique, key, send)


def save_checked(
    checked: CheckedJob,
    more_writes: Sequence[RecordWrite] = (),
    writes_if_answered: Callable[[JobRequest, Outcome], Sequence[RecordWrite]] | None = None,
) -> JobRequest:
    """Save a checked job, and return its row. Raises the errors of `accept_job` for saved jobs."""
    row = _save(checked, more_writes, writes_if_answered)
    _refuse_reused_key(checked.key, checked.new_job, row)
    _note(row)
    return row


def refuse_if_too_many(
    jobs: Sequence[CheckedJob], each: Callable[..., Iterable[Any]] = map
) -> None:
    """Raise QueueFull or QuotaReached if there are too many jobs to accept all of these.

    A request that is answered with an existing job isn't refused, and doesn't count. `each` is a
    `map` that may use threads.
    """
    try:
        _refuse_number(jobs)
    except (QueueFull, QuotaReached):
        found = each(lambda job: _is_answered_with_existing(job.new_job, job.rule), jobs)
        _refuse_number([job for job, exists in zip(jobs, found, strict=True) if not exists])


def check_job(job_data: "JobData", send: Send | None) -> None:
    """Check a job's type, payload and campaign, but no limits and no existing jobs.

    Raises UnknownJobType, InvalidPayload, CampaignMissing, RunnerCannotResend, EntryNotLoaded.
    """
    _check(registry().job(job_data.job_type), job_data, send, later=False)


def new_job_data(
    job_type: str, payload: Any, organization_id: str, campaign_id: str | None
) -> "JobData":
    """Return the data of a job that a schedule or another job dispatches."""
    # Imports pydantic, which most processes can skip.
    from job_runners.engine.job_data import JobData

    return JobData(
        job_type=job_type,
        payload=payload,
        organization_id=organization_id,
        campaign_id=campaign_id,
    )


def accept_task(task_name: str, payload: Any) -> TaskMessage:
    """Return a task as a message. Raises UnknownTask, InvalidPayload, PayloadTooLarge."""
    registry().new_task_payload(task_name, payload)
    size = len(compact_json(payload))
    if size > TASK_PAYLOAD_LIMIT:
        raise PayloadTooLarge(
            f"The payload of the task {task_name!r}",
            size,
            TASK_PAYLOAD_LIMIT,
            "Use a job instead, because its payload may be far larger.",
        )
    task_id, noted = new_task_id(), _noted_task.get()
    # If the id is already set, the first task runs in this process and dispatches this one.
    if noted is not None and noted.id is None:
        noted.id = task_id
    return TaskMessage(
        id=task_id,
        name=task_name,
        payload=payload,
        request_id=context.request_id.get(),
        traceparent=tracing.current(),
    )


class AcceptedTask:
    """The task that a call of `dispatch_task` has created."""

    id: str | None = None  # stays None with a runner that creates its own messages


_noted_task: ContextVar[AcceptedTask | None] = ContextVar("noted_task", default=None)


@contextmanager
def noting_the_task() -> Iterator[AcceptedTask]:
    """Yield an object that gets the id of the first task accepted inside.

    `dispatch_task` returns nothing, so the caller has no other way to get the id.
    """
    accepted = AcceptedTask()
    token = _noted_task.set(accepted)
    try:
        yield accepted
    finally:
        _noted_task.reset(token)


# --- the stages of accept_job --------------------------------------------------------------------


def _check(job: Job, job_data: "JobData", send: Send | None, *, later: bool) -> "BaseModel":
    """Return the payload as its model. Raises the errors of `check_job`."""
    payload = registry().check_new_job(job_data.job_type, job_data.payload, job_data.campaign_id)
    if job.retry or later:
        need = "has a retry policy" if job.retry else "is scheduled to start later"
        require_sender(send, job_data.job_type, need)
    if job.unique is not None and job.unique.then is not None:
        require_sender(send, job_data.job_type, "may have to wait for another job to end")
    return payload


def _line(
    job: Job, job_data: "JobData", payload: "BaseModel", send: Send | None
) -> LimitedLine | None:
    """Return the job's line, or None if it has no line or its line isn't known yet.

    Raises RunnerCannotResend if the queue has limits and the runner can't send the job later.
    """
    queue_name = job_data.queue_name or job.queue_name
    line = line_of(queue_name, job_data.organization_id, job_data.campaign_id, payload)
    if line is not None:
        require_sender(send, job_data.job_type, "is in a queue with limits")
    return line


def _new_job(
    job: Job,
    job_data: "JobData",
    payload: "BaseModel",
    line: LimitedLine | None,
    *,
    job_id: str | None,
    parent_id: str | None,
    run_at: int,
    send: Send | None,
) -> verbs.NewJob:
    """Return the job to save."""
    job_type = job_data.job_type
    organization_id, campaign_id = job_data.organization_id, job_data.campaign_id
    unique = job.unique
    on_end, on_failure = _follow_ups(job, job_data, send)
    return verbs.NewJob(
        job_id=job_id,
        job_type=job_type,
        queue_name=job_data.queue_name or job.queue_name,
        queue_key=line.key if line else None,
        organization_id=organization_id,
        campaign_id=campaign_id,
        payload=job_data.payload,
        max_attempts=job.retry.max_attempts if job.retry else 1,
        run_at=run_at,
        due_at=next_due_at(run_at, send) if run_at > clock.now() else None,
        unique_key=(
            unique.key_of(job_type, organization_id, campaign_id, payload) if unique else None
        ),
        request_id=context.request_id.get(),
        on_end=on_end,
        on_failure=on_failure,
        parent_id=parent_id,
        created_by=context.recorded_author(),
        counted=quota.is_on(),
        traceparent=tracing.current(),
    )


def _follow_ups(
    job: Job, job_data: "JobData", send: Send | None
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return the job's `on_end` and `on_failure` for its row: its own, or those of its type."""
    on_end, on_failure = job_data.on_end or job.on_end, job_data.on_failure or job.on_failure
    if on_end is None and on_failure is None:
        return None, None
    from job_runners.engine.dispatch import follow_ups  # imported here because most jobs have none

    require_sender(send, job_data.job_type, "has follow-ups")
    return (
        follow_ups.to_store("on_end", on_end, job_data.campaign_id),
        follow_ups.to_store("on_failure", on_failure, job_data.campaign_id),
    )


def _refuse_number(jobs: Sequence[CheckedJob]) -> None:
    """Raise QueueFull or QuotaReached if this number of new jobs is too high."""
    lines = Counter((job.new_job.queue_name, job.line) for job in jobs)
    for (queue_name, line), number in lines.items():
        if line is not None:
            refuse_if_full(queue_name, line.key, line.limits, number)
    owners = Counter(job.new_job.organization_id for job in jobs)
    for organization_id, number in owners.items():
        quota.refuse_if_reached(organization_id, number)


def _is_answered_with_existing(new_job: verbs.NewJob, rule: Unique | None) -> bool:
    """Return whether the answer is the request's own job, or another job that has its unique key.

    Return False if the request would create a follower of that other job, because that is a new
    job.
    """
    if new_job.job_id is not None and read(new_job.job_id) is not None:
        return True
    if rule is None or new_job.unique_key is None:
        return False
    # Imported here because most jobs don't need it.
    from job_runners.engine.dispatch import unique_work

    return unique_work.is_answered_with_existing(rule, new_job.unique_key, new_job.job_id)


def _save(
    checked: CheckedJob,
    more_writes: Sequence[RecordWrite],
    writes_if_answered: Callable[[JobRequest, Outcome], Sequence[RecordWrite]] | None,
) -> JobRequest:
    """Save the job and return its row. For unique work, return the row that answers the request."""
    new_job, rule = checked.new_job, checked.rule
    key = new_job.unique_key
    if rule is None or key is None:
        return verbs.save(new_job, more_writes=more_writes)
    # Imported here because most jobs don't need it.
    from job_runners.engine.dispatch import unique_work

    return unique_work.accept(
        unique_work.UniqueRequest(
            rule, key, new_job, checked.payload, more_writes, writes_if_answered, checked.send
        )
    )


def _refuse_reused_key(key: str | None, new_job: verbs.NewJob, row: JobRequest) -> None:
    """Raise IdempotencyConflict if another request used the idempotency key before."""
    # A job with which this request has just been answered doesn't have the hash of this request.
    has_hash_of_key = row.duplicate is None or row.duplicate.before
    if key is not None and has_hash_of_key and row.request_hash != new_job.request_hash:
        raise IdempotencyConflict(key, row.id)


def _note(row: JobRequest) -> None:
    """Log that a job was accepted, or how its request was answered. Count the job if it is new."""
    if row.is_new:
        quota.note_accepted(row.organization_id)
    if row.duplicate is None:
        telemetry.accepted(row)
    else:
        telemetry.duplicate_answered(row, row.duplicate.outcome)


def _hash(job_data: "JobData") -> str:
    """Return a hash that identifies a request. The order of keys in its objects doesn't matter."""
    fields = job_data.model_dump(mode="json", exclude={"idempotency_key"}, exclude_unset=True)
    return sha256(canonical_json(fields).encode()).hexdigest()
