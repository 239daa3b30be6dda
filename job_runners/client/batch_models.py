"""The values about batches and groups that the client returns."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from job_runners.client.errors import JobRunnersError
from job_runners.client.from_json import FromJson
from job_runners.client.models import FINISHED, Job, JobError
from job_runners.values import field


class Group(FromJson, kw_only=True):
    """The numbers of a group's members. `progress` is the percentage of those that have ended.

    `existing` counts the unique members for which another job does the same work. `as_of` is when
    the members were counted, or None if that was at the API's answer.
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
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


class Batch(FromJson, kw_only=True):
    """A batch at the time of the API's answer. Its numbers are as those of a Group.

    `state` is the status of its job, which succeeds even if members fail. `then_id` is the job that
    was dispatched after all members had ended.
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
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def finished(self) -> bool:
        """Whether the batch has ended: succeeded, failed or canceled."""
        return self.state in FINISHED


class BatchMember(FromJson, kw_only=True):
    """A member of a batch.

    `status` is `open`, `succeeded`, `failed`, `canceled`, or `existing` if another job does the
    same work: `id` is then that job. `job` is None if the job was deleted, or never saved. `key`
    is None for a viewer.
    """

    key: str | None
    id: str
    status: str
    error: JobError | None = None
    job: Job | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


class BatchUnfinished(JobRunnersError, TimeoutError):
    """A batch has not ended yet, and continues. `batch` is its last known state."""

    def __init__(self, batch: Batch, seconds: float) -> None:
        super().__init__(
            f"Batch {batch.id} is {batch.state} after {seconds:g} s: {batch.open} of "
            f"{batch.total} members are open.",
            "It continues. Wait for it again.",
        )
        self.batch = batch
