"""Tasks that failed for good. The coordination table keeps them for a week.

A task has no other record. Each failed task has one record, under its id, even if its failure is
reported repeatedly. An id begins with the time at which the task was dispatched, so that the newest
can be read first.

A failed task can be sent again several times, but only one of the messages may run it. Before a
worker runs the task, it writes to the record, on condition that no other message has begun the
task. From then on, the record is no longer listed.
"""

import secrets
from typing import Any

from pynamodb.attributes import BinaryAttribute, UnicodeAttribute
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from job_runners import clock
from job_runners.aws.errors import try_write
from job_runners.store import blobs
from job_runners.store.table import CoordinationItem, Integer, nullable

RETENTION = 7 * clock.DAY
_PARTITION = "failed_tasks"
_LONGEST_MESSAGE = 1000  # characters of an error's message


class FailedTask(CoordinationItem):
    """A task that failed for good: it runs again only if it is sent again manually."""

    erasure = "none: docs/operate/data.md says how long it stays"

    pk = UnicodeAttribute(hash_key=True, default=_PARTITION)
    sk = UnicodeAttribute(range_key=True)  # the task's id
    task_name = UnicodeAttribute()
    failed_at = Integer()
    attempt = Integer()
    error_kind = UnicodeAttribute()
    error_message = UnicodeAttribute()
    request_id = nullable(UnicodeAttribute())
    payload = nullable(BinaryAttribute(legacy_encoding=False))  # JSON, if payloads are kept
    expires_at = Integer()  # in seconds, for TTL
    # set only if the task is sent again
    redriven_as = nullable(UnicodeAttribute())  # the id under which it is sent
    redriven_at = nullable(Integer())  # when sending it again was last requested
    begun_by = nullable(UnicodeAttribute())  # the send_id of the message that began it

    @property
    def id(self) -> str:
        """Return the task's id."""
        return self.sk


def new_task_id() -> str:
    """Return a new task id: the milliseconds since 1970 in 12 hex digits, then 20 random ones."""
    return f"{clock.now():012x}{secrets.token_hex(10)}"


def record(
    task_id: str,
    *,
    task_name: str,
    attempt: int,
    error_kind: str,
    error_message: str,
    request_id: str | None,
    payload: Any = None,
) -> bool:
    """Record that a task failed for good. Return False if it already has a record."""
    record = FailedTask(
        sk=task_id,
        task_name=task_name,
        failed_at=clock.now(),
        attempt=attempt,
        error_kind=error_kind,
        error_message=error_message[:_LONGEST_MESSAGE],
        request_id=request_id,
        payload=None if payload is None else blobs.compact_json(payload),
        expires_at=(clock.now() + RETENTION) // clock.SECOND,
    )
    return try_write(lambda: record.save(FailedTask.pk.does_not_exist()))


def newest(*, limit: int, before: str | None = None) -> list[FailedTask]:
    """Return at most `limit` records of failed tasks, the task that was dispatched last first.

    With `before`, a task id, return only tasks that were dispatched before that task.
    """
    found = FailedTask.query(
        _PARTITION,
        None if before is None else FailedTask.sk < before,
        filter_condition=_is_open(),
        scan_index_forward=False,
        limit=limit,
    )
    return list(found)


def find(task_id: str) -> FailedTask | None:
    """Return the record of a failed task, unless it is over a week old or has begun again."""
    only = FailedTask.query(
        _PARTITION, FailedTask.sk == task_id, filter_condition=_is_open(), consistent_read=True
    )
    return next(iter(only), None)


def redrive(task_id: str) -> str | None:
    """Record that a failed task is sent again, and keep its record for another week.

    Return the id under which to send it. Repeated calls return the same id. Return None if the task
    has begun again, or if its record is gone.
    """
    actions: list[Action] = [
        FailedTask.redriven_as.set(FailedTask.redriven_as | new_task_id()),
        FailedTask.redriven_at.set(clock.now()),
        FailedTask.expires_at.set((clock.now() + RETENTION) // clock.SECOND),
    ]
    record = FailedTask(sk=task_id)
    try_write(lambda: record.update(actions, _is_open()))
    return record.redriven_as  # None unless it was written


def begin(task_id: str, *, redriven_as: str, send_id: str) -> bool:
    """Record that the message with this `send_id` begins a failed task that was sent again.

    Return False if another message has begun the task. A repeated call for the same message returns
    True again, because the first response may have been lost.
    """
    actions: list[Action] = [FailedTask.begun_by.set(send_id), FailedTask.payload.remove()]
    ours = FailedTask.begun_by.does_not_exist() | (FailedTask.begun_by == send_id)
    ours &= FailedTask.redriven_as == redriven_as
    return try_write(lambda: FailedTask(sk=task_id).update(actions, ours))


def _is_open() -> Condition:
    condition: Condition = (
        FailedTask.expires_at > clock.now() // clock.SECOND
    ) & FailedTask.begun_by.does_not_exist()
    return condition
