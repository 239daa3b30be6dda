"""The model of the jobs table, JobRequest. Each job is a row of that table.

Rows are changed only by the transitions in `job_runners.store.transitions` and
`job_runners.store.caller_transitions`. The fields are in `job_runners.store.job_fields`.
"""

import json
import uuid
from enum import StrEnum
from hashlib import sha256
from typing import Any, NamedTuple
from zlib import crc32

from pynamodb.attributes import UnicodeAttribute
from pynamodb.indexes import GlobalSecondaryIndex, KeysOnlyProjection

from job_runners import clock
from job_runners.store import job_fields as fields
from job_runners.store.table import Integer, Table

Status = fields.Status  # other modules import it from here

# This code claims only rows up to this version. When you add a kind of row that older code would
# misread, raise the version, and write it into rows of that kind.
ROW_VERSION = 1
# The number of shards in each `Lane`. Never lower it, because rows keep their shards.
DUE_SHARDS = 8


class DuplicateAnswer(StrEnum):
    """How a request for a unique job was answered when another job already had its key."""

    RETURNED = "returned"  # with the other job, which stays unchanged
    REPLACED = "replaced"  # with the other job, which got the payload and time of this request
    FOLLOWS = "follows"  # with a new job, which waits for the end of the other one


class DuplicateOutcome(NamedTuple):
    """The answer to a request for a unique job whose key another job already had."""

    outcome: DuplicateAnswer
    is_repeated: bool = False  # whether an earlier try of the same request got this answer
    is_sent: bool = True  # False if a message about the job still has to be sent


class Lane(StrEnum):
    """The kind of check for which a row is due. A row's `due_shard` begins with its lane.

    The timer function finds rows in an index that contains only keys. Lanes separate kinds of rows
    before these are read, so that 100,000 rows of one kind don't delay those of another.
    """

    PROMPT = ""  # act without delay: start the job, or check whether its lease has expired
    QUEUED = "queued-"  # check whether the job's message arrived, or send a postponed message
    RESENT = "resent-"  # the timer has sent the job again; check whether a worker has claimed it
    WAITS = "waits-"  # check whether its wait for a signal or a group is over
    HELD = "held-"  # check whether it still waits for a resume, capacity, another job or a deploy


class ByOrganizationIndex(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """An organization's jobs, ordered by the time of their creation."""

    class Meta:
        index_name = "by_organization"
        projection = KeysOnlyProjection()

    organization_id = UnicodeAttribute(hash_key=True)
    created_key = UnicodeAttribute(range_key=True)


class DueIndex(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """Unfinished rows, ordered by the time at which the timer must check them.

    Each lane has several shards, because a single one would be a hot key and throttle the table.
    """

    class Meta:
        index_name = "due"
        projection = KeysOnlyProjection()

    due_shard = UnicodeAttribute(hash_key=True)
    due_at = Integer(range_key=True)


class FailedIndex(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """An organization's failed jobs, ordered by the time of their failure."""

    class Meta:
        index_name = "failed"
        projection = KeysOnlyProjection()

    failed_organization = UnicodeAttribute(hash_key=True)
    failed_key = UnicodeAttribute(range_key=True)


def unfinished_key(organization_id: str, batch_total: int | None) -> str:
    """Return the hash key of a job in the index `unfinished`. Only batches have a `batch_total`."""
    return organization_id if batch_total is None else f"{organization_id}#batches"


class UnfinishedIndex(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """An organization's unfinished jobs, if the stack has a quota for them.

    Batches have a separate hash key, because the quota also counts the members that they have yet
    to dispatch. Unlike a separate counter, an index always agrees with the rows in the end.
    """

    class Meta:
        index_name = "unfinished"
        projection = KeysOnlyProjection()

    unfinished_organization = UnicodeAttribute(hash_key=True)
    created_key = UnicodeAttribute(range_key=True)


class JobRequest(
    fields.RequestFields,
    fields.ClaimFields,
    fields.TimeFields,
    fields.CapacityFields,
    fields.WaitFields,
    fields.GroupFields,
    fields.UniqueFields,
    fields.FollowUpFields,
    fields.IndexFields,
    Table,
):
    """The row of one job: its request, progress and outcome.

    Each base class has the fields of one feature.
    """

    class Meta:
        table_name = ""  # set before each use, from `table_setting`

    table_setting = "JOBS_TABLE_NAME"
    how_erased = "one by one, by job_runners.erasing"

    by_organization = ByOrganizationIndex()
    due = DueIndex()
    failed = FailedIndex()
    unfinished = UnfinishedIndex()

    @property
    def has_follow_ups(self) -> bool:
        """Return whether the row names follow-ups."""
        return not (self.on_end is None and self.on_failure is None and self.announcement is None)

    @property
    def past_ttl(self) -> bool:
        """Return whether DynamoDB's TTL may delete the row. Readers treat such a row as gone."""
        return self.expires_at is not None and self.expires_at * clock.SECOND <= clock.now()

    @property
    def work_id(self) -> str:
        """Return the id under which the job's steps and signals are stored.

        It changes when the job starts over with a new payload. The job's `id` doesn't change then,
        and another job can get it once this one has expired or was deleted.
        """
        return self.work_ids[-1]

    @property
    def work_ids(self) -> list[str]:
        """Return the job's current `work_id` and all earlier ones, oldest first."""
        restarts = range(1, (self.restarts or 0) + 1)
        return [self.created_key, *(f"{self.created_key}/{number}" for number in restarts)]

    @property
    def result_folder(self) -> str:
        """Return the folder in the bucket for result files, which the job's organization gets."""
        return f"results/{self.organization_id}/{self.created_key}"

    @property
    def work_folder(self) -> str:
        """Return the folder in the bucket for data that the job passes to its next invocation.

        Like the `work_id`, it changes when the job starts over.
        """
        return f"partial/{self.work_id}"

    @property
    def data_folders(self) -> tuple[str, str]:
        """Return the folder of the job's large payloads, and the folder of all its work folders."""
        return f"payloads/{self.created_key}", f"partial/{self.created_key}"

    @property
    def has_begun(self) -> bool:
        """Return whether a worker has begun it since it was saved or last requeued.

        A claim that was released doesn't count.
        """
        return self.invocations > 0

    @property
    def counted_invocations(self) -> int:
        """Return the number of invocations that count: `max_invocations` doesn't limit waits."""
        return max(0, self.invocations - (self.wait_count or 0))

    @property
    def starts_in(self) -> int:
        """Return the milliseconds until its `run_at`, or 0 if it doesn't wait for that time."""
        if not self.status.timed:
            return 0
        return max(0, (self.run_at or 0) - clock.now())

    @property
    def could_run_at(self) -> int:
        """Return the time from which a worker could claim it.

        This is when it was last queued or admitted, or its `run_at` if that is later.
        """
        return max(self.queued_at or self.created_at, self.run_at or 0)

    @property
    def state(self) -> str:
        """Return the status, attempt and invocation as text, for logs and errors."""
        attempt = f"attempt {self.attempt} of {self.max_attempts}"
        return f"{self.status} ({attempt}, invocation {self.invocations})"


def new_id() -> str:
    """Return a new id with 122 random bits.

    The operating system generates them, so processes that Lambda restores from one snapshot get
    different ids.
    """
    return uuid.uuid4().hex


def derived_id(kind: str, *parts: str) -> str:
    """Return an id that depends only on the arguments."""
    return sha256(json.dumps([kind, *parts]).encode()).hexdigest()[:32]


def id_for_idempotency_key(organization_id: str, idempotency_key: str) -> str:
    """Return the id of the job that an organization dispatched under an idempotency key."""
    return derived_id("idempotency", organization_id, idempotency_key)


_TIME_DIGITS = 15  # enough until the year 33658
SORT_KEY_PATTERN = f"[0-9]{{{_TIME_DIGITS}}}[0-9a-f]{{32}}"


def sort_key(milliseconds: int, job_id: str) -> str:
    """Return a unique key that sorts by time: 15 digits of milliseconds, then the job's id."""
    return f"{milliseconds:0{_TIME_DIGITS}d}{job_id}"


def job_id_of(key: str) -> str:
    """Return the job id at the end of a `sort_key`."""
    return key[_TIME_DIGITS:]


def due_shard(job_id: str, lane: Lane) -> str:
    """Return the shard of the due index for a job in this lane."""
    return f"{lane}{crc32(job_id.encode()) % DUE_SHARDS}"


def due_shards(lane: Lane) -> list[str]:
    """Return every shard of a lane."""
    return [f"{lane}{number}" for number in range(DUE_SHARDS)]
