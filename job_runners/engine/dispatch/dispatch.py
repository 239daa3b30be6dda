"""Dispatch new work under any runner: check it, save it if it is a job, then send it.

A running job's children and tasks are dispatched through this module too: see
job_runners/engine/running/children.py.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from job_runners.engine import configured
from job_runners.engine.dispatch.checking import CheckedJob, check_new_job
from job_runners.engine.registry.registry import registry
from job_runners.engine.telemetry import telemetry, tracing
from job_runners.engine.wire.messages import TaskMessage
from job_runners.engine.wire.sending import Accepted, Send, require_sender, send_if_unclaimed
from job_runners.errors import IdempotencyConflict, PayloadTooLarge, QueueFull, QuotaReached
from job_runners.store import transitions
from job_runners.store.blobs import compact_json
from job_runners.store.job_request import JobRequest, Outcome
from job_runners.store.queries import read
from job_runners.store.transactions import RecordWrite
from job_runners.work import Unique, context

if TYPE_CHECKING:
    from job_runners.engine.job_data import JobData

# Bytes of JSON. Lambda accepts 1 MB, but work with a larger payload than this should be a job.
TASK_PAYLOAD_LIMIT = 100 * 1024


def dispatch_job(job_data: "JobData", send: Send) -> Accepted:
    """Accept a job, send it, and return the row as it was saved, with how it answers the request.

    If the job can't be sent now, the timer sends it later. The runner in JOB_RUNNER may delegate
    this call to another one, which passes its own `send`. So the runner in JOB_RUNNER decides
    whether the job can be sent again, not `send`.
    """
    with tracing.dispatching(job_data.job_type):
        accepted = accept_job(job_data, send=configured.sender())
        send_if_unclaimed(accepted, send)
    return accepted


def dispatch_task(task_name: str, payload: Any, send: Send) -> str:
    """Accept a task and send it. Return its id, which its log lines have.

    Tasks aren't stored, so this raises SendFailed if the task was not sent, and SendInDoubt if it
    may or may not have been sent.
    """
    with tracing.dispatching(task_name):
        message = accept_task(task_name, payload)
        send(message)
    return message.id


def accept_job(
    job_data: "JobData",
    *,
    send: Send,
    job_id: str | None = None,
    parent_id: str | None = None,
    follow_up_of: str | None = None,
    dispatched_by: str | None = None,
    more_writes: Sequence[RecordWrite] = (),
    writes_if_existing: Callable[[JobRequest, Outcome], Sequence[RecordWrite]] | None = None,
) -> Accepted:
    """Save a job as queued, or as scheduled if it starts later, with a due time.

    If the idempotency key or the `job_id` was used before, return the same job, as it is now.
    `send` is the function that can send the job again, or None. `parent_id` is the job that
    dispatches it, and `dispatched_by` that job's type. `follow_up_of` is the job that it follows
    up. `more_writes` are made in one transaction with the row; if that is impossible, RaceLost or
    RowExists is raised.

    A request for a unique job may be answered with an existing job. `duplicate` then
    shows how, and the writes from `writes_if_existing` are made instead of `more_writes`.

    Raises UnknownJobType, InvalidPayload, InvalidFollowUp, QueueFull, QuotaReached
    or UniqueConflict before anything is saved. Raises IdempotencyConflict for a key that another
    request used, and RunnerCannotResend if the job may have to be sent again and the runner can't
    do that.
    """
    checked = check_new_job(
        job_data,
        send,
        job_id=job_id,
        parent_id=parent_id,
        follow_up_of=follow_up_of,
        dispatched_by=dispatched_by,
        idempotency_key=job_data.idempotency_key,
    )
    if parent_id is None:  # a child isn't refused, because its parent would fail halfway
        refuse_if_too_many([checked])
    return save_checked(checked, more_writes, writes_if_existing)


def dispatch_checked(checked: CheckedJob) -> Accepted:
    """Save a checked job, and send it. If it can't be sent, the timer sends it."""
    send = require_sender(checked.send, checked.new_job.job_type, "has to be sent")
    with tracing.dispatching(checked.new_job.job_type):
        accepted = save_checked(checked)
        send_if_unclaimed(accepted, send)
    return accepted


def save_checked(
    checked: CheckedJob,
    more_writes: Sequence[RecordWrite] = (),
    writes_if_existing: Callable[[JobRequest, Outcome], Sequence[RecordWrite]] | None = None,
) -> Accepted:
    """Save a checked job. Raises errors as `accept_job` does."""
    # The job belongs to the current span, not to the one in which it was checked.
    new_job = checked.new_job._replace(traceparent=tracing.current())
    accepted = _save(checked._replace(new_job=new_job), more_writes, writes_if_existing)
    _refuse_reused_key(checked.idempotency_key, checked.new_job, accepted)
    if accepted.duplicate is None:
        telemetry.accepted(accepted.row)
    else:
        telemetry.duplicate_answered(accepted.row, accepted.duplicate.outcome)
    return accepted


def refuse_if_too_many(
    jobs: Sequence[CheckedJob], map_jobs: Callable[..., Iterable[Any]] = map
) -> None:
    """Raise QueueFull or QuotaReached if there are too many jobs to accept all of these.

    A request that is answered with an existing job isn't refused, and doesn't count. `map_jobs` is
    a `map` that may use threads.
    """
    try:
        _refuse_if_no_room(jobs)
    except (QueueFull, QuotaReached):
        found = map_jobs(lambda job: _is_answered_with_existing(job.new_job, job.rule), jobs)
        _refuse_if_no_room([job for job, exists in zip(jobs, found, strict=True) if not exists])


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
    from job_runners.store.failed_tasks import new_task_id  # jobs don't need it

    return TaskMessage(
        id=new_task_id(),
        name=task_name,
        payload=payload,
        request_id=context.request_id.get(),
        traceparent=tracing.current(),
    )


# --- the stages of accept_job --------------------------------------------------------------------


def _refuse_if_no_room(jobs: Sequence[CheckedJob]) -> None:
    """Raise QueueFull or QuotaReached if this many new jobs would exceed a limit."""
    lines = [(job.new_job.queue_name, job.line) for job in jobs if job.line is not None]
    if lines:
        from job_runners.engine.dispatch import full_queues  # most queues have no limits

        for (queue_name, line), number in Counter(lines).items():
            full_queues.refuse_if_full(queue_name, line.key, line.limits, number)
    counted = [job.new_job.organization_id for job in jobs if job.new_job.counted]
    if counted:
        from job_runners.engine.dispatch import quota  # imported here because few stacks have one

        for organization_id, number in Counter(counted).items():
            quota.refuse_if_reached(organization_id, number)


def _is_answered_with_existing(new_job: transitions.NewJob, rule: Unique | None) -> bool:
    """Return whether an existing job answers the request.

    That is the job that the same request created before, or another job that has the unique key.
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
    writes_if_existing: Callable[[JobRequest, Outcome], Sequence[RecordWrite]] | None,
) -> Accepted:
    """Save the job. For unique work, another job may answer the request."""
    new_job, rule = checked.new_job, checked.rule
    key = new_job.unique_key
    if rule is None or key is None:
        change = transitions.save(new_job, more_writes=more_writes)
        if new_job.counted and change.is_new:
            from job_runners.engine.dispatch import (
                quota,  # imported here because few stacks have one
            )

            quota.note_saved(change.after)
        return Accepted(change.after)
    # Imported here because most jobs don't need it.
    from job_runners.engine.dispatch import unique_work

    return unique_work.accept(
        unique_work.UniqueRequest(
            rule, key, new_job, checked.payload, more_writes, writes_if_existing, checked.send
        )
    )


def _refuse_reused_key(key: str | None, new_job: transitions.NewJob, accepted: Accepted) -> None:
    """Raise IdempotencyConflict if another request used the idempotency key before."""
    # An existing job that has only now become this key's answer has the hash of its own request.
    row, duplicate = accepted.row, accepted.duplicate
    had_this_key = duplicate is None or duplicate.before
    if key is not None and had_this_key and row.request_hash != new_job.request_hash:
        raise IdempotencyConflict(key, row.id)
