"""Tasks that failed for good, kept for a week in the coordination table: nothing else knows of
them.

One record for each task, however often its failure is reported, under its id. An id begins with the
time at which the task was dispatched, so that the newest are read first.
"""

import secrets
from typing import Any

from pynamodb.attributes import BinaryAttribute, UnicodeAttribute
from pynamodb.exceptions import PutError

import clock
from aws.errors import condition_failed
from store import blobs
from store.table import Integer, Table, nullable

KEPT = 7 * clock.DAY
_PARTITION = "failed_tasks"
_LONGEST = 1000  # characters of an error's message


class FailedTask(Table):
    """A task that failed, and is not tried again."""

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
    payload = nullable(BinaryAttribute(legacy_encoding=False))  # JSON, where it is to be kept
    expires_at = Integer()  # in seconds, for TTL

    @property
    def id(self) -> str:
        """Return the task's id."""
        return self.sk


def new_task_id() -> str:
    """Return an id for a task, 32 hexadecimal digits: the milliseconds since 1970, then chance."""
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
    """Record that a task failed for good; return whether that was not recorded before."""
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
    """Return at most so many records, of the tasks that were dispatched last first; of those
    dispatched before the task of this id, if it is given."""
    found = FailedTask.query(
        _PARTITION,
        None if before is None else FailedTask.sk < before,
        filter_condition=FailedTask.expires_at > clock.now() // clock.SECOND,
        scan_index_forward=False,
        limit=limit,
    )
    return list(found)
