"""Dispatch new work with any runner: check it, save it if it is a job, then send it.

To *accept* a job is to check and save it, or to find the existing job that answers the request.
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
from job_runners.store.job_request import DuplicateAnswer, JobRequest
from job_runners.store.queries import read
from job_runners.store.transactions import RecordWrite
from job_runners.work import context

if TYPE_CHECKING:
    from job_runners.engine.job_data import JobData

# Bytes of JSON. Lambda accepts 1 MB, but work with a larger payload should be a job.
TASK_PAYLOAD_LIMIT = 100 * 1024


def dispatch_job(job_data: "JobData", send: Send) -> Accepted:
    """Accept a job and send it. Return the new job, or an existing one.

    If the job can't be sent now, the timer sends it later. `send` is used only for the first
    message. The configured runner (JOB_RUNNER) sends the later ones. The two can differ: the
    configured runner may leave this call to another runner, which then passes its own `send`.
    """
    with tracing.dispatching(job_data.job_type):
        accepted = accept_job(job_data, send=configured.sender())
        send_if_unclaimed(accepted, send)
    return accepted


def dispatch_task(task_name: str, payload: Any, send: Send) -> str:
    """Check a task and send it. Return the id under which it is logged.

    Raises SendFailed if the task was not sent, and SendInDoubt if it may have been sent. Nothing
    sends the task later, because tasks aren't stored.
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
    writes_if_existing: Callable[[JobRequest, DuplicateAnswer], Sequence[RecordWrite]]
    | None = None,
) -> Accepted:
    """Save a job as queued, or as scheduled if it starts later.

    If the idempotency key or the `job_id` was used before, return the same job, as it is now. A
    request for a unique job may also be answered with an existing job; see `Accepted.duplicate`.

    - `send` sends the job's later messages.
    - `parent_id` is the job that dispatches the new one, and `dispatched_by` is that job's type.
    - `follow_up_of` is the job that the new one follows up.
    - `more_writes` are made in one transaction with the row. If one of them is refused, this
      function raises RaceLost. If there are any and the row exists, it raises RowExists.
    - `writes_if_existing` is called if an existing job is the answer. It returns the writes to make
      instead of `more_writes`.

    Raises UnknownJobType, InvalidPayload, InvalidFollowUp, QueueFull, QuotaReached or
    UniqueConflict before anything is saved. Raises IdempotencyConflict if another request used the
    same idempotency key, and RunnerCannotResend if the runner can't send the later messages that
    the job may need.
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
    writes_if_existing: Callable[[JobRequest, DuplicateAnswer], Sequence[RecordWrite]]
    | None = None,
) -> Accepted:
    """Save a checked job. Raises errors as `accept_job` does."""
    # The job belongs to the current span, which may differ from the span in which it was checked.
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
    """Raise QueueFull or QuotaReached if accepting all of these jobs would exceed a limit.

    Requests that are answered with an existing job don't count. `map_jobs` is a `map` that may use
    threads.
    """
    try:
        _check_limits(jobs)
    except (QueueFull, QuotaReached):
        # Find out which requests create a new job, and check again. This is slow, but rare.
        answered_with_existing = map_jobs(_is_answered_with_existing, jobs)
        pairs = zip(jobs, answered_with_existing, strict=True)
        _check_limits([job for job, is_answered in pairs if not is_answered])


def accept_task(task_name: str, payload: Any) -> TaskMessage:
    """Check a task, and return its message. Raises UnknownTask, InvalidPayload, PayloadTooLarge."""
    registry().task(task_name).validate_new(task_name, payload)
    size = len(compact_json(payload))
    if size > TASK_PAYLOAD_LIMIT:
        raise PayloadTooLarge(
            f"The payload of the task {task_name!r}",
            size,
            TASK_PAYLOAD_LIMIT,
            "Use a job instead, because its payload may be far larger.",
        )
    from job_runners.store.failed_tasks import new_task_id  # imported here for tasks only

    return TaskMessage(
        id=new_task_id(),
        name=task_name,
        payload=payload,
        request_id=context.request_id.get(),
        traceparent=tracing.current(),
    )


# --- the stages of accept_job --------------------------------------------------------------------


def _check_limits(jobs: Sequence[CheckedJob]) -> None:
    """Raise QueueFull or QuotaReached if these new jobs would exceed a limit."""
    lines = [(job.new_job.queue_name, job.line) for job in jobs if job.line is not None]
    if lines:
        # Imported here because most queues have no limits.
        from job_runners.engine.dispatch import full_queues

        # Count the new jobs of each line, and check each line once.
        for (queue_name, line), count in Counter(lines).items():
            full_queues.refuse_if_full(queue_name, line.key, line.limits, count)
    organizations = [job.new_job.organization_id for job in jobs if job.new_job.counted]
    if organizations:
        # Imported here because few stacks have a quota.
        from job_runners.engine.dispatch import quota

        for organization_id, count in Counter(organizations).items():
            quota.refuse_if_reached(organization_id, count)


def _is_answered_with_existing(job: CheckedJob) -> bool:
    """Return whether an existing job answers the request.

    It may be the job that the same request created before, or another job with the unique key. If
    the request would create a follower of that other job, return False, because that is a new job.
    """
    new_job, rule = job.new_job, job.rule
    if new_job.job_id is not None and read(new_job.job_id) is not None:
        return True
    if rule is None or new_job.unique_key is None:
        return False
    # Imported here because most jobs aren't unique.
    from job_runners.engine.dispatch import unique_work

    return unique_work.is_answered_with_existing(rule, new_job.unique_key, new_job.job_id)


def _save(
    checked: CheckedJob,
    more_writes: Sequence[RecordWrite],
    writes_if_existing: Callable[[JobRequest, DuplicateAnswer], Sequence[RecordWrite]] | None,
) -> Accepted:
    """Save the job. If it is unique, an existing job may answer the request instead."""
    new_job, rule = checked.new_job, checked.rule
    key = new_job.unique_key
    if rule is None or key is None:
        change = transitions.save(new_job, more_writes=more_writes)
        if new_job.counted and change.is_new:
            # Imported here because few stacks have a quota.
            from job_runners.engine.dispatch import quota

            quota.note_saved(change.after)
        return Accepted(change.after)
    # Imported here because most jobs aren't unique.
    from job_runners.engine.dispatch import unique_work

    return unique_work.accept(
        unique_work.UniqueRequest(
            rule, key, new_job, checked.payload, more_writes, writes_if_existing, checked.send
        )
    )


def _refuse_reused_key(key: str | None, new_job: transitions.NewJob, accepted: Accepted) -> None:
    """Raise IdempotencyConflict if another request used the idempotency key before."""
    row, duplicate = accepted.row, accepted.duplicate
    # If this request has just been answered with another job that has the same unique key, a
    # different request created that job. Then the hashes must not be compared.
    row_has_key = duplicate is None or duplicate.is_repeated
    if key is not None and row_has_key and row.request_hash != new_job.request_hash:
        raise IdempotencyConflict(key, row.id)
