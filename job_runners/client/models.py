"""The models of jobs, their timelines, tasks and pauses that the client returns."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from job_runners.client.errors import JobRunnersError
from job_runners.client.from_json import FromJson
from job_runners.values import field

FINISHED = frozenset({"succeeded", "failed", "canceled"})


class JobError(FromJson):
    """The error of an attempt.

    - `kind` is the name of the error's class.
    - `module` is the name of the class's module, or None for a class of Python or of Job Runners.
    - `module` and `traceback` are set only in a job that `get` or `wait` returned, for callers who
    may see them.
    - `attempt` and `at` are set only in errors of earlier attempts.
    """

    kind: str | None
    message: str | None
    traceback: str | None = None
    attempt: int | None = None
    at: datetime | None = None
    module: str | None = None


class WaitsFor(FromJson):
    """Why a job waits.

    `kind` is one of:

    - `job_type` or `queue`: the job type or queue `name` is paused.
    - `line`: the queue `name` has no free slot for this `key`, or the key has used up its rate. The
    key is "*" if the queue's limits aren't per key (it has no `per`), or if the job lacks the value
    that `per` names. The key is None if it comes from the payload and the caller is a viewer.
    - `job`: the job with the id `name` does the same work and must end first.
    - `time`: the job's function called `sleep` with this `name`. It has slept since `since`, and
    wakes at `until`.
    - `signal`: the job waits in its function for any of the signals `names`, since the time `since`
    and at most until `until`.
    - `group`: the job waits in its function for all jobs of its group `name`. It began to dispatch
    them at `since`, and fails if some have not ended at `until`.

    For the other kinds, `since` and `until` are None, and `names` is empty.
    """

    kind: str
    name: str
    key: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    names: tuple[str, ...] = ()


class FollowUp(FromJson):
    """A job that was dispatched when another job ended. `kind` is `on_end` or `on_failure`."""

    kind: str
    job_type: str
    id: str


class Job(FromJson, kw_only=True):
    """A job at the time of the API's response.

    - `status` is `scheduled`, `waiting`, `queued`, `running`, `retryable`, `succeeded`, `failed` or
    `canceled`.
    - `progress` is in percent.
    - `payload`, `result`, `earlier_errors`, `follow_ups`, `notes` and `worker` are set only in a
    job that `get` or `wait` returned.
    - `worker` is the job's worker class. None is the default worker.
    - `retry_after` is the number of seconds to wait before the next poll.
    - `replayed` is True if a dispatch found the job with the same idempotency key.
    - `unique_outcome` is set if a dispatch of a unique type found another job for the same work:
    `returned` (this is that job, unchanged), `replaced` (this is that job, with the new payload and
    time) or `follows` (this is a new job that starts after that job).
    """

    id: str
    job_type: str
    status: str
    progress: float = 0
    result_message: str | None = None
    error: JobError | None = None
    result: Any = None
    payload: Any = None
    cancel_requested: bool = False
    organization_id: str | None = None
    queue_name: str | None = None
    attempt: int | None = None
    max_attempts: int | None = None
    invocations: int | None = None
    created_at: datetime | None = None
    queued_at: datetime | None = None
    run_at: datetime | None = None
    waiting_since: datetime | None = None
    waits_for: WaitsFor | None = None
    attempt_started_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    updated_at: datetime | None = None
    expires_at: datetime | None = None
    request_id: str | None = None
    created_by: str | None = None
    requeued_by: str | None = None
    canceled_by: str | None = None
    parent_id: str | None = None
    group: str | None = None
    follow_up_of: str | None = None
    on_end: str | None = None
    on_failure: str | None = None
    follow_ups: tuple[FollowUp, ...] = ()
    earlier_errors: tuple[JobError, ...] = ()
    notes: tuple[str, ...] = ()
    replayed: bool = False
    unique_key: str | None = None
    worker: str | None = None
    unique_outcome: str | None = None
    retry_after: float | None = field(default=None, compare=False)

    @property
    def message(self) -> str | None:
        """The message of the job's last checkpoint: `result_message`."""
        return self.result_message

    @property
    def finished(self) -> bool:
        """Whether the job has ended: succeeded, failed or canceled."""
        return self.status in FINISHED or self.finished_at is not None

    @property
    def succeeded(self) -> bool:
        """Whether the job has succeeded."""
        return self.status == "succeeded"

    def get_result(self) -> Any:
        """Return the result, if `get` or `wait` returned this job.

        Raises JobFailed, JobCanceled, or JobUnfinished.
        """
        if self.succeeded:
            return self.result
        if self.status == "canceled":
            raise JobCanceled(self)
        if self.finished:
            raise JobFailed(self)
        raise JobUnfinished(self)


class JobFailed(JobRunnersError):
    """The job has no result, because it failed."""

    def __init__(self, job: Job) -> None:
        error = job.error
        why = f"{error.kind}: {error.message}" if error else "the API returned no reason"
        super().__init__(f"Job {job.id} ({job.job_type}) has failed: {why}.")
        self.job = job


class JobCanceled(JobRunnersError):
    """The job has no result, because it was canceled."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"Job {job.id} ({job.job_type}) was canceled.")
        self.job = job


class JobUnfinished(JobRunnersError, TimeoutError):
    """`wait` has timed out, or the job has no result yet. The job continues.

    `job` is its last known state.
    """

    def __init__(self, job: Job, seconds: float | None = None) -> None:
        after = "" if seconds is None else f" after {seconds:g} s"
        super().__init__(
            f"Job {job.id} ({job.job_type}) is {job.status}{after}.",
            "The job isn't affected. Call `wait` again to keep waiting.",
        )
        self.job = job


class Child(FromJson):
    """A job that another job, its parent, has dispatched with a key.

    `job` is None if the job was deleted. `group` is the name of the parent's group that the child
    is in. `key` is None if the caller has the role viewer, which may not see keys.
    """

    key: str | None
    id: str
    job: Job | None
    group: str | None = None


class FailedTask(FromJson):
    """A task that failed permanently.

    `payload` is None unless the stack keeps payloads. `worker` is None unless the task has a worker
    class. If the task was resent and hasn't started since, `redriven_at` is the time of the resend,
    and `redriven_as` is the new id.
    """

    id: str
    task_name: str
    failed_at: datetime
    attempt: int
    error_kind: str
    error_message: str
    payload: Mapping[str, Any] | None
    redriven_at: datetime | None = None
    redriven_as: str | None = None
    worker: str | None = None

    @classmethod
    def of(cls, value: Mapping[str, Any], **more: Any) -> Self:
        """Return a failed task from the API's JSON."""
        error = {f"error_{name}": value["error"][name] for name in ("kind", "message")}
        return super().of(value, **error, **more)


class Pause(FromJson):
    """The pause of a `job_type` or `queue`.

    `waiting` is the number of jobs that the pause holds, counted up to 1,000. It is None if the
    caller may not see it. The oldest of these jobs could have run since `oldest_queued_at`.
    """

    kind: str
    name: str
    paused_at: datetime | None = None
    paused_by: str | None = None
    waiting: int | None = None
    more_waiting: bool = False
    oldest_waiting_since: datetime | None = None
    oldest_queued_at: datetime | None = None


class JobTypes(FromJson):
    """The job types and tasks of a stack.

    Each has `name`, `description` and `payload_schema`. A job type also has `queue_name`, `queues`
    (the queues that a dispatch may name) and `retry`.
    """

    jobs: tuple[Mapping[str, Any], ...]
    tasks: tuple[Mapping[str, Any], ...]


class TimelineRecord(FromJson, kw_only=True):
    """An invocation, step, wait or child of a job, with its times.

    - `kind` is `invocation`, `step`, `sleep`, `signal`, `group` or `child`.
    - `name` is the name of the step, wait, signal or group, or the key of the child. For a failed
    invocation, it is the step that raised the error. Callers with the role viewer get no names.
    - `claim` is the number of the invocation, or of the invocation in which the record began. A
    worker starts each invocation with a claim.
    - `run` is 1 until the job is retried manually, and one higher after each such retry.
    - `ready_at` is when a worker could have begun the invocation.
    - `error` is the class name of the error of a failed invocation.
    - `by` is the caller that sent the signal.
    - `id` is the child's id.
    - `ended_at` and `outcome` are None until the record has ended.
    """

    kind: str
    began_at: datetime
    name: str | None = None
    claim: int | None = None
    attempt: int | None = None
    run: int | None = None
    ready_at: datetime | None = None
    until: datetime | None = None
    ended_at: datetime | None = None
    outcome: str | None = None
    error: str | None = None
    by: str | None = None
    id: str | None = None


class Act(FromJson):
    """Something that a caller did with a job: `dispatched`, `replaced`, `canceled` or `retried` it.

    If the job was dispatched to continue a finished job from a step, `rerun_of` is the id of the
    finished job.
    """

    at: datetime
    what: str
    by: str | None = None
    rerun_of: str | None = None


class Timeline(FromJson):
    """The timeline of a job: its `records` and the `acts` of callers, in chronological order.

    `gaps` are the numbers of claims whose invocations weren't recorded. `complete` is False if the
    job has more records than a response can have.
    """

    records: tuple[TimelineRecord, ...]
    acts: tuple[Act, ...]
    gaps: tuple[int, ...] = ()
    complete: bool = True
