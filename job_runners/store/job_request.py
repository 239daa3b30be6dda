"""The JobRequest: one row for each job, and the meaning of its fields.

Only the verbs in `job_runners.store.verbs` and `job_runners.store.owner_verbs` change rows.
"""

import json
import uuid
from enum import StrEnum
from hashlib import sha256
from typing import Any, NamedTuple
from zlib import crc32

from pynamodb.attributes import BinaryAttribute, BooleanAttribute, JSONAttribute, UnicodeAttribute
from pynamodb.indexes import GlobalSecondaryIndex, KeysOnlyProjection

from job_runners import clock
from job_runners.store.table import Enumerated, Integer, Table, nullable

# The highest row version that this code knows. Code can't claim a row of a higher version. Add a
# version, for the rows that need it, when a row means something that older code would get wrong.
ROW_VERSION = 1
# The prefix of the `held_by` of a follower: a unique job that waits until the job that has its key
# ends. The created_key of that job comes after it.
FOLLOWS_PREFIX = "unique#"
# The prefix of the `held_by` of a job that waits for a signal. The name of its wait comes after it.
SIGNAL_PREFIX = "signal#"
# The prefix of the `held_by` of a job that waits for its group. The group's id comes after it.
GROUP_PREFIX = "group#"
# The number of shards in each `Lane`. Never lower it, because a row keeps its shard.
DUE_SHARDS = 8


class Status(StrEnum):
    """The state of a job."""

    SCHEDULED = "scheduled"  # may start at run_at
    # Parked: under a pause, in a line, or until a job, a signal or its group allows it to continue.
    WAITING = "waiting"
    QUEUED = "queued"  # any worker may claim it
    RUNNING = "running"  # exactly one invocation has claimed it, until the lease ends
    RETRYABLE = "retryable"  # an attempt failed; the next one may start at run_at
    SUCCEEDED = "succeeded"  # done, with a result
    FAILED = "failed"  # ended with an error, and won't be tried again
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
    """The result of a request for a unique job when another job already had the key."""

    RETURNED = "returned"  # the answer was the other job, which stays unchanged
    REPLACED = "replaced"  # the other job now has the payload and time of this request
    FOLLOWS = "follows"  # the request created a job that waits for the end of the other one


class DuplicateOutcome(NamedTuple):
    """How a request for a unique job was answered when another job already had the key."""

    outcome: Outcome
    before: bool = False  # whether an earlier try of the request got the same answer
    is_sent: bool = True  # False if a message about the job still has to be sent


class Lane(StrEnum):
    """What a due row needs from the timer. The lane is the first part of the row's `due_shard`.

    The due index contains only keys, so the timer learns nothing else about a row before it reads
    the row. With lanes, 100,000 rows of one kind don't delay the rows of another kind.
    """

    PROMPT = ""  # start it, or check its lease
    QUEUED = "queued-"  # check whether its message arrived, or send one that was put off
    RESENT = "resent-"  # the timer has sent it again, and no worker has claimed it since
    WAITS = "waits-"  # check whether its wait for a signal or a group is over
    PARKED = "parked-"  # check whether it still waits: for a resume, capacity, a job or a deploy


class ByOrganization(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """An organization's jobs in the order of their creation."""

    class Meta:
        index_name = "by_organization"
        projection = KeysOnlyProjection()

    organization_id = UnicodeAttribute(hash_key=True)
    created_key = UnicodeAttribute(range_key=True)


class Due(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """Unfinished rows by the time at which they are due, spread over the shards of their lane.

    A single shard would be a hot key, and would throttle the table. Finished rows aren't in this
    index.
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


def unfinished_key(organization_id: str, batch_total: int | None) -> str:
    """Return the key in the index `unfinished` of a job, or of a batch with this many members."""
    return organization_id if batch_total is None else f"{organization_id}#batches"


class Unfinished(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """An organization's unfinished jobs, if it has a quota. Other rows aren't in this index.

    Batches have a key of their own, so that a quota finds the members that they will dispatch.
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

    # not stored
    is_new: bool = False  # whether this request saved the row
    duplicate: DuplicateOutcome | None = None  # set if another job already had the unique key

    id = UnicodeAttribute(hash_key=True)
    row_version = Integer(default=1)

    # the request
    job_type = UnicodeAttribute()
    queue_name = UnicodeAttribute()
    queue_key = nullable(UnicodeAttribute())  # the job's key, if its queue has limits
    organization_id = UnicodeAttribute()
    payload = nullable(BinaryAttribute(legacy_encoding=False))  # see job_runners.store.blobs
    payload_key = nullable(UnicodeAttribute())  # its object's key, if it is too large for the row
    request_hash = nullable(UnicodeAttribute())  # the hash of a request with an idempotency key
    request_id = nullable(UnicodeAttribute())  # the HTTP request that dispatched it
    traceparent = nullable(UnicodeAttribute())  # of the span in which it was dispatched
    parent_id = nullable(UnicodeAttribute())  # the job that dispatched it
    # the callers that dispatched it, last queued it again, and canceled it, each as "role:name"
    created_by = nullable(UnicodeAttribute())
    requeued_by = nullable(UnicodeAttribute())
    cancelled_by = nullable(UnicodeAttribute())  # or asked it to stop

    # progress and outcome
    status = Enumerated(Status)
    progress = Integer(default=0)  # 0 to 100
    result_message = nullable(UnicodeAttribute())  # the progress, and later the result, in words
    result = nullable(BinaryAttribute(legacy_encoding=False))
    result_key = nullable(UnicodeAttribute())
    error = JSONAttribute(null=True)  # the last failed attempt's kind, message and traceback
    earlier_errors = JSONAttribute(null=True)  # see job_runners.store.earlier_errors

    # attempts and claims
    attempt = Integer(default=1)  # the number of the current or next attempt
    max_attempts = Integer(default=1)
    attempt_started_at = nullable(Integer())  # when its first leg was claimed
    legs = Integer(default=0)  # how many times it was claimed, not counting released claims
    claim_token = nullable(UnicodeAttribute())  # the fence: every claim has its own
    # Random, and never shown: a part of the ids of its children and members. These ids are hashes
    # of keys, and callers who may not see the keys could otherwise guess them.
    salt = nullable(UnicodeAttribute())
    send_id = nullable(UnicodeAttribute())  # the claim's message; only a claim writes it
    lease_until = nullable(Integer())  # the claimer's invocation has ended by then
    cursor = JSONAttribute(null=True)  # where the next leg or attempt resumes
    cancel_requested = nullable(BooleanAttribute())  # its owner asked it to stop while it ran
    # Set if a child may exist that no step records: the start of the first leg that may have
    # dispatched it. See `verbs.ending.unrecorded_actions`.
    unrecorded_since = nullable(Integer())

    # its waits, see job_runners.store.verbs.waits
    # Set when it first waits, dispatches a group, or gets a signal or a link for an answer. Nothing
    # removes it, because a delete has to find the records of all these.
    has_waited = nullable(BooleanAttribute())
    # How many of its legs ended in a wait. `max_legs` doesn't limit those.
    waits = nullable(Integer())
    signals = nullable(Integer())  # how many signals have come, see job_runners.store.signals
    waits_for = JSONAttribute(null=True)  # the last wait: read it with `verbs.waits.current`
    # When its work last began again with another payload: see `restarts`.
    begun_at = nullable(Integer())

    # its own groups, see job_runners.store.groups
    gathers = nullable(UnicodeAttribute())  # the id of the last group that it has dispatched
    gathered = nullable(UnicodeAttribute())  # the id of the last group whose end it has seen
    gather_epoch = nullable(Integer())  # how often a member was retried as it waited; never reset
    # Set if its members are to be canceled, and then the job itself.
    cancel_members = nullable(BooleanAttribute())
    # The numbers of its members by outcome, as of the timer's last look. Only large groups have it.
    member_counts = JSONAttribute(null=True)

    # the parent's group that this job is in
    group_of = nullable(UnicodeAttribute())  # the group's name
    member_of = nullable(UnicodeAttribute())  # the group's id, and the shard of the job's marker
    member_mark = nullable(UnicodeAttribute())  # identifies the job's marker: see `store.groups`

    # its capacity in its queue, see job_runners.store.lines
    slot = nullable(Integer())  # the number of its slot
    # When it was admitted, or last queued again with its capacity kept. A claim removes it.
    admitted_at = nullable(Integer())
    wait_key = nullable(UnicodeAttribute())  # the sort key of its entry, while it waits in a line
    # Set if the queue's rate counts its next or current claim as a start. The rate doesn't count
    # the claim of a later leg.
    starts_under_rate = nullable(BooleanAttribute())

    # its key, if it is unique work, see job_runners.store.uniqueness
    unique_key = nullable(UnicodeAttribute())  # removed at its end, or at its claim for some types
    first_run_at = nullable(Integer())  # the start time that its first request asked for
    followed = nullable(BooleanAttribute())  # set if it was created to follow another job
    replaced_by = nullable(UnicodeAttribute())  # a random id of the last `replace` of its payload
    # Set when it is queued again by hand and will continue its work. If it is then replaced, it
    # starts from the beginning instead.
    resumes = nullable(BooleanAttribute())

    # its follow-ups, see job_runners.store.follow_ups
    on_end = JSONAttribute(null=True)
    on_failure = JSONAttribute(null=True)
    announcement = JSONAttribute(null=True)  # announces its end, if the stack's settings ask for it
    ends = nullable(Integer())  # how often it ended with follow-ups; retried, it ends again
    follow_ups_saved_at = nullable(Integer())  # the `finished_at` of the last such end
    follow_up_of = nullable(UnicodeAttribute())  # the job whose end saved this one

    # when the timer must check it
    due_at = nullable(Integer())
    due_shard = nullable(UnicodeAttribute())  # its lane, then the number of its shard

    restarts = nullable(Integer())  # how many times its work began again with another payload
    held_by = nullable(UnicodeAttribute())  # the pause, line, job, signal or group it waits for

    # times
    created_at = Integer()
    created_key = UnicodeAttribute()  # see `sort_key`; it never changes
    queued_at = nullable(Integer())
    run_at = nullable(Integer())  # it starts no earlier
    waiting_since = nullable(Integer())  # when it was parked
    started_at = nullable(Integer())  # when it was last claimed
    finished_at = nullable(Integer())
    updated_at = nullable(Integer())
    expires_at = nullable(Integer())  # in seconds

    # the keys of the index `failed`, set only while the job is failed
    failed_organization = nullable(UnicodeAttribute())
    failed_key = nullable(UnicodeAttribute())

    # a key of the index `unfinished`: set while the job is unfinished, if there is a quota
    unfinished_organization = nullable(UnicodeAttribute())
    batch_total = nullable(Integer())  # how many members a batch has, if there is a quota

    by_organization = ByOrganization()
    due = Due()
    failed = Failed()
    unfinished = Unfinished()

    @property
    def has_follow_ups(self) -> bool:
        """Return whether the row names follow-ups."""
        return not (self.on_end is None and self.on_failure is None and self.announcement is None)

    @property
    def holds_nothing(self) -> bool:
        """Return whether its end frees nothing outside the row, and saves nothing, as for most
        jobs."""
        is_free = self.slot is None and self.held_by is None and self.unique_key is None
        return is_free and not self.has_follow_ups

    @property
    def past_ttl(self) -> bool:
        """Return whether DynamoDB's TTL may delete the row. Readers treat such a row as gone."""
        return self.expires_at is not None and self.expires_at * clock.SECOND <= clock.now()

    @property
    def work_id(self) -> str:
        """Return an id of the work that the job has done since it was saved or last restarted.

        The job's id doesn't suffice. It stays the same when the job restarts with another payload.
        And another job can get that id after this one has expired or was deleted.
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
        """Return the folder in the bucket for data that only its later legs and attempts need."""
        return f"partial/{self.work_id}"

    @property
    def follows(self) -> str | None:
        """Return the created_key of the job that it follows, or None if it follows none."""
        if not (self.held_by or "").startswith(FOLLOWS_PREFIX):
            return None
        return str(self.held_by).removeprefix(FOLLOWS_PREFIX)

    @property
    def awaits_signal(self) -> bool:
        """Return whether it waits for a signal in its function."""
        return self.status is Status.WAITING and (self.held_by or "").startswith(SIGNAL_PREFIX)

    @property
    def awaits_group(self) -> bool:
        """Return whether it waits for the members of its group."""
        return self.status is Status.WAITING and (self.held_by or "").startswith(GROUP_PREFIX)

    @property
    def has_open_group(self) -> bool:
        """Return whether it has begun to dispatch a group whose end it hasn't seen."""
        return self.gathers != self.gathered

    @property
    def has_begun(self) -> bool:
        """Return whether it was claimed, and not released, since it was saved or last requeued."""
        return self.legs > 0

    @property
    def counted_legs(self) -> int:
        """Return the number of its legs, without those that ended in a wait."""
        return max(0, self.legs - (self.waits or 0))

    @property
    def starts_in(self) -> int:
        """Return the milliseconds until its start time, or 0 if it doesn't wait for its time."""
        return max(0, (self.run_at or 0) - clock.now()) if self.status.timed else 0

    @property
    def could_run_at(self) -> int:
        """Return the time from which a worker could start it.

        That is when it was queued, or its run_at if that is later. An admitted job was queued
        when it was admitted.
        """
        return max(self.queued_at or self.created_at, self.run_at or 0)

    @property
    def is_admitted(self) -> bool:
        """Return whether it has its capacity: it was admitted, or is between two legs."""
        return self.admitted_at is not None

    @property
    def state(self) -> str:
        """Return the status, attempt and leg in words, for logs and errors."""
        return f"{self.status} (attempt {self.attempt} of {self.max_attempts}, leg {self.legs})"


def new_id() -> str:
    """Return a random id of 122 bits.

    They come from the operating system, so that two processes restored from one snapshot don't get
    the same id.
    """
    return uuid.uuid4().hex


def derived_id(kind: str, *parts: str) -> str:
    """Return the id that a kind and parts determine: the same ones always give the same id."""
    return sha256(json.dumps([kind, *parts]).encode()).hexdigest()[:32]


def id_under_key(organization_id: str, idempotency_key: str) -> str:
    """Return the id of the job that an organization dispatched under an idempotency key."""
    return derived_id("idempotency", organization_id, idempotency_key)


_TIME_DIGITS = 15  # enough until the year 33658
SORT_KEY = rf"[0-9]{{{_TIME_DIGITS}}}[0-9a-f]{{32}}"


def sort_key(milliseconds: int, job_id: str) -> str:
    """Return a unique key that sorts by time: 15 digits of milliseconds, then the job's id."""
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
