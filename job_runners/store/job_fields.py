"""The fields of a job's row, JobRequest. Each class has the fields of one feature.

In the comments, "it" is the job. Times are in milliseconds since 1970, but `expires_at` is in
seconds, as DynamoDB's TTL requires.
"""

from enum import StrEnum

from pynamodb.attributes import BinaryAttribute, BooleanAttribute, JSONAttribute, UnicodeAttribute

from job_runners.store.table import Enumerated, Integer, nullable

# Prefixes of `held_by`, which names what a job waits for.
FOLLOWS_PREFIX = "unique#"  # the created_key of the job that has this job's unique key
SIGNAL_PREFIX = "signal#"  # the name that the job's function gave its wait for a signal
GROUP_PREFIX = "group#"  # the id of the group


class Status(StrEnum):
    """The state of a job."""

    SCHEDULED = "scheduled"  # may start at run_at
    WAITING = "waiting"  # under a pause, in a line, or for another job, a signal or its group
    QUEUED = "queued"  # any worker may claim it
    RUNNING = "running"  # one invocation has claimed it, and may run it until the lease expires
    RETRYABLE = "retryable"  # an attempt failed; the next one may start at run_at
    SUCCEEDED = "succeeded"  # ended with a result
    FAILED = "failed"  # ended with an error, and won't be tried again
    CANCELED = "canceled"  # ended because a caller canceled it

    finished: bool  # whether the job has ended; the row of any other job has a `due_at`
    timed: bool  # whether the job must not start before its `run_at`

    def __init__(self, value: str) -> None:
        self.finished = value in ("succeeded", "failed", "canceled")
        self.timed = value in ("scheduled", "retryable")


class RequestFields:
    """What was requested, for which organization, and by which callers."""

    id = UnicodeAttribute(hash_key=True)
    row_version = Integer(default=1)
    job_type = UnicodeAttribute()
    organization_id = UnicodeAttribute()
    payload = nullable(BinaryAttribute(legacy_encoding=False))  # see job_runners.store.blobs
    # The key of the payload's object in the bucket, if the payload is too large for the row.
    payload_key = nullable(UnicodeAttribute())
    request_hash = nullable(UnicodeAttribute())  # the hash of a request with an idempotency key
    request_id = nullable(UnicodeAttribute())  # the HTTP request that dispatched it
    traceparent = nullable(UnicodeAttribute())  # the trace context of the dispatch
    parent_id = nullable(UnicodeAttribute())  # the job that dispatched it
    # callers, each as "role:name"
    created_by = nullable(UnicodeAttribute())  # the caller that dispatched it
    requeued_by = nullable(UnicodeAttribute())  # the caller that last retried it manually
    canceled_by = nullable(UnicodeAttribute())  # the caller that canceled it or asked it to stop
    cancel_asked_at = nullable(Integer())  # when a caller first canceled it or asked it to stop
    # the finished job from whose steps it continues: see job_runners.store.copied_steps
    rerun_of = JSONAttribute(null=True)


class OutcomeFields:
    """The progress of the work, and its outcome."""

    status = Enumerated(Status)
    progress = Integer(default=0)  # 0 to 100
    result_message = nullable(UnicodeAttribute())  # describes the progress, and later the result
    result = nullable(BinaryAttribute(legacy_encoding=False))
    # The key of the result's object in the bucket, if the result is too large for the row.
    result_key = nullable(UnicodeAttribute())
    error = JSONAttribute(null=True)  # see `retrying.error_record`
    earlier_errors = JSONAttribute(null=True)  # see job_runners.store.earlier_errors


class TimeFields:
    """The times of its past changes, and the times when it must be started, checked and deleted."""

    created_at = Integer()
    created_key = UnicodeAttribute()  # see `sort_key`; it never changes
    queued_at = nullable(Integer())
    run_at = nullable(Integer())  # the earliest time at which it may start
    started_at = nullable(Integer())  # when it was last claimed
    finished_at = nullable(Integer())
    updated_at = nullable(Integer())
    expires_at = nullable(Integer())  # in seconds
    due_at = nullable(Integer())  # when the timer function must check it
    due_shard = nullable(UnicodeAttribute())  # its lane, then the number of its shard


class ClaimFields:
    """Its attempts, and the claims by which Lambda invocations run it."""

    attempt = Integer(default=1)  # the number of the current or next attempt
    max_attempts = Integer(default=1)
    attempt_limit = nullable(Integer())  # the max_attempts in the request, if any
    attempt_started_at = nullable(Integer())  # when the attempt's first invocation claimed it
    invocations = Integer(default=0)  # the number of its claims, without those that were released
    claims = Integer(default=0)  # the number of all its claims, which is never reset or lowered
    past = nullable(BinaryAttribute(legacy_encoding=False))  # see job_runners.store.past
    claim_token = nullable(UnicodeAttribute())  # random; the fencing token of the last claim
    # Random, and never shown. The ids of its children and members are hashes of the salt and their
    # keys. Without the salt, callers who must not see the keys could guess them from the ids.
    salt = nullable(UnicodeAttribute())
    send_id = nullable(UnicodeAttribute())  # the id of the message that led to the last claim
    lease_until = nullable(Integer())  # when the invocation that claimed it must have ended
    cursor = JSONAttribute(null=True)  # where the next invocation or attempt resumes
    cancel_requested = nullable(BooleanAttribute())  # a caller asked it to stop while it ran
    # The start of the first invocation that may have dispatched a child without recording it as a
    # step. See `transitions.ending.unrecorded_actions`.
    unrecorded_since = nullable(Integer())
    restarts = nullable(Integer())  # how many times it started over with a new payload
    begun_at = nullable(Integer())  # when it last started over


class CapacityFields:
    """Its queue, and the capacity that it has there: see `job_runners.store.lines`."""

    queue_name = UnicodeAttribute()
    concurrency_key = nullable(UnicodeAttribute())  # the job's key, if its queue has limits
    slot = nullable(Integer())  # the number of its slot
    # When it was admitted, or queued for its next invocation with its capacity. A claim removes it.
    admitted_at = nullable(Integer())
    # Whether the queue's rate limit counts its next or current claim. The limit counts only claims
    # that start the job, not those of its later invocations.
    starts_under_rate = nullable(BooleanAttribute())

    @property
    def is_admitted(self) -> bool:
        """Return whether it already has capacity, from an admission or its last invocation."""
        return self.admitted_at is not None


class WaitFields(OutcomeFields):
    """What it waits for: a pause, its line, another job, a signal, a time or a group.

    Its *line* has the waiting jobs of its queue with the same concurrency key.
    """

    held_by = nullable(UnicodeAttribute())  # the pause, line, job, signal or group it waits for
    wait_key = nullable(UnicodeAttribute())  # the sort key of its entry in a line
    waiting_since = nullable(Integer())
    # Set when it first waits, dispatches a group, or gets a signal or a link for an answer. It is
    # never removed, because the records of these must be deleted with the job.
    has_waited = nullable(BooleanAttribute())
    # The number of its invocations that ended in a wait. `max_invocations` doesn't limit these.
    wait_count = nullable(Integer())
    signals = nullable(Integer())  # how many signals it got: see job_runners.store.signals
    # The last wait of its function. Read it with `job_runners.store.current_wait.of`.
    current_wait = JSONAttribute(null=True)

    @property
    def follows(self) -> str | None:
        """Return the created_key of the job whose end it awaits, or None if it awaits none."""
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
    """The groups that it has dispatched, and the group that it is in.

    See `job_runners.store.groups`.
    """

    last_group_id = nullable(UnicodeAttribute())  # the last group that it began to dispatch
    last_finished_group_id = nullable(UnicodeAttribute())  # the last group whose end it has seen
    # The number of manual retries of members while it waited for them. It is never reset.
    gather_epoch = nullable(Integer())
    # Whether a caller has canceled its members. The job itself is canceled when they have ended.
    cancel_members = nullable(BooleanAttribute())
    # For a large group: the counts of its members by outcome, when the timer last counted them.
    member_counts = JSONAttribute(null=True)
    # the group of which it is a member itself
    group_of = nullable(UnicodeAttribute())  # the group's name
    member_of = nullable(UnicodeAttribute())  # the name of its shard: the group's id and a number
    member_mark = nullable(UnicodeAttribute())  # the `mark` of its marker

    @property
    def has_open_group(self) -> bool:
        """Return whether it has begun to dispatch a group whose end it hasn't seen."""
        return self.last_group_id != self.last_finished_group_id


class UniqueFields:
    """The key of unique work: see `job_runners.store.uniqueness`."""

    unique_key = nullable(UnicodeAttribute())  # removed at its end, or at its claim for some types
    first_run_at = nullable(Integer())  # the start time in its first request
    is_follower = nullable(BooleanAttribute())  # whether it was created to follow another job
    # the last request that replaced its payload
    replaced_by = nullable(UnicodeAttribute())  # a random id of that replacement
    replaced_at = nullable(Integer())
    replaced_author = nullable(UnicodeAttribute())  # as "role:name"
    # Set by a manual retry that lets it continue its work. If its payload is then replaced, it
    # starts over instead.
    resumes = nullable(BooleanAttribute())


class FollowUpFields:
    """The jobs that its end dispatches: see `job_runners.store.follow_ups`."""

    on_end = JSONAttribute(null=True)
    on_failure = JSONAttribute(null=True)
    announcement = JSONAttribute(null=True)  # announces its end, if the stack's settings ask for it
    # The number of times it has ended with follow-ups. A job ends again after a manual retry.
    ends = nullable(Integer())
    follow_ups_saved_at = nullable(Integer())  # the `finished_at` of the last such end
    follow_up_of = nullable(UnicodeAttribute())  # the job whose end saved this one


class IndexFields:
    """The keys of indexes that contain only some jobs."""

    # The keys of the index `failed`, which only failed jobs have.
    failed_organization = nullable(UnicodeAttribute())
    failed_key = nullable(UnicodeAttribute())
    # The hash key of the index `unfinished`, which unfinished jobs have if there is a quota.
    unfinished_organization = nullable(UnicodeAttribute())
    batch_total = nullable(Integer())  # the number of a batch's members
