"""The records of tasks that failed for good. The coordination table keeps them for a week.

Nothing else is stored about a task. It has only one record, under its id, even if its failure is
reported repeatedly. The id begins with the time of the task's dispatch, so that the newest tasks
can be read first.

A caller can *redrive* a failed task, which means to send it again. This may result in several
messages, but only one of them may run the task. So a worker first writes to the record that its
message *begins* the task. This write is refused if another message has begun it. Once the task has
begun, its record is no longer listed.
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
_MAX_MESSAGE_LENGTH = 1000  # characters of an error's message


class FailedTask(CoordinationItem):
    """A task that failed for good: it runs again only if a caller redrives it."""

    how_erased = "not at all: docs/operate/data.md says how long it stays"

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
    # These fields are set only if the task was redriven.
    redriven_as = nullable(UnicodeAttribute())  # the id under which it is sent again
    redriven_at = nullable(Integer())  # when a caller last redrove it
    begun_by = nullable(UnicodeAttribute())  # the id of the message that began it again

    @property
    def id(self) -> str:
        """Return the id under which the task was first dispatched."""
        return self.sk


def new_task_id() -> str:
    """Return a new task id: 12 hex digits of milliseconds since 1970, then 20 random hex digits."""
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
    task = FailedTask(
        sk=task_id,
        task_name=task_name,
        failed_at=clock.now(),
        attempt=attempt,
        error_kind=error_kind,
        error_message=error_message[:_MAX_MESSAGE_LENGTH],
        request_id=request_id,
        payload=None if payload is None else blobs.compact_json(payload),
        expires_at=clock.expiry(RETENTION),
    )
    return try_write(lambda: task.save(FailedTask.pk.does_not_exist()))


def newest(*, limit: int, before: str | None = None) -> list[FailedTask]:
    """Return up to `limit` failed tasks, the most recently dispatched one first.

    If `before` is the id of a task, return only tasks that were dispatched before that one.
    """
    tasks = FailedTask.query(
        _PARTITION,
        None if before is None else FailedTask.sk < before,
        filter_condition=_has_not_begun(),
        scan_index_forward=False,
        limit=limit,
    )
    return list(tasks)


def find(task_id: str) -> FailedTask | None:
    """Return a failed task, or None if its record has expired or the task has begun again."""
    tasks = FailedTask.query(
        _PARTITION,
        FailedTask.sk == task_id,
        filter_condition=_has_not_begun(),
        consistent_read=True,
    )
    return next(iter(tasks), None)


def redrive(task_id: str) -> str | None:
    """Record that a caller redrives a failed task, and keep its record for another week.

    Return the id under which to send the task. Repeated calls return the same id. Return None if
    the task has begun again, or if its record is gone.
    """
    actions: list[Action] = [
        # pynamodb writes `|` as `if_not_exists`: an id that is already stored stays.
        FailedTask.redriven_as.set(FailedTask.redriven_as | new_task_id()),
        FailedTask.redriven_at.set(clock.now()),
        FailedTask.expires_at.set(clock.expiry(RETENTION)),
    ]
    task = FailedTask(sk=task_id)
    try_write(lambda: task.update(actions, _has_not_begun()))
    return task.redriven_as  # `update` has set it, unless the write was refused


def begin(task_id: str, *, redriven_as: str, send_id: str) -> bool:
    """Record that a redriven task begins. `send_id` is the id of the message that redrove it.

    Return False if another message has begun the task. Repeated calls for the same message return
    True, because the first response may have been lost.
    """
    actions: list[Action] = [FailedTask.begun_by.set(send_id), FailedTask.payload.remove()]
    condition = FailedTask.begun_by.does_not_exist() | (FailedTask.begun_by == send_id)
    condition &= FailedTask.redriven_as == redriven_as
    return try_write(lambda: FailedTask(sk=task_id).update(actions, condition))


def _has_not_begun() -> Condition:
    """Return the condition that a record hasn't expired, and that its task hasn't begun again."""
    condition: Condition = FailedTask.expires_at > clock.now() // clock.SECOND
    condition &= FailedTask.begun_by.does_not_exist()
    return condition
