"""The signals of a job: values from people and other systems that its function waits for.

Each is stored once, and a later write doesn't replace it. They are in the coordination table, and
each `JobRequest.work_id` has its own DynamoDB partition. A wait whose time is over stores a signal
too: it has no value, and makes sure that no value can come later.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from pynamodb.attributes import BinaryAttribute, BooleanAttribute, UnicodeAttribute

from job_runners import clock
from job_runners.store import blobs, steps
from job_runners.store.job_request import JobRequest
from job_runners.store.table import CoordinationItem, Integer, nullable
from job_runners.store.transactions import RecordWrite

MAX_PER_JOB = 1000
MAX_VALUE_BYTES = 100 * 1024  # bytes of JSON


class Signal(CoordinationItem):
    """A signal that has come, or the end of a wait for it."""

    erasure = "with its job, by caller_transitions.delete_records"

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)  # its name
    value = nullable(BinaryAttribute(legacy_encoding=False))  # see job_runners.store.blobs
    value_key = nullable(UnicodeAttribute())
    timed_out = nullable(BooleanAttribute())  # set if the wait for it ended without it
    sent_at = Integer()
    sent_by = nullable(UnicodeAttribute())  # as "role:name"
    expires_at = Integer()  # in seconds, for TTL

    @property
    def result(self) -> Any:
        """Return its value. Raises MissingObject."""
        return blobs.get(self.value, self.value_key)

    def put(self) -> RecordWrite:
        """Return the write that stores this signal unless one of its name is there."""
        return RecordWrite(self, "put", condition=Signal.pk.does_not_exist())


def find(job: JobRequest, name: str) -> Signal | None:
    """Return the signal of this name, or None if it hasn't come."""
    return find_of_work(job.work_id, name)


def find_of_work(work_id: str, name: str) -> Signal | None:
    """Return the signal of this name for the work with this id, whose job may be gone."""
    try:
        return Signal.get(_partition(work_id), name, consistent_read=True)
    except Signal.DoesNotExist:
        return None


def all_of_work(work_id: str) -> list[Signal]:
    """Return all signals of the work with this id, ordered by name."""
    return list(Signal.query(_partition(work_id), consistent_read=True))


def find_all(job: JobRequest, names: Iterable[str]) -> dict[str, Signal]:
    """Return the signals of these names that have come, by name."""
    keys = [(_partition(job.work_id), name) for name in names]
    return {each.sk: each for each in Signal.batch_get(keys, consistent_read=True)}


def new(job: JobRequest, name: str, value: Any, *, by: str | None) -> Signal:
    """Return a signal with this value, to be stored. A large value becomes an object now."""
    inline, key = blobs.put(f"partial/{job.created_key}/signals", value)
    return _new(job, name, value=inline, value_key=key, sent_by=by)


def new_timeout(job: JobRequest, name: str) -> Signal:
    """Return the record that a wait for this signal has ended without it, to be stored."""
    return _new(job, name, timed_out=True)


def absence_checks(job: JobRequest, names: Sequence[str]) -> list[RecordWrite]:
    """Return the checks that none of these signals has come."""
    none = Signal.pk.does_not_exist()
    return [
        RecordWrite(Signal(_partition(job.work_id), name), "check", condition=none)
        for name in names
    ]


def delete(job: JobRequest) -> int:
    """Delete all signals of a job, including those of its work with earlier payloads.

    Return their number.
    """
    return Signal.delete_partitions(map(_partition, job.work_ids))


def _new(job: JobRequest, name: str, **fields: Any) -> Signal:
    now = clock.now()
    expires_at = (now + steps.LIFETIME) // clock.SECOND
    return Signal(_partition(job.work_id), name, sent_at=now, expires_at=expires_at, **fields)


def _partition(work_id: str) -> str:
    return f"signal#{work_id}"
