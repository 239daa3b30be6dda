"""The models of batches and groups that the client returns."""

from datetime import datetime

from job_runners.client.errors import JobRunnersError
from job_runners.client.from_json import FromJson
from job_runners.client.models import FINISHED, Job, JobError
from job_runners.values import field


class Group(FromJson, kw_only=True):
    """The counts of a group's members, by outcome.

    - `open` members have not ended, or aren't dispatched yet.
    - `existing` members are of a unique job type, and another job already does their work.
    - `progress` is the percentage of members that have ended.
    - `as_of` is when the members were counted. None means when the API responded.
    """

    name: str
    total: int
    open: int
    succeeded: int
    failed: int
    canceled: int
    existing: int
    progress: float
    as_of: datetime | None = None


class Batch(FromJson, kw_only=True):
    """A batch at the time of the API's response. Group explains the counts of its members.

    - `state` is the status of the job that waits for the members. That job succeeds even if some
    members fail.
    - `then_id` is the id of the job that was dispatched after all members had ended.
    - `replayed` is True if `dispatch_batch` found a batch with the same idempotency key.
    """

    id: str
    state: str
    total: int
    open: int
    succeeded: int
    failed: int
    canceled: int
    existing: int
    progress: float
    as_of: datetime | None = None
    then_id: str | None = None
    error: JobError | None = None
    cancel_requested: bool = False
    organization_id: str | None = None
    created_at: datetime | None = None
    created_by: str | None = None
    finished_at: datetime | None = None
    replayed: bool = False
    retry_after: float | None = field(default=None, compare=False)

    @property
    def finished(self) -> bool:
        """Whether the batch has ended: succeeded, failed or canceled."""
        return self.state in FINISHED


class BatchMember(FromJson, kw_only=True):
    """A member of a batch.

    - `status` is `open`, `succeeded`, `failed` or `canceled`, or `existing` if another job does the
    same work. In that case, `id` is the id of the other job.
    - `job` is None if the job was deleted, or never saved.
    - `key` is None if the caller has the role viewer, which may not see keys.
    """

    key: str | None
    id: str
    status: str
    error: JobError | None = None
    job: Job | None = None


class BatchUnfinished(JobRunnersError, TimeoutError):
    """`wait_batch` has timed out. The batch continues. `batch` is its last known state."""

    def __init__(self, batch: Batch, seconds: float) -> None:
        super().__init__(
            f"Batch {batch.id} is {batch.state} after {seconds:g} s: {batch.open} of "
            f"{batch.total} members are open.",
            "It continues. Wait for it again.",
        )
        self.batch = batch
