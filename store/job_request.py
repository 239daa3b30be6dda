"""The JobRequest: one row for each job, and the meaning of its fields.

Only the verbs in `store.verbs` and `store.owner_verbs` change rows.
"""

import json
import uuid
from enum import StrEnum
from hashlib import sha256
from typing import Any, NamedTuple
from zlib import crc32

from pynamodb.indexes import GlobalSecondaryIndex, KeysOnlyProjection

import clock
from store.attributes import BinaryAttribute, BooleanAttribute, JSONAttribute, UnicodeAttribute
from store.table import Enumerated, Integer, Table, nullable

# The version that a row needs. Raise it when a row means something that older code would get wrong:
# such code then can't claim the row.
ROW_VERSION = 3  # the highest that this code knows
LIMITED = 2  # for a row whose queue has limits, or that its organization's quota counts
UNIQUE = 3  # for a row that has a unique key, see store.uniqueness
BEHIND = "unique#"  # begins `held_by` of a job that follows another, before that one's created_key
DUE_SHARDS = 8  # of each lane; never lower it, because rows keep the shard they were saved with


class Status(StrEnum):
    """The state of a job."""

    SCHEDULED = "scheduled"  # may start at run_at
    WAITING = "waiting"  # parked: by a pause, by the limits of its queue, or behind another job
    QUEUED = "queued"  # any worker may claim it
    RUNNING = "running"  # claimed by exactly one invocation, until its lease ends
    RETRYABLE = "retryable"  # an attempt failed; the next one may start at run_at
    SUCCEEDED = "succeeded"  # done, with a result
    FAILED = "failed"  # given up, with an error
    CANCELLED = "cancelled"  # stopped because its owner asked

    @property
    def finished(self) -> bool:
        """Return whether the job has its outcome. Every unfinished row has a `due_at`."""
        return self in (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)

    @property
    def timed(self) -> bool:
        """Return whether the job may not start before its `run_at`."""
        return self in (Status.SCHEDULED, Status.RETRYABLE)


class Outcome(StrEnum):
    """What happened to a request for a unique job because another job already had the key."""

    RETURNED = "returned"  # it was answered with that job, and changed nothing
    REPLACED = "replaced"  # that job now does what this request asked for
    FOLLOWS = "follows"  # it created a job, which waits for the end of that one


class DuplicateOutcome(NamedTuple):
    """How a request for a unique job was answered because another job already had the key."""

    outcome: Outcome
    before: bool = False  # the same request got the same answer before
    is_sent: bool = True  # False if the job waits: no message about it is sent


class Lane(StrEnum):
    """The kind of attention that a row is due for: the first part of its `due_shard`.

    The due index contains only keys. So the lane is all that the timer knows about a row before it
    reads it. Lanes keep 100,000 rows of one kind from blocking the rows of another.
    """

    PROMPT = ""  # the timer starts it, or watches its lease; the only lane before version 0.2
    QUEUED = "queued-"  # its message was sent, or it waits in the backlog to be sent again
    RESENT = "resent-"  # the timer has sent it, and no worker has claimed it since
    PARKED = "parked-"  # it waits for a resume, for capacity, or for a deploy that knows it


class ByOrganization(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """An organization's jobs in the order of their creation."""

    class Meta:
        index_name = "by_organization"
        projection = KeysOnlyProjection()

    organization_id = UnicodeAttribute(hash_key=True)
    created_key = UnicodeAttribute(range_key=True)


class Due(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """Unfinished rows by the time at which they are due, spread over the shards of their lane.

    A single hot key would throttle the table. Finished rows aren't in this index.
    """

    class Meta:
        index_name = "due"
        projection = KeysOnlyProjection()

    due_shard = UnicodeAttribute(hash_key=True)
    due_at = Integer(range_key=True)


class Failed(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """An organization's failed jobs, by the time of their failure."""

    class Meta:
        index_name = "failed"
        projection = KeysOnlyProjection()

    failed_organization = UnicodeAttribute(hash_key=True)
    failed_key = UnicodeAttribute(range_key=True)


class Unfinished(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """An organization's unfinished jobs, if it has a quota. Other rows aren't in this index.

    DynamoDB keeps the index in step with the rows. A separate count could drift.
    """

    class Meta:
        index_name = "unfinished"
        projection = KeysOnlyProjection()

    unfinished_organization = UnicodeAttribute(hash_key=True)
    created_key = UnicodeAttribute(range_key=True)


class JobRequest(Table):
    """A requested job, its progress and its outcome.

    Times are milliseconds since 1970. Only `expires_at` is in seconds, as DynamoDB's TTL requires.
    """

    class Meta:
        table_name = ""  # from table_setting, at first use

    table_setting = "JOBS_TABLE_NAME"

    # Not stored: whether this very request saved the row; if not, how the request was answered; and
    # the follower that the write that ended this job has admitted.
    is_new: bool = False
    duplicate: DuplicateOutcome | None = None
    admitted_follower: "JobRequest | None" = None

    id = UnicodeAttribute(hash_key=True)
    row_version = Integer(default=1)

    # the request
    job_type = UnicodeAttribute()
    queue_name = UnicodeAttribute()
    queue_key = nullable(UnicodeAttribute())  # its key in its queue, if that has limits
    organization_id = UnicodeAttribute()
    campaign_id = nullable(UnicodeAttribute())
    payload = nullable(BinaryAttribute(legacy_encoding=False))  # see store.blobs
    payload_key = nullable(UnicodeAttribute())  # of its object, if it is too large for the row
    request_hash = nullable(UnicodeAttribute())  # of the request under an idempotency key
    request_id = nullable(UnicodeAttribute())  # the HTTP request that dispatched it
    traceparent = nullable(UnicodeAttribute())  # of the span in which it was dispatched
    parent_id = nullable(UnicodeAttribute())  # the job that dispatched it
    created_by = nullable(UnicodeAttribute())  # who dispatched it, as "role:name"
    requeued_by = nullable(UnicodeAttribute())  # who queued it again last
    cancelled_by = nullable(UnicodeAttribute())  # who canceled it, or asked it to stop

    # progress and outcome
    status = Enumerated(Status)
    progress = Integer(default=0)  # 0 to 100
    result_message = nullable(UnicodeAttribute())  # progress in words, for people
    result = nullable(BinaryAttribute(legacy_encoding=False))
    result_key = nullable(UnicodeAttribute())
    error = JSONAttribute(null=True)  # kind, message and traceback of the last failed attempt
    earlier_errors = JSONAttribute(null=True)  # see store.earlier_errors

    # attempts and claims
    attempt = Integer(default=1)  # the current or next attempt; a count, not a fence
    max_attempts = Integer(default=1)
    attempt_started_at = nullable(Integer())  # when its first leg was claimed
    legs = Integer(default=0)  # how often it was claimed
    claim_token = nullable(UnicodeAttribute())  # the fence: every claim has its own
    send_id = nullable(UnicodeAttribute())  # of the claim's message; only claim writes it
    lease_until = nullable(Integer())  # after this, the claimer is certainly gone
    cursor = JSONAttribute(null=True)  # where the next leg or attempt resumes
    cancel_requested = nullable(BooleanAttribute())  # by its owner, while it was running

    # its capacity in its queue, see store.lines
    slot = nullable(Integer())  # the slot whose item names this job
    admitted_at = nullable(Integer())  # admitted, or between two legs: it has its capacity
    wait_key = nullable(UnicodeAttribute())  # of its entry, while it waits in a line
    # Set if its next claim, or the one that it runs under, is a start that the queue's rate counts.
    # A claim between two legs is not.
    starts_under_rate = nullable(BooleanAttribute())

    # its key, if it is unique work, see store.uniqueness
    unique_key = nullable(UnicodeAttribute())  # until it is finished, or was claimed
    first_run_at = nullable(Integer())  # its start time when it was first requested
    followed = nullable(BooleanAttribute())  # it was created to follow another job
    replaced_by = nullable(UnicodeAttribute())  # the write that last gave it another payload
    resumes = nullable(BooleanAttribute())  # queued again by hand: if replaced, it starts over

    # when the timer must check it
    due_at = nullable(Integer())
    due_shard = nullable(UnicodeAttribute())  # its lane and a number

    # times
    created_at = Integer()
    created_key = UnicodeAttribute()  # zero-padded created_at and id: sorts, and never changes
    queued_at = nullable(Integer())
    run_at = nullable(Integer())  # it starts no earlier
    waiting_since = nullable(Integer())  # parked: by a pause, in a line, or behind a job
    restarts = nullable(Integer())  # retries by hand with another payload
    held_by = nullable(UnicodeAttribute())  # the pause, partition or job that it waits for
    started_at = nullable(Integer())  # when it was last claimed
    finished_at = nullable(Integer())
    updated_at = nullable(Integer())
    expires_at = nullable(Integer())  # in seconds

    # set only while failed: the keys of the index `failed`
    failed_organization = nullable(UnicodeAttribute())
    failed_key = nullable(UnicodeAttribute())

    # set only while unfinished, if there is a quota: with created_key, the keys of `unfinished`
    unfinished_organization = nullable(UnicodeAttribute())

    by_organization = ByOrganization()
    due = Due()
    failed = Failed()
    unfinished = Unfinished()

    @property
    def expired(self) -> bool:
        """Return whether TTL may delete the row any day. Readers treat such a row as gone."""
        return self.expires_at is not None and self.expires_at * clock.SECOND <= clock.now()

    @property
    def beginning(self) -> str:
        """Return a name for the job's work since it was saved or last given another payload.

        The id doesn't suffice: another job can get it once this one has expired or was deleted.
        """
        return self.beginnings[-1]

    @property
    def beginnings(self) -> list[str]:
        """Return the job's current `beginning` and all earlier ones, oldest first."""
        again = [f"{self.created_key}/{number}" for number in range(1, (self.restarts or 0) + 1)]
        return [self.created_key, *again]

    @property
    def result_folder(self) -> str:
        """Return the folder in the bucket for the objects that it makes for its organization."""
        return f"results/{self.organization_id}/{self.created_key}"

    @property
    def work_folder(self) -> str:
        """Return the folder in the bucket for data that only its later legs and attempts need."""
        return f"partial/{self.beginning}"

    @property
    def follows(self) -> str | None:
        """Return the created_key of the job that it follows, if it waits for the end of one."""
        behind = self.held_by if self.held_by and self.held_by.startswith(BEHIND) else None
        return behind and behind.removeprefix(BEHIND)

    @property
    def has_begun(self) -> bool:
        """Return whether it was claimed since it was saved or queued again by hand."""
        return self.legs > 0

    @property
    def starts_in(self) -> int:
        """Return the milliseconds until its start time if it waits for that, or else 0."""
        return max(0, (self.run_at or 0) - clock.now()) if self.status.timed else 0

    @property
    def could_run_at(self) -> int:
        """Return the time from which a worker could start it: it was queued, and run_at had come.

        For a job that was admitted, the time that it waited in its line doesn't count.
        """
        return max(self.queued_at or self.created_at, self.run_at or 0)

    @property
    def is_admitted(self) -> bool:
        """Return whether it has been admitted, or is between two legs, since it was queued.

        Such a job needs no new capacity. Version 0.1.0 queues a job again without removing its old
        slot and `admitted_at`. By then another job may have the slot.
        """
        return self.admitted_at is not None and (self.queued_at or 0) <= self.admitted_at

    @property
    def state(self) -> str:
        """Return the status, attempt and leg in words, for logs and errors."""
        return f"{self.status} (attempt {self.attempt} of {self.max_attempts}, leg {self.legs})"


def new_id() -> str:
    """Return a random id: 122 bits from the operating system, so that snapshots don't repeat it."""
    return uuid.uuid4().hex


def derived_id(kind: str, *parts: str) -> str:
    """Return the id that is derived from these parts. The same parts always give the same id."""
    return sha256(json.dumps([kind, *parts]).encode()).hexdigest()[:32]


def id_under_key(organization_id: str, idempotency_key: str) -> str:
    """Return the id of the one job that an organization has under an idempotency key."""
    return derived_id("idempotency", organization_id, idempotency_key)


_TIME_DIGITS = 15  # enough until the year 33658
SORT_KEY = rf"[0-9]{{{_TIME_DIGITS}}}[0-9a-f]{{32}}"


def sort_key(milliseconds: int, job_id: str) -> str:
    """Return a unique key that sorts by this time."""
    return f"{milliseconds:0{_TIME_DIGITS}d}{job_id}"


def job_id_of(key: str) -> str:
    """Return the job id in a `sort_key`."""
    return key[_TIME_DIGITS:]


def due_shard(job_id: str, lane: Lane) -> str:
    """Return the shard of the due index for a job in this lane."""
    return f"{lane}{crc32(job_id.encode()) % DUE_SHARDS}"


def due_shards(lane: Lane) -> list[str]:
    """Return every shard of a lane."""
    return [f"{lane}{number}" for number in range(DUE_SHARDS)]
