"""The schedule: one item of the coordination table, and what each of its fields means.

Schedules are changed by `store.schedules.changing` and `store.schedules.moving_on`, and by nothing
else.
"""

import json
import zlib
from typing import Any, Literal, NamedTuple
from zlib import crc32

from pynamodb.indexes import GlobalSecondaryIndex, KeysOnlyProjection

from store.attributes import BinaryAttribute, BooleanAttribute, JSONAttribute, UnicodeAttribute
from store.blobs import compact_json, compressed
from store.job_request import derived_id
from store.schedule_marks import PARTITION
from store.table import Integer, Table, nullable

VERSION = 1  # the highest that this code knows: newer code may mean something else by an item
SHARDS = 8  # may grow, never shrink: items keep the shard that their name gives them
LARGEST_PAYLOAD = 4 * 1024  # bytes, compressed: every occurrence reads and writes the whole item

Origin = Literal["code", "api"]


class DueSchedules(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """Schedules by the time at which the timer has to look at them. Sparse: paused ones, and those
    that never come again, are not in it."""

    class Meta:
        index_name = "due"
        projection = KeysOnlyProjection()

    due_shard = UnicodeAttribute(hash_key=True)
    due_at = Integer(range_key=True)


class Definition(NamedTuple):
    """What is to be done again and again, and when. `most_missed` is how many of the occurrences
    that nobody started in time are made up for: 0, 1, or as many as there may be."""

    job_type: str
    payload: Any
    cron: str | None
    every: int | None  # seconds
    timezone: str = "UTC"
    campaign_id: str | None = None
    most_missed: int = 1
    overlap: str = "skip"

    @property
    def timing(self) -> tuple[str | None, int | None, str]:
        """Return what says when."""
        return (self.cron, self.every, self.timezone)

    @property
    def fingerprint(self) -> str:
        """Return what tells it from another one. A payload that JSON has no form for counts as
        none: it can't be stored."""
        try:
            told = json.dumps(self._asdict(), sort_keys=True)
        except (TypeError, ValueError, RecursionError):
            told = json.dumps(self._replace(payload=None)._asdict(), sort_keys=True)
        return derived_id("schedule", told)


class Schedule(Table):
    """A schedule. Times are milliseconds since 1970; those that are not of a write are of
    occurrences."""

    class Meta:
        table_name = ""  # from table_setting, at first use

    table_setting = "COORDINATION_TABLE_NAME"

    pk = UnicodeAttribute(hash_key=True)  # its organisation
    sk = UnicodeAttribute(range_key=True)  # its name
    version = Integer(default=1)
    revision = UnicodeAttribute()  # another one with every write

    # what was asked
    origin = UnicodeAttribute(default="api")  # or "code", which declares it
    fingerprint = nullable(UnicodeAttribute())  # of what the code declares
    job_type = UnicodeAttribute()
    campaign_id = nullable(UnicodeAttribute())
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

    # how far it is
    since = Integer(default=0)  # its timing holds for occurrences after this one
    next_at = nullable(Integer())  # the occurrence to be dealt with next; None: there is none
    waits = nullable(BooleanAttribute())  # that one has come, and waits for the one before it
    last_at = nullable(Integer())  # the last that was dealt with: moves forward only
    last_started_at = nullable(Integer())
    last_job_id = nullable(UnicodeAttribute())
    last_skipped_at = nullable(Integer())
    last_skipped_why = nullable(UnicodeAttribute())
    last_failed_at = nullable(Integer())
    last_error = JSONAttribute(null=True)  # kind and message
    failing_since = nullable(Integer())  # when next_at was tried first
    retry_error = JSONAttribute(null=True)  # why next_at could not be started so far
    started = Integer(default=0)  # how many
    skipped = Integer(default=0)
    failed = Integer(default=0)

    # when the timer has to look at it
    due_at = nullable(Integer())
    due_shard = nullable(UnicodeAttribute())

    # of a stub
    deleted_at = nullable(Integer())
    expires_at = nullable(Integer())  # in seconds, for TTL

    due = DueSchedules()

    @property
    def organization_id(self) -> str:
        """Return whose it is."""
        return self.pk.partition("#")[2]

    @property
    def name(self) -> str:
        """Return its name, which is its organisation's own."""
        return self.sk

    @property
    def is_deleted(self) -> bool:
        """Return whether it is only a stub."""
        return self.deleted_at is not None

    @property
    def is_declared(self) -> bool:
        """Return whether the code has declared it."""
        return self.origin == "code" and not self.is_deleted

    @property
    def payload(self) -> Any:
        """Return what each of its jobs is given."""
        return json.loads(zlib.decompress(self.packed_payload))

    @property
    def retrying(self) -> bool:
        """Return whether its next occurrence has come, and could not be started so far."""
        return self.failing_since is not None

    @property
    def timing(self) -> tuple[str | None, int | None, str]:
        """Return what says when."""
        return (self.cron, self.every, self.timezone)

    @property
    def error(self) -> Any:
        """Return kind and message of why its next occurrence could not be started so far; or else
        of why the last that could not be was given up."""
        return self.retry_error if self.retrying else self.last_error

    def job_id(self, at: int) -> str:
        """Return the id of an occurrence, which is its job's."""
        return derived_id("recurring", self.organization_id, self.name, str(at))


def pack(payload: Any) -> bytes:
    """Return a payload as an item keeps it. Raises ValueError for what JSON has no form for."""
    return compressed(compact_json(payload))


def partition_of(organization_id: str) -> str:
    """Return the partition of an organisation's schedules."""
    return f"{PARTITION}#{organization_id}"


def shards() -> list[str]:
    """Return every shard of the index."""
    return [f"{PARTITION}-{number}" for number in range(SHARDS)]


def due_shard(schedule: Schedule) -> str:
    """Return the shard of the index that a schedule is in while it is due at some time."""
    return f"{PARTITION}-{crc32(f'{schedule.pk}#{schedule.sk}'.encode()) % SHARDS}"
