"""The fields of a JobRequest, in parts: what every job has, then one part for each feature.

Times are milliseconds since 1970. Only `expires_at` is in seconds, as DynamoDB's TTL requires.
"""

from enum import StrEnum

from pynamodb.attributes import BinaryAttribute, BooleanAttribute, JSONAttribute, UnicodeAttribute

from job_runners.store.table import Enumerated, Integer, nullable

# The prefix of the `held_by` of a follower: a unique job that waits until the job that has its key
# ends. The created_key of that job comes after it.
FOLLOWS_PREFIX = "unique#"
# The prefix of the `held_by` of a job that waits for a signal. The name of its wait comes after it.
SIGNAL_PREFIX = "signal#"
# The prefix of the `held_by` of a job that waits for its group. The group's id comes after it.
GROUP_PREFIX = "group#"


class Status(StrEnum):
    """The state of a job.

    A job that is `finished` has its outcome. Every unfinished row has a `due_at`. A `timed` job may
    not start before its `run_at`.
    """

    SCHEDULED = "scheduled"  # may start at run_at
    # Held: under a pause, in a line, or until a job, a signal or its group allows it to continue.
    WAITING = "waiting"
    QUEUED = "queued"  # any worker may claim it
    RUNNING = "running"  # exactly one invocation has claimed it, until the lease ends
    RETRYABLE = "retryable"  # an attempt failed; the next one may start at run_at
    SUCCEEDED = "succeeded"  # done, with a result
    FAILED = "failed"  # ended with an error, and won't be tried again
    CANCELED = "canceled"  # stopped because a caller asked

    finished: bool
    timed: bool

    def __init__(self, value: str) -> None:
        self.finished = value in ("succeeded", "failed", "canceled")
        self.timed = value in ("scheduled", "retryable")


class RequestFields:
    """The request: what is to be done, for whom, and who asked for it."""

    id = UnicodeAttribute(hash_key=True)
    row_version = Integer(default=1)
    job_type = UnicodeAttribute()
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
    canceled_by = nullable(UnicodeAttribute())  # or asked it to stop
    cancel_asked_at = nullable(Integer())
    # the finished job that it continues from a step of: see job_runners.store.copied_steps
    rerun_of = JSONAttribute(null=True)


class OutcomeFields:
    """The progress of the work, and its outcome."""

    status = Enumerated(Status)
    progress = Integer(default=0)  # 0 to 100
    result_message = nullable(UnicodeAttribute())  # the progress, and later the result, in words
    result = nullable(BinaryAttribute(legacy_encoding=False))
    result_key = nullable(UnicodeAttribute())  # its object's key, if it is too large for the row
    error = JSONAttribute(null=True)  # see `retrying.error_record`
    earlier_errors = JSONAttribute(null=True)  # see job_runners.store.earlier_errors


class TimeFields:
    """When each thing last happened to the job, or may happen."""

    created_at = Integer()
    created_key = UnicodeAttribute()  # see `sort_key`; it never changes
    queued_at = nullable(Integer())
    run_at = nullable(Integer())  # it starts no earlier
    started_at = nullable(Integer())  # when it was last claimed
    finished_at = nullable(Integer())
    updated_at = nullable(Integer())
    expires_at = nullable(Integer())  # in seconds
    # when the timer must check it
    due_at = nullable(Integer())
    due_shard = nullable(UnicodeAttribute())  # its lane, then the number of its shard


class ClaimFields:
    """Its attempts, and the claims of the invocations that run it."""

    attempt = Integer(default=1)  # the number of the current or next attempt
    max_attempts = Integer(default=1)
    attempt_limit = nullable(Integer())  # the most attempts that its dispatch asked for
    attempt_started_at = nullable(Integer())  # when its first invocation was claimed
    invocations = Integer(default=0)  # how many times it was claimed, not counting released claims
    claims = Integer(default=0)  # how many times it was claimed: never reset, never lowered
    past = nullable(BinaryAttribute(legacy_encoding=False))  # see job_runners.store.past
    claim_token = nullable(UnicodeAttribute())  # the fence: every claim has its own
    # Random, and never shown: a part of the ids of its children and members. These ids are hashes
    # of keys, and callers who may not see the keys could otherwise guess them.
    salt = nullable(UnicodeAttribute())
    send_id = nullable(UnicodeAttribute())  # the claim's message; only a claim writes it
    lease_until = nullable(Integer())  # the claimer's invocation has ended by then
    cursor = JSONAttribute(null=True)  # where the next invocation or attempt resumes
    cancel_requested = nullable(BooleanAttribute())  # a caller asked it to stop while it ran
    # Set if a child may exist that no step records: the start of the first invocation that may have
    # dispatched it. See `transitions.ending.unrecorded_actions`.
    unrecorded_since = nullable(Integer())
    restarts = nullable(Integer())  # how many times its work began again with another payload
    begun_at = nullable(Integer())  # when that last happened


class CapacityFields:
    """Its queue, and the capacity that it has there: see `job_runners.store.lines`."""

    queue_name = UnicodeAttribute()
    concurrency_key = nullable(UnicodeAttribute())  # the job's key, if its queue has limits
    slot = nullable(Integer())  # the number of its slot
    # When it was admitted, or last queued again with its capacity kept. A claim removes it.
    admitted_at = nullable(Integer())
    # Set if the queue's rate counts its next or current claim as a start. The rate doesn't count
    # the claim of a later invocation.
    starts_under_rate = nullable(BooleanAttribute())

    @property
    def is_admitted(self) -> bool:
        """Return whether it has its capacity: it was admitted, or is between two invocations."""
        return self.admitted_at is not None


class WaitFields(OutcomeFields):
    """What it waits for: a pause, its line, another job, a signal, a time or its group."""

    held_by = nullable(UnicodeAttribute())  # the pause, line, job, signal or group it waits for
    wait_key = nullable(UnicodeAttribute())  # the sort key of its entry, while it waits in a line
    waiting_since = nullable(Integer())  # when it was held
    # Set when it first waits, dispatches a group, or gets a signal or a link for an answer. Nothing
    # removes it, because a delete has to find the records of all these.
    has_waited = nullable(BooleanAttribute())
    # How many of its invocations ended in a wait. `max_invocations` doesn't limit those.
    wait_count = nullable(Integer())
    signals = nullable(Integer())  # how many signals have come, see job_runners.store.signals
    # the last wait of its function: read it with `job_runners.store.current_wait.of`
    current_wait = JSONAttribute(null=True)

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


class GroupFields:
    """The groups that it dispatches and waits for, and the group that it is in: see
    `job_runners.store.groups`."""

    last_group_id = nullable(UnicodeAttribute())  # the id of the last group that it has dispatched
    # The id of the last group whose end it has seen.
    last_finished_group_id = nullable(UnicodeAttribute())
    gather_epoch = nullable(Integer())  # how often a member was retried as it waited; never reset
    # Set if its members are to be canceled, and then the job itself.
    cancel_members = nullable(BooleanAttribute())
    # The numbers of its members by outcome, as of the timer's last look. Only large groups have it.
    member_counts = JSONAttribute(null=True)
    # the parent's group that this job is in
    group_of = nullable(UnicodeAttribute())  # the group's name
    member_of = nullable(UnicodeAttribute())  # the group's id, and the shard of the job's marker
    member_mark = nullable(UnicodeAttribute())  # identifies the job's marker

    @property
    def has_open_group(self) -> bool:
        """Return whether it has begun to dispatch a group whose end it hasn't seen."""
        return self.last_group_id != self.last_finished_group_id


class UniqueFields:
    """The key of unique work: see `job_runners.store.uniqueness`."""

    unique_key = nullable(UnicodeAttribute())  # removed at its end, or at its claim for some types
    first_run_at = nullable(Integer())  # the start time that its first request asked for
    is_follower = nullable(BooleanAttribute())  # set if it was created to follow another job
    replaced_by = nullable(UnicodeAttribute())  # a random id of the last `replace` of its payload
    replaced_at = nullable(Integer())
    replaced_author = nullable(UnicodeAttribute())  # as "role:name"
    # Set when it is queued again manually and will continue its work. If it is then replaced, it
    # starts from the beginning instead.
    resumes = nullable(BooleanAttribute())


class FollowUpFields:
    """The jobs that its end dispatches: see `job_runners.store.follow_ups`."""

    on_end = JSONAttribute(null=True)
    on_failure = JSONAttribute(null=True)
    announcement = JSONAttribute(null=True)  # announces its end, if the stack's settings ask for it
    ends = nullable(Integer())  # how often it ended with follow-ups; retried, it ends again
    follow_ups_saved_at = nullable(Integer())  # the `finished_at` of the last such end
    follow_up_of = nullable(UnicodeAttribute())  # the job whose end saved this one


class IndexFields:
    """The keys of indexes that contain only some jobs."""

    # of the index `failed`, set only while the job is failed
    failed_organization = nullable(UnicodeAttribute())
    failed_key = nullable(UnicodeAttribute())
    # of the index `unfinished`, set while the job is unfinished, if there is a quota
    unfinished_organization = nullable(UnicodeAttribute())
    batch_total = nullable(Integer())  # how many members a batch has
