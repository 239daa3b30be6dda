"""The errors of Job Runners. Each message says what happened and what to do.

JobRunnersError
    MissingSetting, InvalidSetting, InvalidDefinition    configuration, at start
    UnknownName, InvalidPayload, PayloadTooLarge, ...    requests: the caller can fix these
    SendFailed, MalformedMessage, PreconditionFailed     messages and the store
    Interrupted, TimedOut, InvocationsSpent, ...         reasons why a job failed
    DoNotRetry, NotDeployed, RetryAfter                  for job and task code to raise
    errors of a single package, which that package defines:
        engine/errors.py            signals, links, limits, webhooks, schedules
        engine/registry/errors.py   what the app declares, and failed tasks
        work/errors.py              misuse of a running job
        api/errors.py               HTTP requests
        aws/clients.py              services without a client; aws/errors.py judges AWS's own errors
        shipped/webhooks/errors.py, shipped/jobs/outputs.py    deliveries that were refused
        building/app_folder.py, building/samconfig.py          projects that can't be built

The client, which needs nothing else of this package, has a tree of its own: client/errors.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


class JobRunnersError(Exception):
    """The base class of every error of Job Runners.

    The class name of the error that ends a job is stored in the job's row, as the error's `kind`.
    """


# --- configuration: raised at start, never in the middle of a job ---------------------------------


class MissingSetting(JobRunnersError):
    """An environment variable that this process needs is not set."""

    def __init__(self, variable: str, needed_by: str) -> None:
        super().__init__(f"{variable} is not set, but {needed_by} needs it. Set it.")


class InvalidSetting(JobRunnersError):
    """An environment variable has an invalid value."""

    def __init__(self, variable: str, value: str, expected: str) -> None:
        super().__init__(f"{variable}={value!r} is invalid. Use {expected}.")


class InvalidDefinition(JobRunnersError):
    """The app defines a job or a task incorrectly, or its JOBS or TASKS has an invalid item."""


# --- requests: the caller can fix these ----------------------------------------------------------


class UnknownName(JobRunnersError):
    """No job, or no task, has this name."""

    kind = "name"  # what the message calls it

    def __init__(self, name: str, known: Iterable[str]) -> None:
        from difflib import get_close_matches  # imported here because only this error needs it

        nearest = get_close_matches(name, list(known), n=1)
        hint = "List the names with `job-runners types` or GET /job-types."
        if nearest:
            hint = f"Did you mean {nearest[0]!r}?"
        super().__init__(f"No {self.kind} is named {name!r}. {hint}")


class UnknownJobType(UnknownName):
    """No job has this name."""

    kind = "job"


class InternalJobType(UnknownJobType):
    """A job type is internal, so this caller or job can't dispatch it."""

    def __init__(self, name: str) -> None:
        JobRunnersError.__init__(  # skips UnknownName, which has another message
            self,
            f"The job type {name!r} is internal: only Job Runners or certain job types "
            "dispatch it. Dispatch a job of another type, or use POST /batches for a batch. To "
            "repeat a failed job of this type, retry it without a payload.",
        )


class UnknownTask(UnknownName):
    """No task has this name."""

    kind = "task"


class InvalidPayload(JobRunnersError):
    """A payload doesn't match its model. `problems` has one item for each invalid field."""

    def __init__(self, name: str, problems: Sequence[Mapping[str, str]]) -> None:
        first = problems[0]
        description = f"{first['field']}: {first['why']}"
        if len(problems) > 1:
            description += f" (and {len(problems) - 1} more)"
        super().__init__(f"The payload of {name} doesn't match its model: {description}.")
        self.problems = problems


class InvalidFollowUp(JobRunnersError):
    """A job type can't be the follow-up of a job. `field` is "on_end" or "on_failure"."""

    def __init__(self, field: str, job_type: str, why: str) -> None:
        super().__init__(f"{field}: the job type {job_type!r} can't be a follow-up: {why}")
        self.problems = [{"field": field, "why": why}]


class PayloadTooLarge(JobRunnersError):
    """A payload or another JSON value is too large. `size` and `limit` are in bytes of JSON."""

    def __init__(self, what: str, size: int, limit: int, advice: str) -> None:
        super().__init__(f"{what} has {size:,} bytes. The limit is {limit:,}. {advice}")


class QueueFull(JobRunnersError):
    """A queue has too many waiting jobs, or the requested jobs would exceed its limit.

    `queue_name` is the full queue. A program that dispatches to several queues may go on with the
    others.
    """

    retry_after = 10  # seconds: waiting jobs are counted again only after this time

    def __init__(self, queue_name: str, limit: int, requested: int = 1) -> None:
        if requested == 1:
            message = (
                f"Queue {queue_name!r} is full: {limit:,} jobs are waiting. "
                "Dispatch again after some of them have started."
            )
        else:
            message = (
                f"Queue {queue_name!r} may have {limit:,} waiting jobs, and {requested:,} more "
                "would exceed that. Dispatch fewer at once, or dispatch again after some have "
                "started."
            )
        super().__init__(message)
        self.queue_name = queue_name


class QuotaReached(JobRunnersError):
    """An organization has reached its quota of unfinished jobs, or the request would exceed it."""

    retry_after = 10  # seconds: unfinished jobs are counted again only after this time

    def __init__(self, organization_id: str, quota: int, requested: int = 1) -> None:
        if requested == 1:
            message = (
                f"Organization {organization_id!r} has reached its quota of {quota:,} unfinished "
                "jobs. Dispatch again after some of them have ended."
            )
        else:
            message = (
                f"Organization {organization_id!r} may have {quota:,} unfinished jobs, and "
                f"{requested:,} more would exceed that. Dispatch fewer at once, or dispatch again "
                "after some have ended."
            )
        super().__init__(message)


class InvalidCursor(JobRunnersError):
    """A list cursor didn't come from this API, or belongs to another list."""

    def __init__(self) -> None:
        super().__init__("The cursor isn't valid for this list. Repeat the request without it.")


class RunnerCannotResend(JobRunnersError):
    """The configured runner lacks send(), so it can't send the job to a worker again.

    `reason` says why the job must be sent again, such as "has a retry policy".
    """

    def __init__(self, job_type: str, reason: str) -> None:
        super().__init__(
            f"{job_type!r} {reason}. That requires a runner with send(), "
            "and the runner in JOB_RUNNER has none."
        )


class GroupExpired(JobRunnersError):
    """A group has taken so long that the rows of its first members may soon expire.

    A group is a set of jobs that another job waits for. These jobs are its members.
    """

    def __init__(self, days: int) -> None:
        super().__init__(
            f"After {days} days, some members of the group had not ended, or were not dispatched "
            "yet. Rows of members that ended are deleted soon. Raise RetentionDays if groups take "
            "this long, or cancel members that can't end."
        )


class ChildExpired(JobRunnersError):
    """A job can't tell whether one of its earlier invocations dispatched a child.

    The child's row may have been deleted since, so dispatching it now might run it twice.
    """

    def __init__(self, days: int) -> None:
        super().__init__(
            f"{days} days ago, a worker of this job stopped and may have dispatched a child "
            "without recording it. The child's row may have been deleted since, so "
            "dispatching the child now might run it twice. Check which children have run, and "
            "dispatch the others in a new job."
        )


class JobNotFound(JobRunnersError):
    """No job has this id, or it has expired, or it belongs to another organization."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"No job has the id {job_id!r}. It may have expired or been deleted.")
        self.job_id = job_id


class IdempotencyConflict(JobRunnersError):
    """An idempotency key belongs to another request."""

    def __init__(self, key: str, job_id: str) -> None:
        super().__init__(
            f"The idempotency key {key!r} belongs to another request (job {job_id}). Use a new key."
        )
        self.job_id = job_id


class UniqueConflict(JobRunnersError):
    """A job of a unique type was refused, because the job `job_id` is already doing its work."""

    def __init__(self, job_type: str, job_id: str) -> None:
        super().__init__(
            f"{job_type!r} is unique, and job {job_id} is doing the same work. "
            "Wait until it ends, or cancel it."
        )
        self.job_id = job_id


class WrongState(JobRunnersError):
    """The status of a job doesn't allow the requested change."""

    def __init__(self, job_id: str, status: str, change: str, required: str) -> None:
        # For example, `required` is "that has ended", and `change` is "deleted".
        super().__init__(f"Job {job_id} is {status}. Only a job {required} can be {change}.")
        self.job_id = job_id


class RerunRefused(JobRunnersError):
    """A finished job can't be rerun from the requested step."""

    def __init__(self, job_id: str, why: str) -> None:
        super().__init__(f"Job {job_id} can't be rerun from there: {why}.")
        self.job_id = job_id


# --- messages and the store -----------------------------------------------------------------------


class SendFailed(JobRunnersError):
    """A message could not be sent.

    If the message was about a saved job, the timer function sends it later. A task isn't sent
    again.
    """

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"Could not send {what}: {why}")
        self.what = what


class SendInDoubt(SendFailed):
    """The request to send a task got no response, so it is unknown whether AWS accepted the task.

    Sending the task again could run it twice, so the caller decides.
    """

    def __init__(self, what: str, why: str) -> None:
        JobRunnersError.__init__(  # skips SendFailed, which has another message
            self, f"It is unknown whether {what} was sent, so it isn't sent again: {why}"
        )
        self.what = what


class MalformedMessage(JobRunnersError):
    """An event that isn't a Job Runners message."""


class UnknownMessageVersion(JobRunnersError):
    """A message has a version that this code can't read, because a deploy is in progress."""

    def __init__(self, version: object) -> None:
        super().__init__(f"This code can't read message version {version!r}.")


class NotReached(JobRunnersError):
    """A bulk request ran out of time before it saved this job, or may not have saved it."""

    def __init__(self) -> None:
        super().__init__(
            "The job was not reached in time, or AWS didn't answer. Repeat the request with the "
            "same key: jobs that are saved already stay unchanged."
        )


class PreconditionFailed(JobRunnersError):
    """DynamoDB refused a write because the row isn't in a state that the write allows.

    `row` is the row as read after the refusal, or None if it is gone. `state` describes the row.
    """

    def __init__(self, transition: str, job_id: str, state: str, row: Any = None) -> None:
        super().__init__(f"The write {transition!r} was refused for job {job_id}: it is {state}.")
        self.job_id = job_id
        self.row = row


class MissingObject(JobRunnersError):
    """A payload or result that was stored in the bucket is no longer there."""

    def __init__(self, key: str) -> None:
        super().__init__(f"The object {key!r} is missing from the bucket.")


class ObjectChanged(JobRunnersError):
    """An object was replaced while it was being read in parts."""

    def __init__(self, key: str) -> None:
        super().__init__(f"The object {key!r} was replaced while it was being read.")


class Interrupted(JobRunnersError):
    """An attempt ended before it could report: its worker was killed or ran out of memory.

    `how` describes how it ended, as far as that is known.
    """

    def __init__(self, how: str) -> None:
        super().__init__(
            f"The attempt was interrupted: {how}. It may already have had side effects."
        )
        self.how = how


class TimedOut(JobRunnersError):
    """An attempt exceeded its time limit."""

    def __init__(self, seconds: float, *, own_timeout: bool, in_api: bool = False) -> None:
        if own_timeout:
            limit = f"its timeout of {seconds:g} s"
        elif in_api:
            limit = "the time limit of the API function, which runs all work with JobRunner=legacy"
        else:
            limit = "the worker's time limit"
        super().__init__(f"The attempt exceeded {limit}. It may already have had side effects.")


class InvocationsSpent(JobRunnersError):
    """A job used up its Lambda invocations without finishing."""

    def __init__(self, invocations: int) -> None:
        super().__init__(
            f"The job didn't finish within {invocations} Lambda invocations. "
            "Check its progress, or raise Job(max_invocations=)."
        )


class NeverStarted(JobRunnersError):
    """No worker claimed a job within its `start_within`.

    `missing_type` is the job's type if this deploy lacks it.
    """

    def __init__(self, seconds: float, *, missing_type: str | None = None) -> None:
        why = f" This deploy has no job type {missing_type!r}." if missing_type else ""
        super().__init__(
            "The job never started: no worker claimed it "
            f"within {seconds:g} s of being queued.{why}"
        )


class JobTypeRemoved(JobRunnersError):
    """A job had started, but newer deploys no longer include its type."""

    def __init__(self, job_type: str, days: float) -> None:
        super().__init__(f"No deploy has included the job type {job_type!r} for {days:g} days.")


class PauseExpired(JobRunnersError):
    """A job waited for longer than its payload is kept.

    Despite this error's name, a pause is only one reason: the job may also have waited for capacity
    in its queue (`in_line`), or for another job to end (`is_follower`).
    """

    def __init__(self, days: float, *, in_line: bool = False, is_follower: bool = False) -> None:
        if is_follower:
            waited_for = "for the job before it to end"
        elif in_line:
            waited_for = "for capacity in its queue"
        else:
            waited_for = "for a pause to end"
        super().__init__(f"The job waited {days:g} days {waited_for}.")


# --- for job and task code to raise ---------------------------------------------------------------


class DoNotRetry(JobRunnersError):
    """A job or task raises this to fail without a retry, even if it has a retry policy."""


class NotDeployed(DoNotRetry):
    """A job raises this if it needs code that this deploy lacks, but the next deploy may have.

    Raise it before any side effect. The job starts again later without using an attempt. After an
    hour, it fails. A task that raises this fails at once.
    """


class RetryAfter(JobRunnersError):
    """A job or task with a retry policy raises this to be retried after this many seconds.

    `payload` is the payload of a task's next attempt, if it differs from this attempt's.
    """

    def __init__(
        self, seconds: float, why: str = "asked to wait", *, payload: Any | None = None
    ) -> None:
        super().__init__(f"{why}; retry after {seconds:g} s")
        self.seconds = seconds
        self.payload = payload
