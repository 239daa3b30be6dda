"""Tasks that failed for good. The coordination table keeps them for a week.

No other record of a task exists. Each task has one record, under its id, however often its failure
is reported. An id begins with the time at which the task was dispatched, so that the newest can be
read first.

A task that is sent again keeps its record until one of its messages begins. To begin, a message
writes to the record, on condition that no other message has begun. So the task begins once, however
often it is sent again.
"""

import secrets
from collections.abc import Sequence
from typing import Any

from pynamodb.attributes import BinaryAttribute, UnicodeAttribute
from pynamodb.exceptions import PutError, UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

import clock
from aws.errors import condition_failed
from store import blobs
from store.table import Integer, Table, nullable

KEPT = 7 * clock.DAY
_PARTITION = "failed_tasks"
_LONGEST = 1000  # characters of an error's message


class FailedTask(Table):
    """A task that failed and that is not tried again."""

    class Meta:
        table_name = ""  # from table_setting, at first use

    table_setting = "COORDINATION_TABLE_NAME"

    pk = UnicodeAttribute(hash_key=True, default=_PARTITION)
    sk = UnicodeAttribute(range_key=True)  # the task's id
    task_name = UnicodeAttribute()
    failed_at = Integer()
    attempt = Integer()
    error_kind = UnicodeAttribute()
    error_message = UnicodeAttribute()
    request_id = nullable(UnicodeAttribute())
    payload = nullable(BinaryAttribute(legacy_encoding=False))  # JSON, if it is kept
    expires_at = Integer()  # in seconds, for TTL
    # Only if the task is sent again: the id it is sent under, the time of the last request, and the
    # message that began.
    redriven_as = nullable(UnicodeAttribute())
    redriven_at = nullable(Integer())
    begun_by = nullable(UnicodeAttribute())  # its send_id; once set, the task is no longer listed

    @property
    def id(self) -> str:
        """Return the task's id."""
        return self.sk


def new_task_id() -> str:
    """Return a new task id: 12 hexadecimal digits of milliseconds since 1970, then 20 random
    ones."""
    return f"{clock.now():012x}{secrets.token_hex(10)}"


def keep(
    task_id: str,
    *,
    task_name: str,
    attempt: int,
    error_kind: str,
    error_message: str,
    request_id: str | None,
    payload: Any = None,
) -> bool:
    """Record that a task failed for good. Return whether that is a new record."""
    record = FailedTask(
        sk=task_id,
        task_name=task_name,
        failed_at=clock.now(),
        attempt=attempt,
        error_kind=error_kind,
        error_message=error_message[:_LONGEST],
        request_id=request_id,
        payload=None if payload is None else blobs.compact_json(payload),
        expires_at=(clock.now() + KEPT) // clock.SECOND,
    )
    try:
        record.save(FailedTask.pk.does_not_exist())
    except PutError as error:
        if not condition_failed(error):
            raise
        return False
    return True


def newest(*, limit: int, before: str | None = None) -> list[FailedTask]:
    """Return at most `limit` records, those of the latest dispatches first.

    With `before`, a task id, only tasks that were dispatched before that one are returned.
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
    """Return the record of a failed task, unless it is over a week old or the task has begun
    again."""
    only = FailedTask.query(
        _PARTITION, FailedTask.sk == task_id, filter_condition=_is_open(), consistent_read=True
    )
    return next(iter(only), None)


def redrive(task_id: str) -> str | None:
    """Record that a failed task is sent again, and keep its record for another week.

    Return the id to send it under, which is the same each time, or None if the task has begun or
    its record is gone.
    """
    actions = [
        FailedTask.redriven_as.set(FailedTask.redriven_as | new_task_id()),
        FailedTask.redriven_at.set(clock.now()),
        FailedTask.expires_at.set((clock.now() + KEPT) // clock.SECOND),
    ]
    record = FailedTask(sk=task_id)
    if not _update(record, actions, _is_open()):
        return None
    return record.redriven_as


def begin(task_id: str, *, redriven_as: str, send_id: str) -> bool:
    """Let the message with this `send_id` begin a failed task that was sent again.

    Return False if another of the task's messages has begun. A repeated call for the same message
    returns True again, because the first response may have been lost.
    """
    actions = [FailedTask.begun_by.set(send_id), FailedTask.payload.remove()]
    ours = FailedTask.begun_by.does_not_exist() | (FailedTask.begun_by == send_id)
    return _update(FailedTask(sk=task_id), actions, (FailedTask.redriven_as == redriven_as) & ours)


def _is_open() -> Condition:
    condition: Condition = (
        FailedTask.expires_at > clock.now() // clock.SECOND
    ) & FailedTask.begun_by.does_not_exist()
    return condition


def _update(record: FailedTask, actions: Sequence[Action], condition: Condition) -> bool:
    """Change a record if the condition holds, and return whether it did."""
    try:
        record.update(list(actions), condition)
    except UpdateError as error:
        if not condition_failed(error):
            raise
        return False
    return True
