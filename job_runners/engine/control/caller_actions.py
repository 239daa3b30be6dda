"""What callers can do with a job: cancel it, retry it, rerun it from a step, or delete it."""

from collections.abc import Callable
from functools import partial
from typing import Any

from job_runners import clock
from job_runners.engine.registry.registry import registry
from job_runners.engine.settling.settle import settle, transition
from job_runners.engine.telemetry import telemetry, tracing
from job_runners.engine.wire.sending import CANNOT_SEND, Send, require_sender
from job_runners.errors import (
    MissingObject,
    PreconditionFailed,
    RerunRefused,
    UniqueConflict,
    WrongState,
)
from job_runners.settings import settings
from job_runners.store import blobs, caller_transitions
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.queries import read
from job_runners.work import Job, context

# A job that has waited in its function can be retried with the same payload for this many days.
_RESUMABLE_DAYS = 200
_TRIES = 3  # how often to try to cancel a job that changes between the read and the write


def cancel(row: JobRequest, send: Send = CANNOT_SEND) -> JobRequest:
    """Cancel a job immediately if no worker has it. Otherwise, ask its worker to stop it.

    The worker stops the job at the next written checkpoint, or when the invocation or attempt ends.
    The returned row is canceled, or records the request. If a job that was waiting for the canceled
    job's slot can start, `send` sends it.

    Raises WrongState if the job has ended in another way, and PreconditionFailed if it was deleted.
    """
    return _cancel(row, send, with_members=False)


def cancel_with_members(row: JobRequest, send: Send = CANNOT_SEND) -> JobRequest:
    """Ask for a job to be canceled together with the unfinished members of its group.

    This call cancels only some members. The timer cancels the others, page by page, and then the
    job itself. A running job begins to wait for its members when its invocation ends. A job without
    an unfinished group is canceled like any other.

    Raises the errors of `cancel`.
    """
    canceled = _cancel(row, send, with_members=True)
    return read(row.id) or canceled  # settling may have canceled the job already


def _cancel(row: JobRequest, send: Send, *, with_members: bool) -> JobRequest:
    """Cancel the job, or ask its worker to stop. If the job changes meanwhile, try again."""
    for _ in range(_TRIES):
        if row.status is Status.CANCELED:
            return row
        if row.status.finished:
            raise WrongState(row.id, str(row.status), "canceled", "that has not ended")
        try:
            return transition(partial(_write_cancel, row, with_members), row, send)
        except PreconditionFailed as refused:
            if refused.row is None:  # it was deleted
                raise
            row = refused.row
            last_error = refused
    raise last_error


def _write_cancel(row: JobRequest, with_members: bool) -> Change:
    author = context.recorded_author()
    if with_members and (row.has_open_group or row.status is Status.RUNNING):
        # Imported here because most jobs have no group.
        from job_runners.store.transitions import group_waits

        change = group_waits.cancel_members(row, by=author)
    elif row.status is Status.RUNNING:
        change = caller_transitions.request_cancel(row, by=author)
    else:
        change = caller_transitions.cancel(row, by=author)
    telemetry.canceled_by_caller(change.after)
    return change


def retry_again(row: JobRequest, send: Send, payload: Any = None) -> JobRequest:
    """Queue a failed or canceled job again.

    The job continues from its cursor or, with a new `payload`, starts from the beginning.

    Raises WrongState, InvalidPayload, UnknownJobType, InternalJobType for a new payload of an
    internal job, and MissingObject if the job's payload is gone. Raises RunnerCannotResend if the
    runner can't send the job, PreconditionFailed if the job changed in the meantime, and
    UniqueConflict if another job has taken its unique key.
    """
    from job_runners.store.uniqueness import KeyTaken  # imported here because most jobs have no key

    if row.status not in (Status.FAILED, Status.CANCELED):
        raise WrongState(row.id, str(row.status), "retried", "that failed or was canceled")
    definition = registry().job(row.job_type)
    send = require_sender(send, row.job_type, "must be sent to a worker again")
    if payload is not None:
        registry().check_new_job(row.job_type, payload)
        if _is_payload_of(row, payload):
            payload = None
    if payload is None and _waits_may_expire(row):
        raise WrongState(
            row.id,
            str(row.status),
            "retried with the same payload",
            f"whose work began less than {_RESUMABLE_DAYS} days ago",
        )
    requeue = partial(
        caller_transitions.requeue,
        row,
        max_attempts=definition.attempts(row.attempt_limit),
        payload=payload,
        by=context.recorded_author(),
        counted=settings().max_unfinished_jobs > 0,
        unique_key=_unique_key(definition, row, payload),
    )
    with tracing.dispatching(row.job_type):
        try:
            change = requeue() if row.member_of is None else _requeue_member(row, requeue, send)
        except KeyTaken as taken:
            raise UniqueConflict(row.job_type, taken.held_key.holder.id) from taken
        telemetry.queued_again(change.after)
        settle(change, send)
    return change.after


def _requeue_member(row: JobRequest, requeue: Callable[..., Change], send: Send) -> Change:
    """Queue a group's member again. If that fails, undo what this changed in the group."""
    from job_runners.engine.groups import retrying  # imported here because most jobs are in none

    try:
        return retrying.requeue(row, requeue)
    except Exception:
        change = retrying.drop_marker(row)
        if change is not None:
            settle(change, send)
        raise


def _waits_may_expire(row: JobRequest) -> bool:
    """Return whether the records of a job's waits might expire before a retry ends.

    Like all steps, the table keeps them for 300 days after the job's work began.
    """
    age = clock.now() - (row.begun_at or row.created_at)
    return bool(row.has_waited) and age > _RESUMABLE_DAYS * clock.DAY


def _unique_key(definition: Job, row: JobRequest, new_payload: Any) -> str | None:
    """Return a job's unique key under its type's current rule, or None if the type isn't unique."""
    if definition.unique is None:
        return None
    payload = new_payload
    if payload is None:
        payload = blobs.get(row.payload, row.payload_key)
    model = registry().job_payload(row.job_type, payload)
    return definition.unique.key_of(row.job_type, row.organization_id, model)


def _is_payload_of(row: JobRequest, payload: Any) -> bool:
    try:
        stored_payload = blobs.get(row.payload, row.payload_key)
    except MissingObject:
        return False
    return blobs.canonical_json(stored_payload) == blobs.canonical_json(payload)


def rerun_plan(row: JobRequest, step: str) -> dict[str, Any]:
    """Return the data that a new job needs to continue a finished job from a step.

    Raises RerunRefused.
    """
    from job_runners.store import copied_steps  # imported here because few requests need it

    unique = registry().job(row.job_type).unique
    if unique is not None and unique.on_conflict == "replace":
        raise RerunRefused(row.id, "another job of its unique type could get its payload instead")
    return copied_steps.plan(row, step)


def delete(row: JobRequest) -> None:
    """Delete a finished job with its payload, result and files.

    Raises WrongState if it hasn't ended, and PreconditionFailed if it changed in the meantime.
    """
    if not row.status.finished:
        raise WrongState(row.id, str(row.status), "deleted, so cancel it first", "that has ended")
    caller_transitions.delete(row)
    telemetry.deleted(row)
