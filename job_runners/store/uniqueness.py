"""The keys of unique work: at most one job has a key at a time.

The job that has a key is its *holder*. Another job, the *follower*, may wait for the holder's end.
The *row* of each job names the key (`unique_key`), and the key's *record* in the coordination table
names both jobs.

A job's row and the key's record change in one transaction. When a job is saved or retried, the
record is written. When the job ends, the record is deleted. If the job has a follower, the follower
gets the key instead, and is *admitted*, which means that it may start. Jobs of some types have
their key only until a worker claims them. The claim then deletes the record.

So the row and the record agree, unless a row was deleted manually or a table was restored. If the
holder in a record has ended or is gone, the key counts as free. The next job takes over the record,
unless the record changes in the meantime.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, TypeVar

from pynamodb.attributes import UnicodeAttribute
from pynamodb.exceptions import PynamoDBException
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from job_runners import clock
from job_runners.aws.errors import is_conflict
from job_runners.errors import PreconditionFailed
from job_runners.store import conditional_write
from job_runners.store.job_fields import FOLLOWS_PREFIX
from job_runners.store.job_request import JobRequest, Lane, Status, job_id_of
from job_runners.store.queries import read
from job_runners.store.table import CoordinationItem, Integer, nullable
from job_runners.store.transactions import NotWritten, RaceLost, RecordWrite, contains

_T = TypeVar("_T")

_LIFETIME = 300 * clock.DAY  # no row lives longer, so a record outlives its job's row
_MAX_TRIES = 5  # to take a key, which other jobs may take and give up between two tries


class KeyRecord(CoordinationItem):
    """The record of a key.

    It names each job by its `created_key`, which has the time of creation and the id. An id alone
    can belong to several jobs over time.
    """

    how_erased = "not at all: it is deleted when its job ends"

    pk = UnicodeAttribute(hash_key=True)  # "unique#" and the key
    sk = UnicodeAttribute(range_key=True, default="holder")
    holder = UnicodeAttribute()
    follower = nullable(UnicodeAttribute())  # the job that waits for the holder's end
    expires_at = Integer()  # in seconds, for TTL

    @property
    def key(self) -> str:
        """Return the key without the prefix."""
        return self.pk.removeprefix("unique#")


class HeldKey(NamedTuple):
    """A key that a job has. The follower is None if no job waits for the key."""

    record: KeyRecord
    holder: JobRequest
    follower: JobRequest | None

    @property
    def follower_held_by(self) -> str:
        """Return the value of the field `held_by` in the row of a job that follows the holder."""
        return f"{FOLLOWS_PREFIX}{self.record.holder}"


class KeyTaken(NotWritten):
    """A row wasn't written, because another job has its unique key."""

    def __init__(self, held_key: HeldKey) -> None:
        super().__init__("another job has the unique key")
        self.held_key = held_key


class FreeKey(NamedTuple):
    """A key that no job has. It may have the record of a job that has ended.

    If that job had a follower, the follower gets the key before any new job.
    """

    record: KeyRecord | None
    follower: JobRequest | None = None


def read_key(key: str) -> HeldKey | FreeKey:
    """Read which job has a key, if any.

    A transaction's items don't become visible all at once. If a key's record is visible before its
    holder's row, the key looks free although it isn't. So the transaction that takes over the
    record also checks the holder's row.
    """
    record = _read_record(key)
    if record is None:
        return FreeKey(None)
    follower = _read_follower(record)
    holder = read(job_id_of(record.holder))
    if holder is None or not has_key(holder, record):
        return FreeKey(record, follower)
    return HeldKey(record, holder, follower)


def has_key(row: JobRequest, record: KeyRecord) -> bool:
    """Return whether the holder in a record still has the key. `row` is the holder's row."""
    return not row.status.finished and row.unique_key == record.key


def _read_record(key: str) -> KeyRecord | None:
    return KeyRecord.find(_record_id(key), "holder")


def _read_follower(record: KeyRecord) -> JobRequest | None:
    """Return the job that waits for the end of the holder in a record, or None."""
    if record.follower is None:
        return None
    row = read(job_id_of(record.follower))
    if row is None or row.follows != record.holder:
        return None
    return row


# --- writes ---------------------------------------------------------------------------------------


def writes_to_take_key(
    key: str, job: JobRequest, old_record: KeyRecord | None
) -> list[RecordWrite]:
    """Return the writes that give a key to a job.

    `old_record` is the record of a job that has ended, or None if the key has no record. The writes
    are refused if the key's record has changed in the meantime.
    """
    record = KeyRecord(_record_id(key), holder=job.created_key, expires_at=clock.expiry(_LIFETIME))
    writes = [RecordWrite(record, "put", condition=_unchanged(old_record))]
    if old_record is None:
        return writes
    # Check that the old holder has ended. If `job` itself is the old holder, the write of its row
    # checks that.
    if job_id_of(old_record.holder) != job.id:
        finished = [status for status in Status if status.finished]
        # `!=` also holds if the row or its unique_key doesn't exist.
        has_ended = (JobRequest.unique_key != key) | JobRequest.status.is_in(*finished)
        old_holder = JobRequest(id=job_id_of(old_record.holder))
        writes.append(RecordWrite(old_holder, "check", condition=has_ended))
    return [*writes, *_no_follower_checks(old_record, job)]


def writes_to_follow(held_key: HeldKey, job: JobRequest) -> list[RecordWrite]:
    """Return the writes that make a job the follower of the job that has the key."""
    record = held_key.record
    actions = [KeyRecord.follower.set(job.created_key)]
    return [
        RecordWrite(record, "change", actions, _unchanged(record)),
        *_no_follower_checks(record, job),
    ]


def writes_to_release_key(job: JobRequest) -> list[RecordWrite]:
    """Return the write with which a job gives up its key, or stops following another job.

    If the job has a follower, DynamoDB refuses the write. Then call `writes_to_pass_key_on`.
    """
    record = KeyRecord(_record_id(str(job.unique_key)), "holder")
    if job.follows is not None:
        is_follower = KeyRecord.follower == job.created_key
        return [RecordWrite(record, "change", [KeyRecord.follower.remove()], is_follower)]
    has_no_follower = (KeyRecord.holder == job.created_key) & KeyRecord.follower.does_not_exist()
    return [RecordWrite(record, "delete", condition=has_no_follower)]


def writes_to_pass_key_on(job: JobRequest) -> list[RecordWrite]:
    """Read the key's record, and return the writes with which a job gives up its key.

    If the job has a follower, the writes admit it and give it the key. If the job doesn't have the
    key, there are no writes.
    """
    record = _read_record(str(job.unique_key))
    if record is None or record.holder != job.created_key:
        return []
    unchanged = _unchanged(record)
    follower = _read_follower(record)
    if follower is None:
        return [
            RecordWrite(record, "delete", condition=unchanged),
            *_no_follower_checks(record, job),
        ]
    actions, still_follows = _admission(follower)
    return [
        RecordWrite(record, "change", _holder_actions(follower), unchanged),
        RecordWrite(follower, "change", actions, still_follows),
    ]


def _no_follower_checks(record: KeyRecord, job: JobRequest) -> list[RecordWrite]:
    """Return the check that the follower in a record no longer waits for the holder.

    No check is needed if the record has no follower. None is needed either if `job` itself is the
    follower, because the same transaction writes its row.
    """
    if record.follower is None or job_id_of(record.follower) == job.id:
        return []
    # `!=` also holds if the row doesn't exist.
    no_longer_follows = JobRequest.held_by != f"{FOLLOWS_PREFIX}{record.holder}"
    follower = JobRequest(id=job_id_of(record.follower))
    return [RecordWrite(follower, "check", condition=no_longer_follows)]


def save_with_key(key: str, job: JobRequest, save: Callable[[list[RecordWrite]], _T]) -> _T:
    """Save a job's row in one transaction with the writes that give it a key.

    Call `save` with these writes, and return its result. Raises KeyTaken if another job has the
    key, and RaceLost if another write of the transaction was refused. Raises PreconditionFailed if
    other jobs keep taking the key and giving it up.
    """
    old_record: KeyRecord | None = None
    for attempt in range(1, _MAX_TRIES + 1):
        is_last_try = attempt == _MAX_TRIES
        key_writes = writes_to_take_key(key, job, old_record)
        try:
            return save(key_writes)
        except RaceLost as lost:
            if not all(contains(key_writes, write) for write in lost.refused):
                raise  # a write that doesn't concern the key was refused
            if is_last_try:
                raise lost_race_error("take_key", job.id) from lost
        except PynamoDBException as error:
            if not is_conflict(error) or is_last_try:
                raise
        old_record = _record_to_replace(key, job, old_record)
    raise AssertionError("the last try raises")


def _record_to_replace(key: str, job: JobRequest, old_record: KeyRecord | None) -> KeyRecord | None:
    """Read a key's record after a refused try. Return the record that the next try should replace.

    If the holder has ended without admitting its follower, admit the follower. Raises KeyTaken if
    another job has the key.
    """
    state = read_key(key)
    if isinstance(state, HeldKey):
        if state.record.holder != job.created_key:
            raise KeyTaken(state)
        # An earlier try gave this job the key, but its response was lost. The next try is refused
        # because the row exists, so `save` finds that the job was saved.
        return old_record
    if state.follower is not None:
        # The writes are refused if another process has admitted the follower in the meantime.
        with suppress(PreconditionFailed, RaceLost):
            admit_follower(key, state.follower, state)
    return state.record


def lost_race_error(transition: str, job_id: str) -> PreconditionFailed:
    """Return the error for a request that lost the race for a key in every try."""
    return PreconditionFailed(transition, job_id, "overtaken by others")


def admit_follower(key: str, follower: JobRequest, free_key: FreeKey) -> conditional_write.Change:
    """Admit the follower of a job that ended without admitting it. The follower gets the key.

    Raises PreconditionFailed, or RaceLost if another job has taken the key.
    """
    actions, still_follows = _admission(follower)
    return conditional_write.write(
        "admit",
        follower,
        actions,
        still_follows,
        already_applied=lambda row: row.status is not Status.WAITING,
        more_writes=writes_to_take_key(key, follower, free_key.record),
        needs_message=True,
    )


def _admission(follower: JobRequest) -> tuple[list[Action], Condition]:
    """Return the actions that admit a follower, and their condition.

    The follower may start now, or at its `run_at` if that is later. The condition is that it still
    waits for the same job, and still has this `run_at`.
    """
    run_at = follower.run_at or 0
    if run_at > clock.now():
        actions = conditional_write.schedule_actions(follower, run_at)
    else:
        actions = conditional_write.queue_actions(follower, Lane.PROMPT)
    actions += conditional_write.clear_hold_actions()
    still_follows = (JobRequest.held_by == follower.held_by) & conditional_write.same(
        JobRequest.run_at, follower.run_at
    )
    return actions, still_follows


def _holder_actions(follower: JobRequest) -> list[Action]:
    """Return the actions that make a record's follower its holder."""
    return [
        KeyRecord.holder.set(follower.created_key),
        KeyRecord.expires_at.set(clock.expiry(_LIFETIME)),
        KeyRecord.follower.remove(),
    ]


def _unchanged(record: KeyRecord | None) -> Condition:
    """Return the condition that a key's record hasn't changed. None stands for no record."""
    if record is None:
        condition: Condition = KeyRecord.pk.does_not_exist()
    else:
        same_follower = conditional_write.same(KeyRecord.follower, record.follower)
        condition = (KeyRecord.holder == record.holder) & same_follower
    return condition


def _record_id(key: str) -> str:
    return f"unique#{key}"
