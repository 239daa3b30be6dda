"""The keys of unique work. The coordination table has one record for each key, which names its job.

A row names the key that it has or waits for (`unique_key`). The record is put in the transaction
that saves or requeues the row. It is deleted in the transaction of the verb that ends or claims the
job: see `store.holdings`. So row and record can't come apart, except through code that knows no
keys. A record whose job has ended is therefore free. The next job takes it over if it is as it was
read.

One more job may wait for the end of the job that has the key: its follower. The record names both.
When the first job ends, the same transaction admits the follower and gives it the key.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from pynamodb.attributes import UnicodeAttribute
from pynamodb.exceptions import PynamoDBException
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

import clock
from aws.errors import conflicts
from errors import PreconditionFailed
from store import conditional_write
from store.job_request import BEHIND, JobRequest, Lane, Status, job_id_of
from store.queries import read
from store.table import Integer, Table, nullable
from store.transactions import NotWritten, RaceLost, RecordWrite

# Longer than any row can live, as for steps.
_LIFETIME = 180 * clock.DAY
_TRIES = 5  # to take a key, because others may take it and give it up


class KeyRecord(Table):
    """The record of a key. It names jobs by their created_key, because another job may get an
    id."""

    class Meta:
        table_name = ""  # from table_setting, at first use

    table_setting = "COORDINATION_TABLE_NAME"

    pk = UnicodeAttribute(hash_key=True)  # the key
    sk = UnicodeAttribute(range_key=True, default="holder")
    holder = UnicodeAttribute()
    follower = nullable(UnicodeAttribute())  # waits for the holder's end
    expires_at = Integer()  # in seconds, for TTL

    @property
    def key(self) -> str:
        """Return the key of this record."""
        return self.pk.removeprefix("unique#")


class Held(NamedTuple):
    """A key that a job has: its record, that job, and its follower if there is one."""

    record: KeyRecord
    holder: JobRequest
    follower: JobRequest | None

    @property
    def place(self) -> str:
        """Return the `held_by` of a follower."""
        return f"{BEHIND}{self.record.holder}"


class KeyTaken(NotWritten):
    """Another job has the unique key that a row was to get."""

    def __init__(self, held: Held) -> None:
        super().__init__("another job has the unique key")
        self.held = held


class Free(NamedTuple):
    """A key that no job has, although it may have a record. A follower, if there is one, gets it
    first."""

    record: KeyRecord | None
    follower: JobRequest | None = None


def look(key: str) -> Held | Free:
    """Return the current state of a key.

    A transaction becomes visible item by item. So a record may be found without its row, and the
    key may look free although it isn't. A job that takes over a key therefore checks the row again
    in the transaction itself.
    """
    record = _record(key)
    if record is None:
        return Free(None)
    holder, follower = read(job_id_of(record.holder)), _follower(record)
    if holder is None or not has_key(holder, record):
        return Free(record, follower)
    return Held(record, holder, follower)


def has_key(row: JobRequest, record: KeyRecord) -> bool:
    """Return whether a row with the id that a record names belongs to a job that has the record's
    key."""
    return not row.status.finished and row.unique_key == record.key


def _record(key: str) -> KeyRecord | None:
    try:
        return KeyRecord.get(_record_id(key), "holder", consistent_read=True)
    except KeyRecord.DoesNotExist:
        return None


def _follower(record: KeyRecord) -> JobRequest | None:
    """Return the job that follows the record's holder, if one waits for its end."""
    row = read(job_id_of(record.follower)) if record.follower is not None else None
    return row if row is not None and row.follows == record.holder else None


# --- writes ---------------------------------------------------------------------------------------


def taken(key: str, job: JobRequest, over: KeyRecord | None) -> list[RecordWrite]:
    """Return the writes that give a job a key.

    The key has no record, or `over` is the record of a job that has ended. The writes are refused
    unless the record is as it was read.
    """
    record = KeyRecord(_record_id(key), holder=job.created_key, expires_at=_expiry())
    writes = [RecordWrite(record, "put", condition=_as_read(over))]
    # otherwise the row's own write checks this
    if over is not None and job_id_of(over.holder) != job.id:
        # To DynamoDB, a missing row, or a row without a key, has another key.
        has_ended = (JobRequest.unique_key != key) | JobRequest.status.is_in(
            *(each for each in Status if each.finished)
        )
        writes.append(
            RecordWrite(JobRequest(id=job_id_of(over.holder)), "check", condition=has_ended)
        )
    return writes if over is None else [*writes, *_not_followed(over, job)]


def queued_behind(held: Held, job: JobRequest) -> list[RecordWrite]:
    """Return the writes that make a job follow the job that has the key."""
    follows = [KeyRecord.follower.set(job.created_key)]
    as_read = _as_read(held.record)
    return [RecordWrite(held.record, "change", follows, as_read), *_not_followed(held.record, job)]


def given_up(job: JobRequest) -> list[RecordWrite]:
    """Return the write by which a job gives up its key, or its position behind another job.

    It relies on the row alone. If the job has a follower, the write is refused.
    """
    record = KeyRecord(_record_id(str(job.unique_key)), "holder")
    if job.follows is not None:
        leaves = KeyRecord.follower == job.created_key
        return [RecordWrite(record, "change", [KeyRecord.follower.remove()], leaves)]
    alone = (KeyRecord.holder == job.created_key) & KeyRecord.follower.does_not_exist()
    return [RecordWrite(record, "delete", condition=alone)]


def handed_on(job: JobRequest) -> list[RecordWrite]:
    """Return the writes by which a job gives up its key after the write of `given_up` was refused.

    Its follower gets the key, if there is one. The result is empty if the job doesn't have the key.
    """
    record = _record(str(job.unique_key))
    if record is None or record.holder != job.created_key:
        return []
    as_read = _as_read(record)
    follower = _follower(record)
    if follower is None:
        return [RecordWrite(record, "delete", condition=as_read), *_not_followed(record, job)]
    admits_follower = RecordWrite(follower, "change", *_admitting(follower))
    return [RecordWrite(record, "change", _held_by(follower), as_read), admits_follower]


def _not_followed(record: KeyRecord, job: JobRequest) -> list[RecordWrite]:
    """Return the check that the job which a record names as follower no longer follows the holder.

    It isn't needed if that job is `job`, whose row is written in the same transaction.
    """
    if record.follower is None or job_id_of(record.follower) == job.id:
        return []
    does_not_wait = JobRequest.held_by != f"{BEHIND}{record.holder}"  # or its row is gone
    follower = JobRequest(id=job_id_of(record.follower))
    return [RecordWrite(follower, "check", condition=does_not_wait)]


def with_key(
    key: str, job: JobRequest, write: Callable[[list[RecordWrite]], JobRequest]
) -> JobRequest:
    """Call `write` with the writes that give the job a key, and return the row that it has written.

    `write` makes all its writes in one transaction. Raises KeyTaken if another job has the key, and
    RaceLost if another write of `write` was refused. Raises PreconditionFailed if other jobs keep
    taking the key and giving it up.
    """
    over: KeyRecord | None = None
    for left in reversed(range(_TRIES)):
        takes = taken(key, job, over)
        try:
            return write(takes)
        except RaceLost as lost:
            others = [each for each in lost.lost if not any(each is one for one in takes)]
            if others:
                raise
            if not left:
                raise overtaken("take_key", job.id) from lost
        except PynamoDBException as error:
            if not conflicts(error) or not left:
                raise  # otherwise another process is writing the record, which then names the job
        found = look(key)
        if isinstance(found, Held):
            if found.record.holder != job.created_key:
                raise KeyTaken(found)
            continue  # an earlier try succeeded without a response: `write` finds its own row
        if found.follower is not None:
            with suppress(PreconditionFailed, RaceLost):  # if another process has done so, continue
                admit_follower(key, found.follower, found)
        over = found.record
    raise AssertionError("the last try raises")


def overtaken(verb: str, job_id: str) -> PreconditionFailed:
    """Return the error of a request that was overtaken by others at every try."""
    return PreconditionFailed(verb, job_id, "overtaken by others")


def admit_follower(key: str, follower: JobRequest, found: Free) -> JobRequest:
    """Admit the follower of a job that has ended without admitting it. The follower gets the key.

    Raises PreconditionFailed, or RaceLost if another job has taken the key.
    """
    actions, as_read = _admitting(follower)
    return conditional_write.write_with(
        "admit",
        follower,
        actions,
        as_read,
        already_applied=lambda row: row.status is not Status.WAITING,
        more_writes=taken(key, follower, found.record),
    )


def _admitting(follower: JobRequest) -> tuple[list[Action], Condition]:
    """Return the actions that admit a follower, and their condition.

    The follower starts now or at its own time. It must still wait for the end of the same job, and
    have the same time.
    """
    run_at = follower.run_at or 0
    starts = (
        conditional_write.scheduled(follower, run_at)
        if run_at > clock.now()
        else conditional_write.queued(follower, Lane.PROMPT)
    )
    actions = [*starts, *conditional_write.no_longer_parked()]
    as_read = (JobRequest.held_by == follower.held_by) & conditional_write.same(
        JobRequest.run_at, follower.run_at
    )
    return actions, as_read


def _held_by(follower: JobRequest) -> list[Action]:
    return [
        KeyRecord.holder.set(follower.created_key),
        KeyRecord.expires_at.set(_expiry()),
        KeyRecord.follower.remove(),
    ]


def _as_read(record: KeyRecord | None) -> Condition:
    if record is None:
        condition: Condition = KeyRecord.pk.does_not_exist()
    else:
        has_follower = conditional_write.same(KeyRecord.follower, record.follower)
        condition = (KeyRecord.holder == record.holder) & has_follower
    return condition


def _record_id(key: str) -> str:
    return f"unique#{key}"


def _expiry() -> int:
    return (clock.now() + _LIFETIME) // clock.SECOND
