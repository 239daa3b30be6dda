"""The keys of unique work. For each, a record in the coordination table names the job that has it.

A row names the key that it has or waits for (`unique_key`). The transaction that saves or retries
the row puts the record. The transaction that ends the job deletes the record. If the job has its
key only until it starts, the claim deletes the record instead (see `job_runners.store.holdings`).

So row and record agree, unless a row was deleted manually or a table was restored. A record whose
job has ended or is gone counts as free. The next job takes the record over, on condition that the
record hasn't changed.

The job that has the key is called the holder. One other job, the follower, may wait for the holder
to end. The record names both. The transaction that ends the holder admits the follower and gives
it the key.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, TypeVar

from pynamodb.attributes import UnicodeAttribute
from pynamodb.exceptions import PynamoDBException
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from job_runners import clock
from job_runners.aws.errors import conflicts
from job_runners.errors import PreconditionFailed
from job_runners.store import conditional_write
from job_runners.store.job_fields import FOLLOWS_PREFIX
from job_runners.store.job_request import JobRequest, Lane, Status, job_id_of
from job_runners.store.queries import read
from job_runners.store.table import CoordinationItem, Integer, nullable
from job_runners.store.transactions import NotWritten, RaceLost, RecordWrite

_T = TypeVar("_T")

_LIFETIME = 300 * clock.DAY  # no row can live longer, so a record outlives its job's row
_TRIES = 5  # tries to take a key, because other jobs may take it and give it up in between


class KeyRecord(CoordinationItem):
    """The record of a key.

    It names jobs by their created_key, because a later job may get the same id.
    """

    erased = "not: it goes when its job ends"

    pk = UnicodeAttribute(hash_key=True)  # "unique#" and the key
    sk = UnicodeAttribute(range_key=True, default="holder")
    holder = UnicodeAttribute()
    follower = nullable(UnicodeAttribute())  # the job that waits for the holder's end
    expires_at = Integer()  # in seconds, for TTL

    @property
    def key(self) -> str:
        """Return the key of this record."""
        return self.pk.removeprefix("unique#")


class Held(NamedTuple):
    """A key that a job has: the key's record, that job, and its follower if there is one."""

    record: KeyRecord
    holder: JobRequest
    follower: JobRequest | None

    @property
    def held_by_of_follower(self) -> str:
        """Return the `held_by` of a job that follows the holder."""
        return f"{FOLLOWS_PREFIX}{self.record.holder}"


class KeyTaken(NotWritten):
    """Another job has the unique key that a row was to get."""

    def __init__(self, held: Held) -> None:
        super().__init__("another job has the unique key")
        self.held = held


class Free(NamedTuple):
    """A key that no job has, although there may be a record of it.

    If the record's job has a follower, the follower gets the key before any new job.
    """

    record: KeyRecord | None
    follower: JobRequest | None = None


def look(key: str) -> Held | Free:
    """Return which job has a key, or that the key is free.

    A transaction becomes visible item by item. So the record of a key may be visible before the row
    of its job, and the key then looks free. The transaction that takes over a record therefore
    checks the row again.
    """
    record = _record(key)
    if record is None:
        return Free(None)
    holder, follower = read(job_id_of(record.holder)), _follower(record)
    if holder is None or not has_key(holder, record):
        return Free(record, follower)
    return Held(record, holder, follower)


def has_key(row: JobRequest, record: KeyRecord) -> bool:
    """Return whether a record's holder still has the key. `row` is the row with the holder's id."""
    return not row.status.finished and row.unique_key == record.key


def _record(key: str) -> KeyRecord | None:
    try:
        return KeyRecord.get(_record_id(key), "holder", consistent_read=True)
    except KeyRecord.DoesNotExist:
        return None


def _follower(record: KeyRecord) -> JobRequest | None:
    """Return the job that waits for the end of the record's holder, if there is one."""
    row = read(job_id_of(record.follower)) if record.follower is not None else None
    return row if row is not None and row.follows == record.holder else None


# --- writes ---------------------------------------------------------------------------------------


def take_writes(key: str, job: JobRequest, old_record: KeyRecord | None) -> list[RecordWrite]:
    """Return the writes that give a key to a job.

    `old_record` is the record of a job that has ended, or None if the key has no record. The writes
    are refused if the key's record has changed in the meantime.
    """
    record = KeyRecord(_record_id(key), holder=job.created_key, expires_at=_expiry())
    writes = [RecordWrite(record, "put", condition=_as_read(old_record))]
    # Check that the old holder has ended. If it is `job` itself, the write of its row checks that.
    if old_record is not None and job_id_of(old_record.holder) != job.id:
        # `!=` also holds if the row or its unique_key doesn't exist.
        has_ended = (JobRequest.unique_key != key) | JobRequest.status.is_in(
            *(each for each in Status if each.finished)
        )
        writes.append(
            RecordWrite(JobRequest(id=job_id_of(old_record.holder)), "check", condition=has_ended)
        )
    return writes if old_record is None else [*writes, *_not_followed(old_record, job)]


def follow_writes(held: Held, job: JobRequest) -> list[RecordWrite]:
    """Return the writes that make a job follow the job that has the key."""
    follows = [KeyRecord.follower.set(job.created_key)]
    as_read = _as_read(held.record)
    return [RecordWrite(held.record, "change", follows, as_read), *_not_followed(held.record, job)]


def give_up_writes(job: JobRequest) -> list[RecordWrite]:
    """Return the write by which a job gives up its key, or stops following another job.

    No read of the record is needed. If the job has a follower, the write is refused.
    """
    record = KeyRecord(_record_id(str(job.unique_key)), "holder")
    if job.follows is not None:
        is_follower = KeyRecord.follower == job.created_key
        return [RecordWrite(record, "change", [KeyRecord.follower.remove()], is_follower)]
    has_no_follower = (KeyRecord.holder == job.created_key) & KeyRecord.follower.does_not_exist()
    return [RecordWrite(record, "delete", condition=has_no_follower)]


def hand_key_to_follower_writes(job: JobRequest) -> list[RecordWrite]:
    """Return the writes by which a job that may have a follower gives up its key.

    Call this if the `give_up_writes` of the job were refused. It reads the record. If there is a
    follower, the writes admit it and give it the key. If the job doesn't have the key, there are no
    writes.
    """
    record = _record(str(job.unique_key))
    if record is None or record.holder != job.created_key:
        return []
    as_read = _as_read(record)
    follower = _follower(record)
    if follower is None:
        return [RecordWrite(record, "delete", condition=as_read), *_not_followed(record, job)]
    admits_follower = RecordWrite(follower, "change", *_admission(follower))
    return [RecordWrite(record, "change", _make_holder(follower), as_read), admits_follower]


def _not_followed(record: KeyRecord, job: JobRequest) -> list[RecordWrite]:
    """Return a check that the follower in a record, if any, no longer waits for the holder.

    No check is needed if the follower is `job`, whose row is written in the same transaction.
    """
    if record.follower is None or job_id_of(record.follower) == job.id:
        return []
    # `!=` also holds if the row doesn't exist.
    does_not_wait = JobRequest.held_by != f"{FOLLOWS_PREFIX}{record.holder}"
    follower = JobRequest(id=job_id_of(record.follower))
    return [RecordWrite(follower, "check", condition=does_not_wait)]


def save_with_key(key: str, job: JobRequest, save: Callable[[list[RecordWrite]], _T]) -> _T:
    """Save a job's row in one transaction with the writes that give it a key.

    `save` is called with those writes, and its result is returned. Raises KeyTaken if another job
    has the key, and RaceLost if another write of the transaction was refused. Raises
    PreconditionFailed if other jobs keep taking the key and giving it up.
    """
    old_record: KeyRecord | None = None
    for tries_left in reversed(range(_TRIES)):
        key_writes = take_writes(key, job, old_record)
        try:
            return save(key_writes)
        except RaceLost as lost:
            if not all(any(each is one for one in key_writes) for each in lost.refused):
                raise  # a write that has nothing to do with the key was refused
            if not tries_left:
                raise overtaken("take_key", job.id) from lost
        except PynamoDBException as error:
            if not conflicts(error) or not tries_left:
                raise
            # Another process is writing the record: read below which job has the key.
        found = look(key)
        if isinstance(found, Held):
            if found.record.holder != job.created_key:
                raise KeyTaken(found)
            # This job has the key: an earlier try succeeded, and its response was lost. `save`
            # will find its row.
            continue
        if found.follower is not None:
            # The writes are refused if another process has admitted the follower in the meantime.
            with suppress(PreconditionFailed, RaceLost):
                admit_follower(key, found.follower, found)
        old_record = found.record
    raise AssertionError("the last try raises")


def overtaken(transition: str, job_id: str) -> PreconditionFailed:
    """Return the error for a request that lost the race for a key at every try."""
    return PreconditionFailed(transition, job_id, "overtaken by others")


def admit_follower(key: str, follower: JobRequest, found: Free) -> conditional_write.Change:
    """Admit the follower of a job that ended without admitting it. The follower gets the key.

    Raises PreconditionFailed, or RaceLost if another job has taken the key.
    """
    actions, as_read = _admission(follower)
    return conditional_write.write_with(
        "admit",
        follower,
        actions,
        as_read,
        already_applied=lambda row: row.status is not Status.WAITING,
        more_writes=take_writes(key, follower, found.record),
        resumes=True,
    )


def _admission(follower: JobRequest) -> tuple[list[Action], Condition]:
    """Return the actions that admit a follower, and their condition.

    The follower starts now, or at its run_at if that is later. The condition is that it still waits
    for the end of the same job, and has the same run_at.
    """
    run_at = follower.run_at or 0
    starts = (
        conditional_write.schedule_actions(follower, run_at)
        if run_at > clock.now()
        else conditional_write.queue_actions(follower, Lane.PROMPT)
    )
    actions = [*starts, *conditional_write.no_longer_held()]
    as_read = (JobRequest.held_by == follower.held_by) & conditional_write.same(
        JobRequest.run_at, follower.run_at
    )
    return actions, as_read


def _make_holder(follower: JobRequest) -> list[Action]:
    """Return the actions that make the follower the holder in the record."""
    return [
        KeyRecord.holder.set(follower.created_key),
        KeyRecord.expires_at.set(_expiry()),
        KeyRecord.follower.remove(),
    ]


def _as_read(record: KeyRecord | None) -> Condition:
    if record is None:
        condition: Condition = KeyRecord.pk.does_not_exist()
    else:
        same_follower = conditional_write.same(KeyRecord.follower, record.follower)
        condition = (KeyRecord.holder == record.holder) & same_follower
    return condition


def _record_id(key: str) -> str:
    return f"unique#{key}"


def _expiry() -> int:
    return (clock.now() + _LIFETIME) // clock.SECOND
