"""The model of schedules. Only `job_runners.store.schedules` changes them.

An *occurrence* is one of the times at which a schedule dispatches a job. A deleted schedule leaves
a *stub*, an item without a definition.
"""

import json
import zlib
from typing import Any, Literal, NamedTuple
from zlib import crc32

from pynamodb.attributes import BinaryAttribute, BooleanAttribute, JSONAttribute, UnicodeAttribute
from pynamodb.indexes import GlobalSecondaryIndex, KeysOnlyProjection

from job_runners.errors import PayloadTooLarge
from job_runners.store.blobs import compact_json, compressed
from job_runners.store.job_request import derived_id
from job_runners.store.schedule_marks import PARTITION
from job_runners.store.table import CoordinationItem, Integer, nullable

VERSION = 1  # this code handles only schedules up to this version
SHARDS = 8  # never lower it, because items keep their shards
# Limits of a payload: every list of schedules reads the payloads, and every occurrence reads and
# writes the whole item, with the compressed payload.
_MAX_JSON_BYTES = 100 * 1024
_MAX_COMPRESSED_BYTES = 4 * 1024

Origin = Literal["code", "api"]


class DueIndex(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """Schedules, ordered by the time at which the timer must check them.

    It leaves out paused schedules, and those without another occurrence.
    """

    class Meta:
        index_name = "due"
        projection = KeysOnlyProjection()

    due_shard = UnicodeAttribute(hash_key=True)
    due_at = Integer(range_key=True)


class Definition(NamedTuple):
    """The job that a schedule dispatches, and when."""

    job_type: str
    payload: Any
    cron: str | None
    every: int | None  # seconds
    timezone: str = "UTC"
    most_missed: int = 1  # the maximum number of missed occurrences that start late
    # What to do with an occurrence while the previous one's job still runs: "skip" it, "queue" it
    # to wait for the job's end, or "allow" both jobs to run.
    overlap: str = "skip"

    @property
    def timing(self) -> tuple[str | None, int | None, str]:
        """Return the fields that determine the occurrences."""
        return (self.cron, self.every, self.timezone)

    @property
    def fingerprint(self) -> str:
        """Return a hash of the definition.

        It ignores a payload that JSON can't represent, because that can't be stored either.
        """
        try:
            text = json.dumps(self._asdict(), sort_keys=True)
        except (TypeError, ValueError, RecursionError):
            text = json.dumps(self._replace(payload=None)._asdict(), sort_keys=True)
        return derived_id("schedule", text)


def partition_of(organization_id: str) -> str:
    """Return the DynamoDB partition of an organization's schedules."""
    return f"{PARTITION}#{organization_id}"


class Schedule(CoordinationItem):
    """A schedule, and its progress. Times are milliseconds since 1970."""

    counted_as = "schedules"
    partition_of = staticmethod(partition_of)

    pk = UnicodeAttribute(hash_key=True)  # the organization, see `partition_of`
    sk = UnicodeAttribute(range_key=True)  # the schedule's name
    version = Integer(default=1)
    revision = UnicodeAttribute()  # changes with every write

    # the definition
    origin = UnicodeAttribute(default="api")  # "code" if the code declares it
    fingerprint = nullable(UnicodeAttribute())  # of the definition, if the code declares it
    job_type = UnicodeAttribute()
    packed_payload = BinaryAttribute(legacy_encoding=False)
    cron = nullable(UnicodeAttribute())
    every = nullable(Integer())  # seconds
    timezone = UnicodeAttribute(default="UTC")
    most_missed = Integer(default=1)
    overlap = UnicodeAttribute(default="skip")
    created_at = nullable(Integer())
    created_by = nullable(UnicodeAttribute())
    updated_at = nullable(Integer())
    updated_by = nullable(UnicodeAttribute())
    paused_at = nullable(Integer())
    paused_by = nullable(UnicodeAttribute())

    # progress; each occurrence is identified by its time
    since = Integer(default=0)  # the timing applies to occurrences after this time
    next_at = nullable(Integer())  # the next occurrence to handle
    waits = nullable(BooleanAttribute())  # whether next_at waits for the end of last_job_id
    last_at = nullable(Integer())  # the last handled occurrence; it never moves back
    last_started_at = nullable(Integer())
    last_job_id = nullable(UnicodeAttribute())
    last_skipped_at = nullable(Integer())
    last_skipped_why = nullable(UnicodeAttribute())
    last_failed_at = nullable(Integer())
    last_error = JSONAttribute(null=True)  # the kind and the message of the error of last_failed_at
    failing_since = nullable(Integer())  # when the timer first failed to start next_at
    retry_error = JSONAttribute(null=True)  # why it failed
    # counts of occurrences
    started = Integer(default=0)
    skipped = Integer(default=0)
    failed = Integer(default=0)

    # when the timer must check it
    due_at = nullable(Integer())
    due_shard = nullable(UnicodeAttribute())

    # only in a stub
    deleted_at = nullable(Integer())
    expires_at = nullable(Integer())  # in seconds, for TTL

    due = DueIndex()

    @property
    def organization_id(self) -> str:
        """Return the organization that owns the schedule."""
        return self.pk.partition("#")[2]

    @property
    def name(self) -> str:
        """Return the schedule's name, unique in its organization."""
        return self.sk

    @property
    def is_deleted(self) -> bool:
        """Return whether the schedule is deleted, so that only its stub is left."""
        return self.deleted_at is not None

    @property
    def is_declared(self) -> bool:
        """Return whether the code declares this schedule, and it isn't deleted."""
        return self.origin == "code" and not self.is_deleted

    @property
    def payload(self) -> Any:
        """Return the payload of the schedule's jobs."""
        return json.loads(zlib.decompress(self.packed_payload))

    @property
    def retrying(self) -> bool:
        """Return whether the next occurrence is due but could not be started yet."""
        return self.failing_since is not None

    @property
    def timing(self) -> tuple[str | None, int | None, str]:
        """Return the fields that determine the occurrences."""
        return (self.cron, self.every, self.timezone)

    @property
    def error(self) -> Any:
        """Return the kind and message of the last error that prevented an occurrence's start.

        If the timer is retrying the next occurrence, this is the error of its last try. Otherwise,
        this is the error of the last occurrence that failed.
        """
        return self.retry_error if self.retrying else self.last_error

    def job_id(self, at: int) -> str:
        """Return the id of the job that the occurrence `at` dispatches."""
        return derived_id("recurring", self.organization_id, self.name, str(at))


def pack(payload: Any) -> bytes:
    """Return a payload as it is stored. Raises ValueError if JSON can't represent it."""
    return compressed(compact_json(payload))


def check_payload(payload: Any) -> None:
    """Raise PayloadTooLarge if a schedule's payload is too large.

    Raises TypeError or ValueError if JSON can't represent it.
    """
    advice = "Put the data into the bucket or a table, and its key into the payload."
    json_size, compressed_size = len(compact_json(payload)), len(pack(payload))
    if json_size > _MAX_JSON_BYTES:
        raise PayloadTooLarge("The payload of the schedule", json_size, _MAX_JSON_BYTES, advice)
    if compressed_size > _MAX_COMPRESSED_BYTES:
        what = "The compressed payload of the schedule"
        raise PayloadTooLarge(what, compressed_size, _MAX_COMPRESSED_BYTES, advice)


def shards() -> list[str]:
    """Return every shard of the index `due`."""
    return [f"{PARTITION}-{number}" for number in range(SHARDS)]


def due_shard(schedule: Schedule) -> str:
    """Return the shard of the index `due` for a schedule."""
    return f"{PARTITION}-{crc32(f'{schedule.pk}#{schedule.sk}'.encode()) % SHARDS}"
