"""The JobRequest: one row for each job, and what each of its fields means.

Rows are changed by the verbs in `store.verbs` and by nothing else.
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

# Raised when a row means something that older code would get wrong: such code can't claim it then.
ROW_VERSION = 3  # the highest that this code knows
LIMITED = 2  # of a row whose queue has limits, or that its organisation's quota counts
UNIQUE = 3  # of a row that has a key, see store.uniqueness
BEHIND = "unique#"  # how `held_by` begins of a job that follows another; that one's created_key
DUE_SHARDS = 8  # of each lane; may grow, never shrink: rows keep the shard they were saved with


class Status(StrEnum):
    """Where a job is in its life."""

    SCHEDULED = "scheduled"  # may start at run_at
    WAITING = "waiting"  # parked while its job type or queue is paused, or its queue has no room
    QUEUED = "queued"  # any worker may claim it
    RUNNING = "running"  # claimed by exactly one invocation, until its lease runs out
    RETRYABLE = "retryable"  # an attempt failed; the next one may start at run_at
    SUCCEEDED = "succeeded"  # done, with a result
    FAILED = "failed"  # given up, with an error
    CANCELLED = "cancelled"  # stopped, because its owner asked

    @property
    def finished(self) -> bool:
        """Return whether the job has its outcome. Every row that has none has a `due_at`."""
        return self in (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)

    @property
    def timed(self) -> bool:
        """Return whether the job may not be started before its `run_at`."""
        return self in (Status.SCHEDULED, Status.RETRYABLE)


class Outcome(StrEnum):
    """What became of a request for a job that is unique, where another one was there before."""

    RETURNED = "returned"  # it was answered with that job, and changed nothing
    REPLACED = "replaced"  # that job does what this request asked for
    FOLLOWS = "follows"  # it made a job, which waits for the end of that one


class DuplicateOutcome(NamedTuple):
    """How a request for a job that is unique met another one, with which it is answered."""

    outcome: Outcome
    before: bool = False  # the same request was answered so before
    is_sent: bool = True  # or it waits: nothing is to be sent about it


class Lane(StrEnum):
    """What kind of attention a row is due for: the first part of its `due_shard`.

    The due index holds keys alone, so this is all that the timer knows of a row before it reads it,
    and what keeps 100,000 rows of one kind from standing before the rows of another.
    """

    PROMPT = ""  # the timer starts it, or watches its lease; the only lane before version 0.2
    QUEUED = "queued-"  # its message was sent; or it waits for its turn to be sent again
    RESENT = "resent-"  # the timer has sent it, and nobody has claimed it since
    PARKED = "parked-"  # a resume or room in its queue lets it go on, or a deploy that knows it


class ByOrganization(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """An organisation's jobs in the order they were created."""

    class Meta:
        index_name = "by_organization"
        projection = KeysOnlyProjection()

    organization_id = UnicodeAttribute(hash_key=True)
    created_key = UnicodeAttribute(range_key=True)


class Due(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """Unfinished rows by the time they want attention, spread over the shards of their lane: one
    hot key would throttle the table. Sparse: finished rows are not in it."""

    class Meta:
        index_name = "due"
        projection = KeysOnlyProjection()

    due_shard = UnicodeAttribute(hash_key=True)
    due_at = Integer(range_key=True)


class Failed(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """An organisation's failed jobs, by when they failed. Sparse."""

    class Meta:
        index_name = "failed"
        projection = KeysOnlyProjection()

    failed_organization = UnicodeAttribute(hash_key=True)
    failed_key = UnicodeAttribute(range_key=True)


class Unfinished(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """An organisation's unfinished jobs, where there is a quota of them. Sparse. DynamoDB keeps it
    with the row, so it can't come apart from it, as a count could."""

    class Meta:
        index_name = "unfinished"
        projection = KeysOnlyProjection()

    unfinished_organization = UnicodeAttribute(hash_key=True)
    created_key = UnicodeAttribute(range_key=True)


class JobRequest(Table):
    """A job somebody asked for, how far it is, and how it ended.

    Times are milliseconds since 1970; `expires_at` alone is seconds, as DynamoDB's TTL wants it.
    """

    class Meta:
        table_name = ""  # from table_setting, at first use

    table_setting = "JOBS_TABLE_NAME"

    # Not stored: whether it was saved by this very request, how a request came to be answered with
    # it if not so, and which job was let on by the write that ended this one.
    is_new: bool = False
    duplicate: DuplicateOutcome | None = None
    admitted_follower: "JobRequest | None" = None

    id = UnicodeAttribute(hash_key=True)
    row_version = Integer(default=1)

    # what was asked
    job_type = UnicodeAttribute()
    queue_name = UnicodeAttribute()
    queue_key = nullable(UnicodeAttribute())  # with the queue: its line, if the queue has limits
    organization_id = UnicodeAttribute()
    campaign_id = nullable(UnicodeAttribute())
    payload = nullable(BinaryAttribute(legacy_encoding=False))  # see store.blobs
    payload_key = nullable(UnicodeAttribute())  # where the payload is when too large for the row
    request_hash = nullable(UnicodeAttribute())  # of what was asked under an idempotency key
    request_id = nullable(UnicodeAttribute())  # the HTTP request that dispatched it
    traceparent = nullable(UnicodeAttribute())  # of the span in which it was dispatched
    parent_id = nullable(UnicodeAttribute())  # the job that dispatched it
    created_by = nullable(UnicodeAttribute())  # who did, as "role:name"
    requeued_by = nullable(UnicodeAttribute())  # who had it done again last
    cancelled_by = nullable(UnicodeAttribute())  # who cancelled it, or asked it to stop

    # how far it is
    status = Enumerated(Status)
    progress = Integer(default=0)  # 0 to 100
    result_message = nullable(UnicodeAttribute())  # for the person who waits
    result = nullable(BinaryAttribute(legacy_encoding=False))
    result_key = nullable(UnicodeAttribute())
    error = JSONAttribute(null=True)  # kind, message, traceback of the last attempt that failed
    earlier_errors = JSONAttribute(null=True)  # see store.earlier_errors

    # who is on it
    attempt = Integer(default=1)  # the try it is in, or will be next; counts, does not fence
    max_attempts = Integer(default=1)
    attempt_started_at = nullable(Integer())  # its first leg's claim
    legs = Integer(default=0)  # times it was claimed
    claim_token = nullable(UnicodeAttribute())  # fences: every claim has its own
    send_id = nullable(UnicodeAttribute())  # the message the claim came with; only claim writes it
    lease_until = nullable(Integer())  # the claimer is certainly gone after this
    cursor = JSONAttribute(null=True)  # where the next leg or attempt resumes
    cancel_requested = nullable(BooleanAttribute())  # by its owner, while it was running

    # what it holds of its queue, see store.lines
    slot = nullable(Integer())  # whose item in the line names this job
    admitted_at = nullable(Integer())  # let on, or between two legs: it need not ask for room again
    wait_key = nullable(UnicodeAttribute())  # of its entry, while it waits in the line
    # Its next claim, or the one that it runs under, is a start that the queue's rate counts: it is
    # not between two legs.
    starts_under_rate = nullable(BooleanAttribute())

    # what it holds as work that is unique, see store.uniqueness
    unique_key = nullable(UnicodeAttribute())  # until it is finished, or was claimed
    first_run_at = nullable(Integer())  # when it was to start when it was asked for first
    followed = nullable(BooleanAttribute())  # it was made to follow another job
    replaced_by = nullable(UnicodeAttribute())  # the write that gave it another payload last
    resumes = nullable(BooleanAttribute())  # queued again by hand: if replaced, it begins anew

    # when it wants attention
    due_at = nullable(Integer())
    due_shard = nullable(UnicodeAttribute())  # its lane, and a number

    # when it was what
    created_at = Integer()
    created_key = UnicodeAttribute()  # zero-padded created_at and id: sorts, and never changes
    queued_at = nullable(Integer())
    run_at = nullable(Integer())  # not before
    waiting_since = nullable(Integer())  # parked, by a pause or in a line, or behind another job
    restarts = nullable(Integer())  # retries by hand with another payload
    held_by = nullable(UnicodeAttribute())  # the pause, line or job that it waits for
    started_at = nullable(Integer())  # of the latest claim
    finished_at = nullable(Integer())
    updated_at = nullable(Integer())
    expires_at = nullable(Integer())  # in seconds

    # set while failed: the keys of the failed index
    failed_organization = nullable(UnicodeAttribute())
    failed_key = nullable(UnicodeAttribute())

    # set until it is finished, if there is a quota: with created_key, the keys of `unfinished`
    unfinished_organization = nullable(UnicodeAttribute())

    by_organization = ByOrganization()
    due = Due()
    failed = Failed()
    unfinished = Unfinished()

    @property
    def expired(self) -> bool:
        """Return whether TTL may delete the row any day: for every reader it is already gone."""
        return self.expires_at is not None and self.expires_at * clock.SECOND <= clock.now()

    @property
    def beginning(self) -> str:
        """Return a name for what the job has done since it began or was given another payload.

        It is not the id: another job can have that once this one has expired or was deleted.
        """
        return self.beginnings[-1]

    @property
    def beginnings(self) -> list[str]:
        """Return the same for every time that it has begun."""
        again = [f"{self.created_key}/{number}" for number in range(1, (self.restarts or 0) + 1)]
        return [self.created_key, *again]

    @property
    def result_folder(self) -> str:
        """Return where in the bucket it puts what it makes for its organisation."""
        return f"results/{self.organization_id}/{self.created_key}"

    @property
    def work_folder(self) -> str:
        """Return where in the bucket it keeps what only its own later legs and attempts need."""
        return f"partial/{self.beginning}"

    @property
    def follows(self) -> str | None:
        """Return the created_key of the job whose end it waits for, if it follows one."""
        behind = self.held_by if self.held_by and self.held_by.startswith(BEHIND) else None
        return behind and behind.removeprefix(BEHIND)

    @property
    def has_begun(self) -> bool:
        """Return whether it was claimed, since it was saved or queued again by hand."""
        return self.legs > 0

    @property
    def starts_in(self) -> int:
        """Return the milliseconds until it may start, if it waits for its time; else 0."""
        return max(0, (self.run_at or 0) - clock.now()) if self.status.timed else 0

    @property
    def could_run_at(self) -> int:
        """Return since when a worker could have started it: it was queued, and run_at had come.

        For one that was let on in its line, the time that it waited there is not counted.
        """
        return max(self.queued_at or self.created_at, self.run_at or 0)

    @property
    def is_admitted(self) -> bool:
        """Return whether it has been let on in its line, or is between two legs, since it was
        queued: it need not ask for room again.

        Code of version 0.1.0 queues a job again and leaves it the mark and slot that it had before.
        By then the slot may be another's.
        """
        return self.admitted_at is not None and (self.queued_at or 0) <= self.admitted_at

    @property
    def state(self) -> str:
        """Return the status and attempt in words, for logs and errors."""
        return f"{self.status} (attempt {self.attempt} of {self.max_attempts}, leg {self.legs})"


def new_id() -> str:
    """Return a random id: 122 bits of the operating system's, so that no snapshot repeats it."""
    return uuid.uuid4().hex


def derived_id(kind: str, *parts: str) -> str:
    """Return the one id of what these parts name: to ask for it again gives the same job."""
    return sha256(json.dumps([kind, *parts]).encode()).hexdigest()[:32]


def id_under_key(organization_id: str, idempotency_key: str) -> str:
    """Return the id of the one job that an organisation has under an idempotency key."""
    return derived_id("idempotency", organization_id, idempotency_key)


_TIME_DIGITS = 15  # last until the year 33658
SORT_KEY = rf"[0-9]{{{_TIME_DIGITS}}}[0-9a-f]{{32}}"


def sort_key(milliseconds: int, job_id: str) -> str:
    """Return a key that sorts by this time, and is unique."""
    return f"{milliseconds:0{_TIME_DIGITS}d}{job_id}"


def job_id_of(key: str) -> str:
    """Return the id of the job that a `sort_key` is of."""
    return key[_TIME_DIGITS:]


def due_shard(job_id: str, lane: Lane) -> str:
    """Return the shard of the due index that a job is in while it is in this lane."""
    return f"{lane}{crc32(job_id.encode()) % DUE_SHARDS}"


def due_shards(lane: Lane) -> list[str]:
    """Return every shard of a lane."""
    return [f"{lane}{number}" for number in range(DUE_SHARDS)]
