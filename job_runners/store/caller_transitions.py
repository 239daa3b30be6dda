"""The transitions that callers request: cancel, request_cancel, requeue and delete.

Each is refused if the row now belongs to another organization than when it was read. This happens
if the job was deleted, and another job then got its id. To *requeue* a job is to queue it again
after its end. The *holdings* of a job are its slot, its unique key, and its entry in a line or
under a pause.
"""

from collections.abc import Sequence
from typing import Any

from pynamodb.exceptions import DeleteError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from job_runners import clock
from job_runners.aws import bucket
from job_runners.aws.errors import condition_failed, retry_on_conflict
from job_runners.store import acts, blobs, conditional_write, earlier_errors, holdings, steps
from job_runners.store.conditional_write import Change, JobEnd
from job_runners.store.job_request import JobRequest, Lane, Status, unfinished_key
from job_runners.store.queries import read
from job_runners.store.table import set_or_remove
from job_runners.store.transactions import RecordWrite


def cancel(job: JobRequest, *, by: str | None = None) -> Change:
    """Cancel a job that isn't running, and free its holdings.

    Raises PreconditionFailed if the job is running or finished, or has changed since it was read.
    """
    end = JobEnd(Status.CANCELED, job.error)
    return holdings.write_and_free(
        "cancel",
        job,
        [
            *conditional_write.finish_actions(end),
            *conditional_write.cancel_actions(by),
            JobRequest.cancel_members.remove(),
        ],
        _same_organization(job)
        & conditional_write.unchanged(job)
        & conditional_write.same(JobRequest.replaced_by, job.replaced_by)
        & JobRequest.status.is_in(
            Status.SCHEDULED, Status.WAITING, Status.QUEUED, Status.RETRYABLE
        ),
        already_applied=lambda row: row.status is Status.CANCELED,
        release=holdings.Release.everything(job, end),
    )


def request_cancel(job: JobRequest, *, by: str | None = None) -> Change:
    """Ask a running job to stop. It stops when it next writes a checkpoint.

    Raises PreconditionFailed if the job isn't running.
    """
    return conditional_write.write(
        "request_cancel",
        job,
        [JobRequest.cancel_requested.set(True), *conditional_write.cancel_actions(by)],
        _same_organization(job) & (JobRequest.status == Status.RUNNING),
        # As long as the job runs, the condition also holds after this write. So after a refusal,
        # the job no longer runs. The write has succeeded if the job was canceled because of it.
        already_applied=lambda row: bool(row.cancel_requested) and row.status is Status.CANCELED,
    )


def requeue(
    job: JobRequest,
    *,
    max_attempts: int,
    payload: Any = None,
    by: str | None = None,
    counted: bool = False,
    unique_key: str | None = None,
    member_mark: str | None = None,
    more_writes: Sequence[RecordWrite] = (),
) -> Change:
    """Queue a failed or canceled job again, with its full number of attempts and invocations.

    - `payload`: a new payload, with which the job starts over without its earlier steps and
      children. If it is None, the job resumes at its cursor.
    - `counted`: whether a quota limits the organization's unfinished jobs
    - `unique_key`: the key that the job takes again, if its work is unique
    - `member_mark`: the `mark` of the job's new marker, if it is in a group
    - `more_writes`: other writes of the same transaction

    Raises PreconditionFailed if the job has neither failed nor been canceled, or if it has changed
    since it was read. Raises RaceLost if one of `more_writes` is refused. Raises KeyTaken if
    another job has the key, and MissingObject if the payload is gone.
    """
    # Prepare this record first, because it contains the current time, and nothing that the requeue
    # causes may look older.
    act_write = acts.retry_write(job, by)
    # The bucket's lifecycle rule deletes an object some time after its last write. Write a large
    # payload again, so that it outlives the row.
    new_payload = blobs.get(job.payload, job.payload_key) if payload is None else payload
    inline, object_key = blobs.put(f"payloads/{job.created_key}", new_payload)
    actions = [
        *conditional_write.queue_actions(job, Lane.QUEUED),
        *_reset_actions(job, max_attempts),
        set_or_remove(JobRequest.payload_key, object_key),
        set_or_remove(JobRequest.payload, inline),
        set_or_remove(JobRequest.requeued_by, by),
    ]
    if unique_key is not None:
        actions += [
            JobRequest.unique_key.set(unique_key),
            # Later requests for the same work may postpone the job, up to some time after this.
            JobRequest.first_run_at.set(clock.now()),
            # If such a request replaces the payload, the job must start over.
            JobRequest.resumes.set(True),
        ]
    if member_mark is not None:
        actions.append(JobRequest.member_mark.set(member_mark))
    if counted:
        index_key = unfinished_key(job.organization_id, job.batch_total)
        actions.append(JobRequest.unfinished_organization.set(index_key))
    if payload is not None:
        actions += conditional_write.restart_actions(job)
        # The next claim determines the concurrency key of the new payload.
        actions.append(JobRequest.concurrency_key.remove())

    def write(key_writes: list[RecordWrite]) -> Change:
        return conditional_write.write(
            "requeue",
            job,
            actions,
            _same_organization(job)
            & JobRequest.status.is_in(Status.FAILED, Status.CANCELED)
            & (JobRequest.finished_at == job.finished_at)
            & (JobRequest.expires_at > clock.now() // clock.SECOND),
            # Another caller may have requeued the job with another payload.
            already_applied=lambda row: (
                not row.status.finished and (row.payload, row.payload_key) == (inline, object_key)
            ),
            more_writes=[*more_writes, *key_writes, act_write],
            needs_message=True,
        )

    if unique_key is None:
        return write([])
    from job_runners.store import uniqueness  # imported here because most jobs have no key

    return uniqueness.save_with_key(unique_key, job, write)


# The fields of a row that a requeue removes.
_FIELDS_OF_LAST_RUN = (
    "attempt_started_at",
    "started_at",
    "finished_at",
    "expires_at",
    "run_at",
    "error",
    "result_message",
    "cancel_requested",
    "claim_token",
    "send_id",
    "failed_organization",
    "failed_key",
    "canceled_by",
    "cancel_asked_at",
    "wait_count",
    "cancel_members",
)


def _reset_actions(job: JobRequest, max_attempts: int) -> list[Action]:
    """Return the actions that clear a row's data about the last run, except its errors."""
    actions = [
        JobRequest.attempt.set(1),
        JobRequest.max_attempts.set(max_attempts),
        JobRequest.invocations.set(0),
        *(getattr(JobRequest, name).remove() for name in _FIELDS_OF_LAST_RUN),
    ]
    if job.error:
        actions.append(JobRequest.earlier_errors.set(earlier_errors.after_end(job)))
    return actions


def delete(job: JobRequest) -> None:
    """Delete a finished job: its row, then its records and objects.

    If the job is in a group, the group records the deletion. Raises PreconditionFailed if the job
    isn't finished.
    """
    if job.member_of is not None:
        from job_runners.store import groups  # imported here because most jobs are in no group

        groups.note_deleted(job.member_of, job.id)
    delete_row(job)
    # If the process dies here, the bucket's lifecycle rule and the table's TTL delete the rest.
    delete_records(job)
    if bucket.is_configured():
        for folder in (*job.data_folders, job.result_folder):
            bucket.delete_all(folder)


def delete_row(job: JobRequest) -> None:
    """Delete the row of a finished job, if it still exists.

    Raises PreconditionFailed if the job isn't finished.
    """
    is_finished = JobRequest.status.is_in(Status.SUCCEEDED, Status.FAILED, Status.CANCELED)
    # Since the row was read, another job may have got this id.
    is_same_job = JobRequest.created_key == job.created_key
    condition = _same_organization(job) & is_same_job & is_finished
    try:
        retry_on_conflict(lambda: job.delete(condition))
    except DeleteError as error:
        if not condition_failed(error):
            raise
        row = read(job.id)
        row_exists = row is not None and row.created_key == job.created_key
        if row_exists:
            raise conditional_write.refusal_error("delete", job.id, row) from error


def delete_records(job: JobRequest) -> dict[str, int]:
    """Delete a job's records other than its row, and return their counts by kind.

    `job-runners erase` calls this too. If you add a kind of record, delete it here.
    """
    counts = {}
    if job.has_waited:
        # imported here because most jobs don't wait
        from job_runners.store import answer_links, groups, signals

        # The steps name the groups and links, so delete the steps last.
        counts["group records"] = groups.delete(job)
        counts["signals"] = answer_links.delete(job) + signals.delete(job)
    counts["steps"] = steps.delete(job)
    return counts


def _same_organization(job: JobRequest) -> Condition:
    condition: Condition = JobRequest.organization_id == job.organization_id
    return condition
