"""The model JobRequest: each job is one row of it.

Only the transitions in `job_runners.store.transitions` and `job_runners.store.caller_transitions`
change rows. `job_runners.store.job_fields` has the fields.
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

# The highest row version that this code knows; it can't claim rows of a higher version. If older
# code would misread some new rows, raise this number, and write it into those rows.
ROW_VERSION = 1
# The number of shards in each `Lane`. Never lower it, because a row keeps its shard.
DUE_SHARDS = 8


class Outcome(StrEnum):
    """The result of a request for a unique job when another job already had the key."""

    RETURNED = "returned"  # the response was the other job, which stays unchanged
    REPLACED = "replaced"  # the other job now has the payload and time of this request
    FOLLOWS = "follows"  # the request created a job that waits for the end of the other one


class DuplicateOutcome(NamedTuple):
    """The outcome of a request for a unique job when another job already had the key."""

    outcome: Outcome
    is_repeated: bool = False  # whether an earlier try of the request had the same outcome
    is_sent: bool = True  # False if a message about the job still has to be sent


class Lane(StrEnum):
    """What the timer has to do with a due row. A row's `due_shard` begins with its lane.

    The timer finds rows in an index that contains only keys. With lanes, it can tell kinds of rows
    apart before it reads them, so that 100,000 rows of one kind don't delay those of another.
    """

    PROMPT = ""  # start the job, or check its lease
    QUEUED = "queued-"  # check whether the job's message arrived, or send a postponed message
    RESENT = "resent-"  # the timer has sent the job again; check whether a worker has claimed it
    WAITS = "waits-"  # check whether its wait for a signal or a group is over
    HELD = "held-"  # check whether it still waits for a resume, capacity, another job or a deploy


class ByOrganization(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """An organization's jobs, ordered by the time of their creation."""

    class Meta:
        index_name = "by_organization"
        projection = KeysOnlyProjection()

    organization_id = UnicodeAttribute(hash_key=True)
    created_key = UnicodeAttribute(range_key=True)


class Due(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """Unfinished rows, ordered by the time at which the timer must check them.

    Each lane is spread over shards, because a single one would be a hot key and throttle the table.
    """

    class Meta:
        index_name = "due"
        projection = KeysOnlyProjection()

    due_shard = UnicodeAttribute(hash_key=True)
    due_at = Integer(range_key=True)


class Failed(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """An organization's failed jobs, ordered by the time of their failure."""

    class Meta:
        index_name = "failed"
        projection = KeysOnlyProjection()

    failed_organization = UnicodeAttribute(hash_key=True)
    failed_key = UnicodeAttribute(range_key=True)


def unfinished_key(organization_id: str, batch_total: int | None) -> str:
    """Return the hash key in the index `unfinished` of a job, or of a batch if it has a total."""
    return organization_id if batch_total is None else f"{organization_id}#batches"


class Unfinished(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """An organization's unfinished jobs, if the stack has a quota for them.

    Batches have a hash key of their own, because the quota also counts the members that they will
    dispatch. DynamoDB keeps the index consistent with the rows, whereas a separate count could
    drift.
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
    """The stored row of one job: its request, progress and outcome.

    Each base class from `job_runners.store.job_fields` has the fields of one feature.
    """

    class Meta:
        table_name = ""  # from table_setting, at first use

    table_setting = "JOBS_TABLE_NAME"
    erasure = "one by one, by job_runners.erasing"

    by_organization = ByOrganization()
    due = Due()
    failed = Failed()
    unfinished = Unfinished()

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
        """Return an id for the job's steps and signals since it was saved or last started over.

        The job's id doesn't suffice: it stays the same when the job starts over with a new payload,
        and another job can get that id once this one has expired or was deleted.
        """
        return self.work_ids[-1]

    @property
    def work_ids(self) -> list[str]:
        """Return the job's current `work_id` and all earlier ones, oldest first."""
        later = [f"{self.created_key}/{number}" for number in range(1, (self.restarts or 0) + 1)]
        return [self.created_key, *later]

    @property
    def result_folder(self) -> str:
        """Return the folder in the bucket for the files that the job makes for its organization."""
        return f"results/{self.organization_id}/{self.created_key}"

    @property
    def data_folders(self) -> tuple[str, str]:
        """Return the folders in the bucket for its payloads, and for all of its work."""
        return f"payloads/{self.created_key}", f"partial/{self.created_key}"

    @property
    def work_folder(self) -> str:
        """Return the folder in the bucket for data for its later invocations and attempts."""
        return f"partial/{self.work_id}"

    @property
    def has_begun(self) -> bool:
        """Return whether it was claimed since it was saved or last requeued.

        A claim that was released doesn't count.
        """
        return self.invocations > 0

    @property
    def counted_invocations(self) -> int:
        """Return the number of its invocations, except those that ended in a wait."""
        return max(0, self.invocations - (self.wait_count or 0))

    @property
    def starts_in(self) -> int:
        """Return the milliseconds until its start time, or 0 if it doesn't wait for that."""
        if not self.status.timed:
            return 0
        return max(0, (self.run_at or 0) - clock.now())

    @property
    def could_run_at(self) -> int:
        """Return the earliest time at which a worker could start it.

        This is when it was last queued or admitted, or its run_at if that is later.
        """
        return max(self.queued_at or self.created_at, self.run_at or 0)

    @property
    def state(self) -> str:
        """Return the status, attempt and invocation as text, for logs and errors."""
        attempt = f"attempt {self.attempt} of {self.max_attempts}"
        return f"{self.status} ({attempt}, invocation {self.invocations})"


def new_id() -> str:
    """Return a random id of 122 bits.

    They come from the operating system, so processes that Lambda restores from the same snapshot
    get different ids.
    """
    return uuid.uuid4().hex


def derived_id(kind: str, *parts: str) -> str:
    """Return an id that only depends on the arguments."""
    return sha256(json.dumps([kind, *parts]).encode()).hexdigest()[:32]


def id_for_idempotency_key(organization_id: str, idempotency_key: str) -> str:
    """Return the id of the job that an organization dispatched under an idempotency key."""
    return derived_id("idempotency", organization_id, idempotency_key)


_TIME_DIGITS = 15  # enough until the year 33658
SORT_KEY = rf"[0-9]{{{_TIME_DIGITS}}}[0-9a-f]{{32}}"


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
