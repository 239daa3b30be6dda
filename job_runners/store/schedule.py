"""The model Schedule: each schedule is one item of it.

An *occurrence* is one of the times at which a schedule dispatches a job. A deleted schedule leaves
a *stub*, an item without a definition. Only `job_runners.store.schedules` changes schedules.
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

VERSION = 1  # the highest version that this code knows; it can't handle items of a higher version
SHARDS = 8  # never lower the number, because an item keeps its shard
_MAX_JSON_BYTES = 100 * 1024  # every list of schedules reads the payloads
_MAX_PACKED_BYTES = 4 * 1024  # compressed; every occurrence reads and writes the whole item

Origin = Literal["code", "api"]


class DueSchedules(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """Schedules, ordered by the time at which the timer must check them.

    Paused schedules, and those without another occurrence, aren't in this index.
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
    # What happens to an occurrence while the previous one's job still runs: "skip" it, "queue" it
    # (it waits), or "allow" both jobs to run.
    overlap: str = "skip"

    @property
    def timing(self) -> tuple[str | None, int | None, str]:
        """Return the fields that determine the occurrences."""
        return (self.cron, self.every, self.timezone)

    @property
    def fingerprint(self) -> str:
        """Return an id that differs between different definitions.

        A payload that can't be written as JSON is ignored, because it can't be stored either.
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
    origin = UnicodeAttribute(default="api")  # or "code", if the code declares it
    fingerprint = nullable(UnicodeAttribute())  # the definition's, if the code declares it
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

    # progress; an occurrence is identified by its time
    since = Integer(default=0)  # the timing applies to occurrences after this time
    next_at = nullable(Integer())  # the next occurrence to handle
    waits = nullable(BooleanAttribute())  # whether next_at is due, and waits for last_job_id to end
    last_at = nullable(Integer())  # the last occurrence that was handled; only moves forward
    last_started_at = nullable(Integer())
    last_job_id = nullable(UnicodeAttribute())
    last_skipped_at = nullable(Integer())
    last_skipped_why = nullable(UnicodeAttribute())
    last_failed_at = nullable(Integer())
    last_error = JSONAttribute(null=True)  # why last_failed_at failed: kind and message
    failing_since = nullable(Integer())  # when next_at was first tried
    retry_error = JSONAttribute(null=True)  # why next_at hasn't started yet
    # counts of occurrences
    started = Integer(default=0)
    skipped = Integer(default=0)
    failed = Integer(default=0)

    # when the timer must check it
    due_at = nullable(Integer())
    due_shard = nullable(UnicodeAttribute())

    # set only in a stub, which is what remains of a deleted schedule
    deleted_at = nullable(Integer())
    expires_at = nullable(Integer())  # in seconds, for TTL

    due = DueSchedules()

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
        """Return the kind and message of the last failure to start an occurrence.

        That is the failure of the next occurrence, if it could not be started yet. Otherwise it is
        the failure of the last occurrence that failed.
        """
        return self.retry_error if self.retrying else self.last_error

    def job_id(self, at: int) -> str:
        """Return the id of the job that the occurrence `at` dispatches."""
        return derived_id("recurring", self.organization_id, self.name, str(at))


def pack(payload: Any) -> bytes:
    """Return a payload as it is stored. Raises ValueError if it can't be written as JSON."""
    return compressed(compact_json(payload))


def check_payload(payload: Any) -> None:
    """Raise PayloadTooLarge if a schedule's payload is too large.

    Raises TypeError or ValueError if JSON can't represent it.
    """
    packed_size = len(pack(payload))
    for description, size, limit in (
        ("The payload of the schedule", len(compact_json(payload)), _MAX_JSON_BYTES),
        ("The compressed payload of the schedule", packed_size, _MAX_PACKED_BYTES),
    ):
        if size > limit:
            raise PayloadTooLarge(
                description,
                size,
                limit,
                "Put the data into the bucket or a table, and its key into the payload.",
            )


def shards() -> list[str]:
    """Return every shard of the index `due`."""
    return [f"{PARTITION}-{number}" for number in range(SHARDS)]


def due_shard(schedule: Schedule) -> str:
    """Return the shard of the index `due` for a schedule."""
    return f"{PARTITION}-{crc32(f'{schedule.pk}#{schedule.sk}'.encode()) % SHARDS}"
