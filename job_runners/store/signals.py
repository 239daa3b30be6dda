"""The signals of a job: values from people and other systems that its function waits for.

Once a signal is stored, no later write replaces it. When a wait times out, a signal without a value
is stored, so that no value can arrive later. Signals are in the coordination table, in a DynamoDB
partition for each `JobRequest.work_id`.
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
MAX_VALUE_BYTES = 100 * 1024  # of JSON


class Signal(CoordinationItem):
    """A signal that has arrived, or the record that a wait for it has timed out."""

    how_erased = "with its job, by caller_transitions.delete_records"

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)  # its name
    value = nullable(BinaryAttribute(legacy_encoding=False))  # see job_runners.store.blobs
    value_key = nullable(UnicodeAttribute())
    timed_out = nullable(BooleanAttribute())  # set if a wait ended before the signal arrived
    sent_at = Integer()
    sent_by = nullable(UnicodeAttribute())  # as "role:name"
    expires_at = Integer()  # in seconds, for TTL

    @property
    def result(self) -> Any:
        """Return the signal's value. Raises MissingObject."""
        return blobs.get(self.value, self.value_key)

    def put(self) -> RecordWrite:
        """Return the write that stores this signal. It is refused if one with this name exists."""
        return RecordWrite(self, "put", condition=Signal.pk.does_not_exist())


def find(job: JobRequest, name: str) -> Signal | None:
    """Return the signal with this name, or None if it hasn't arrived."""
    return find_of_work(job.work_id, name)


def find_of_work(work_id: str, name: str) -> Signal | None:
    """Return the signal with this name for a `work_id`, whose job may be gone, or None."""
    return Signal.find(_partition(work_id), name)


def all_of_work(work_id: str) -> list[Signal]:
    """Return all signals for a `work_id`, ordered by name."""
    return list(Signal.query(_partition(work_id), consistent_read=True))


def find_all(job: JobRequest, names: Iterable[str]) -> dict[str, Signal]:
    """Return the signals with these names, by name. Those that haven't arrived are left out."""
    keys = [(_partition(job.work_id), name) for name in names]
    return {signal.sk: signal for signal in Signal.batch_get(keys, consistent_read=True)}


def new(job: JobRequest, name: str, value: Any, *, by: str | None) -> Signal:
    """Return a new signal. The caller must store it. A large value is stored in the bucket."""
    inline, key = blobs.put(f"partial/{job.created_key}/signals", value)
    return _new(job, name, value=inline, value_key=key, sent_by=by)


def new_timeout(job: JobRequest, name: str) -> Signal:
    """Return the record that a wait for a signal has timed out. The caller must store it."""
    return _new(job, name, timed_out=True)


def absence_checks(job: JobRequest, names: Sequence[str]) -> list[RecordWrite]:
    """Return the checks that none of these signals has arrived."""
    is_absent = Signal.pk.does_not_exist()
    return [
        RecordWrite(Signal(_partition(job.work_id), name), "check", condition=is_absent)
        for name in names
    ]


def delete(job: JobRequest) -> int:
    """Delete all signals of a job, even from before it started over. Return their number."""
    return Signal.delete_partitions(map(_partition, job.work_ids))


def _new(job: JobRequest, name: str, **fields: Any) -> Signal:
    expires_at = clock.expiry(steps.LIFETIME)
    partition = _partition(job.work_id)
    return Signal(partition, name, sent_at=clock.now(), expires_at=expires_at, **fields)


def _partition(work_id: str) -> str:
    return f"signal#{work_id}"
