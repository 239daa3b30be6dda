"""Read and change schedules: jobs that the timer dispatches repeatedly for an organization.

A schedule is an item of the coordination table, in the DynamoDB partition of its organization.
Unless it is paused, it is in the index `due`, sorted by the time at which the timer must check it.
So a timer run reads only due schedules. The index has several shards, because 10,000 schedules that
are due in the same minute would throttle a single one.

Each write sets a new `revision`, and is refused if the revision has changed since the item was
read. An *occurrence* is one of the times at which a schedule dispatches a job. `last_at` is the
last occurrence that was *handled*, which means started, skipped or failed. It never moves back.

A deleted schedule leaves a *stub*. The stub has no definition, but keeps the last occurrence and
its job. So if the schedule is created again, it repeats no occurrence, even on a machine whose
clock is behind. It also doesn't overlap the job of the last occurrence.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from pynamodb.attributes import UnicodeAttribute
from pynamodb.exceptions import UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from job_runners import clock, names
from job_runners.aws.errors import condition_failed, retry_on_conflict, try_write
from job_runners.errors import InvalidCursor
from job_runners.store import cursors
from job_runners.store.job_request import new_id
from job_runners.store.schedule import (
    VERSION,
    Definition,
    Origin,
    Schedule,
    due_shard,
    pack,
    partition_of,
)
from job_runners.store.table import CoordinationItem, Integer, nullable, set_or_remove
from job_runners.store.transactions import RecordWrite

_CURSOR_PREFIX = "s"  # see job_runners.store.cursors


def read(organization_id: str, name: str) -> Schedule | None:
    """Read a schedule or its stub consistently. Return None if there is neither."""
    return Schedule.find(partition_of(organization_id), name)


def read_many(keys: Iterable[tuple[str, str]]) -> list[Schedule]:
    """Return the schedules and stubs that exist for these keys, in the order of the keys."""
    item_keys = [(partition_of(organization_id), name) for organization_id, name in keys]
    items = Schedule.batch_get(item_keys, consistent_read=True)
    schedules = {(item.pk, item.sk): item for item in items}
    return [schedules[key] for key in item_keys if key in schedules]


def page(
    organization_id: str, *, limit: int, cursor: str | None = None
) -> tuple[list[Schedule], str | None]:
    """Return an organization's schedules, ordered by name, and a cursor if there are more.

    Raises InvalidCursor.
    """
    last_name = _decode_cursor(cursor) if cursor else ""
    # "\0" is appended because DynamoDB refuses an empty sort key. Names have no control characters,
    # so no name sorts between `last_name` and `last_name` plus "\0".
    is_later = Schedule.sk > f"{last_name}\0"
    schedules: list[Schedule] = []
    for schedule in Schedule.query(
        partition_of(organization_id), is_later, consistent_read=True, page_size=limit + 1
    ):
        if schedule.is_deleted:
            continue
        if len(schedules) == limit:
            return schedules, cursors.encode(_CURSOR_PREFIX, schedules[-1].name)
        schedules.append(schedule)
    return schedules, None


def count(organization_id: str, limit: int) -> int:
    """Count the schedules and stubs of an organization, up to `limit`."""
    return Schedule.count_up_to(limit, partition_of(organization_id), None)


def due(shard: str, until: int, limit: int) -> list[Schedule]:
    """Return the schedules of a shard that are due by `until`, longest due first.

    They have only their keys and `due_at`.
    """
    return list(Schedule.due.query(shard, Schedule.due_at <= until, limit=limit))


def _decode_cursor(cursor: str) -> str:
    name = cursors.decode(_CURSOR_PREFIX, cursor)
    if not names.is_name(name):
        raise InvalidCursor
    return name


# --- writes ---------------------------------------------------------------------------------------


class ScheduleChanged(Exception):
    """The schedule has changed since it was read. Nothing was written."""


def _write(schedule: Schedule, actions: list[Action], condition: Condition) -> Schedule:
    """Write a schedule if the condition holds. Raises ScheduleChanged.

    If the response is lost, botocore repeats the write, and DynamoDB refuses it. The item's
    revision then shows that the first try succeeded.
    """
    revision = new_id()
    try:
        retry_on_conflict(
            lambda: schedule.update([*actions, Schedule.revision.set(revision)], condition)
        )
    except UpdateError as error:
        if not condition_failed(error):
            raise
        current = read(schedule.organization_id, schedule.name)
        if current is None or current.revision != revision:
            raise ScheduleChanged(
                f"the schedule {schedule.name!r} changed in the meantime, so nothing was written"
            ) from error
        return current
    return schedule


def _unchanged(schedule: Schedule | None) -> Condition:
    """Return the condition that a schedule hasn't changed since it was read.

    If `schedule` is None, neither a schedule nor a stub may exist.
    """
    condition: Condition
    if schedule is None:
        condition = Schedule.revision.does_not_exist()
    else:
        condition = Schedule.revision == schedule.revision
    return condition


def _next_actions(
    schedule: Schedule, next_at: int | None, due_at: int | None, *, waits: bool = False
) -> list[Action]:
    """Return the actions that make `next_at` the next occurrence. It has not been tried yet.

    The timer checks the schedule at `due_at`. Pass `waits=True` if the occurrence is due, but waits
    for the end of the previous occurrence's job.
    """
    return [
        set_or_remove(Schedule.next_at, next_at),
        set_or_remove(Schedule.waits, waits or None),
        Schedule.failing_since.remove(),
        Schedule.retry_error.remove(),
        *_due_actions(schedule, due_at),
    ]


def _due_actions(schedule: Schedule, due_at: int | None) -> list[Action]:
    """Return the actions that make the timer check a schedule at `due_at`, or never if None."""
    return [
        set_or_remove(Schedule.due_at, due_at),
        set_or_remove(Schedule.due_shard, None if due_at is None else due_shard(schedule)),
    ]


# --- changes by callers and deploys ---------------------------------------------------------------


_STUB_LIFETIME = 40 * clock.DAY
_END_PAUSE_ACTIONS = (Schedule.paused_at.remove(), Schedule.paused_by.remove())
_FIELDS_NOT_IN_STUB: tuple[Any, ...] = (
    Schedule.fingerprint,
    Schedule.job_type,
    Schedule.packed_payload,
    Schedule.cron,
    Schedule.every,
    Schedule.created_at,
    Schedule.created_by,
    Schedule.updated_by,
    Schedule.last_started_at,
    Schedule.last_error,
    Schedule.last_skipped_at,
    Schedule.last_skipped_why,
    Schedule.last_failed_at,
    Schedule.started,
    Schedule.skipped,
    Schedule.failed,
)


def put(
    before: Schedule | None,
    organization_id: str,
    name: str,
    definition: Definition,
    *,
    origin: Origin,
    next_at: int | None,
    since: int,
    by: str | None,
) -> Schedule:
    """Create or replace a schedule, and set its next occurrence.

    `before` is the schedule or stub as it was read, or None if there was neither. The timing
    applies to occurrences after `since`. Raises ScheduleChanged if the item has changed since it
    was read.
    """
    now = clock.now()
    schedule = before or Schedule(partition_of(organization_id), name)
    # An occurrence that waits for the previous one's job keeps waiting, if the new definition also
    # lets it wait.
    keeps_waiting = schedule.waits and definition.overlap == "queue"
    actions = [
        *_definition_actions(definition, origin),
        Schedule.updated_at.set(now),
        set_or_remove(Schedule.updated_by, by),
        Schedule.since.set(since),
        *_next_actions(schedule, next_at, next_at, waits=bool(keeps_waiting)),
        Schedule.deleted_at.remove(),
        Schedule.expires_at.remove(),
    ]
    if before is None or before.is_deleted:
        actions += [Schedule.created_at.set(now), set_or_remove(Schedule.created_by, by)]
    if before is None or not stays_paused(before, origin):
        actions += _END_PAUSE_ACTIONS
    return _write(schedule, actions, _unchanged(before))


def _definition_actions(definition: Definition, origin: Origin) -> list[Action]:
    """Return the actions that store a schedule's definition and origin."""
    return [
        Schedule.version.set(VERSION),
        Schedule.origin.set(origin),
        set_or_remove(Schedule.fingerprint, definition.fingerprint if origin == "code" else None),
        Schedule.job_type.set(definition.job_type),
        Schedule.packed_payload.set(pack(definition.payload)),
        set_or_remove(Schedule.cron, definition.cron),
        set_or_remove(Schedule.every, definition.every),
        Schedule.timezone.set(definition.timezone),
        Schedule.most_missed.set(definition.most_missed),
        Schedule.overlap.set(definition.overlap),
    ]


def stays_paused(before: Schedule, origin: Origin) -> bool:
    """Return whether a paused schedule stays paused when it is created or replaced.

    Its pause ends if the origin changes from the API to the code, or the reverse. A schedule that
    the code declares stays paused, even if some deploys in between didn't declare it.
    """
    return before.paused_at is not None and before.origin == origin


def pause(schedule: Schedule, by: str | None) -> Schedule:
    """Pause a schedule. Occurrences during the pause are skipped. Raises ScheduleChanged."""
    return _write(
        schedule,
        [
            Schedule.paused_at.set(clock.now()),
            set_or_remove(Schedule.paused_by, by),
            *_next_actions(schedule, None, None),
        ],
        _unchanged(schedule),
    )


def resume(schedule: Schedule, *, next_at: int | None, since: int) -> Schedule:
    """End a schedule's pause. Raises ScheduleChanged."""
    return _write(
        schedule,
        [
            *_END_PAUSE_ACTIONS,
            Schedule.since.set(since),
            *_next_actions(schedule, next_at, next_at),
        ],
        _unchanged(schedule),
    )


def delete(schedule: Schedule) -> None:
    """Reduce a schedule to its stub. Raises ScheduleChanged.

    The stub keeps the last occurrence, and the id of its job, which may still be running. The stub
    of a schedule that the code declared also keeps the pause.
    """
    actions = [
        *(field.remove() for field in _FIELDS_NOT_IN_STUB),
        *_next_actions(schedule, None, None),
        Schedule.deleted_at.set(clock.now()),
        Schedule.expires_at.set(clock.expiry(_STUB_LIFETIME)),
    ]
    if schedule.origin != "code":
        actions += _END_PAUSE_ACTIONS
    _write(schedule, actions, _unchanged(schedule))


# --- changes by the timer -------------------------------------------------------------------------


class SkippedOccurrences(NamedTuple):
    """Occurrences that were skipped."""

    total: int
    last_at: int  # the last of these occurrences
    why: str


class Progress(NamedTuple):
    """The progress of a schedule. Occurrences are identified by their times."""

    last_at: int  # the last handled occurrence
    next_at: int | None  # the next occurrence
    skips: SkippedOccurrences | None = None
    failed: tuple[int, ...] = ()  # the occurrences that could not be started


def start_write(
    schedule: Schedule, progress: Progress, at: int, revision: str, job_id: str | None = None
) -> RecordWrite:
    """Return the write that records the start of the occurrence `at`, and stores `progress`.

    Make it part of the transaction that saves the occurrence's job. If another job already does
    this unique work, pass that job's id as `job_id`.

    The write is refused if the schedule has changed since it was read, or if `at` isn't later than
    all handled occurrences. If the response is lost, `revision` shows whether the write succeeded.
    """
    actions = [
        *_advance_actions(schedule, progress),
        Schedule.revision.set(revision),
        Schedule.last_started_at.set(at),
        Schedule.last_job_id.set(job_id or schedule.job_id(at)),
        Schedule.started.set(schedule.started + 1),
    ]
    return RecordWrite(schedule, "change", actions, _unchanged(schedule) & _is_later(at))


def skip_write(schedule: Schedule, progress: Progress, revision: str) -> RecordWrite:
    """Return the write that skips an occurrence because another job has the unique key.

    The write also stores `progress`. Make it part of the transaction that stores the other job as
    the answer to the occurrence's request (see `job_runners.store.answers`). The write is refused
    if the schedule has changed since it was read.
    """
    actions = [*_advance_actions(schedule, progress), Schedule.revision.set(revision)]
    return RecordWrite(schedule, "change", actions, _unchanged(schedule))


def advance(schedule: Schedule, progress: Progress) -> Schedule:
    """Store `progress` without starting an occurrence. Raises ScheduleChanged."""
    return _write(schedule, _advance_actions(schedule, progress), _unchanged(schedule))


def wait_for_previous(schedule: Schedule, at: int, progress: Progress, until: int) -> Schedule:
    """Record that the due occurrence `at` waits for the job of the previous occurrence to end.

    The timer checks the schedule again at `until`. `progress` has the earlier occurrences that were
    skipped or failed. Raises ScheduleChanged.
    """
    actions = [
        *_next_actions(schedule, at, until, waits=True),
        *_count_actions(schedule, progress),
    ]
    return _write(schedule, actions, _unchanged(schedule))


def record_failed_start(
    schedule: Schedule,
    at: int,
    progress: Progress,
    error: dict[str, Any],
    *,
    since: int,
    until: int,
) -> Schedule:
    """Record that the occurrence `at` could not be started. The timer tries it again at `until`.

    `since` is when the occurrence was first tried. `progress` has the earlier occurrences that were
    skipped or failed. Raises ScheduleChanged.
    """
    actions = [
        Schedule.next_at.set(at),
        *_due_actions(schedule, until),
        Schedule.failing_since.set(since),
        Schedule.retry_error.set(error),
        *_count_actions(schedule, progress),
    ]
    return _write(schedule, actions, _unchanged(schedule))


def set_aside(index_item: Schedule, until: int) -> None:
    """Postpone the next check of a schedule to `until`, because this code can't read it.

    `index_item` is the schedule as read from the index `due`. If its due time has changed since, do
    nothing.
    """
    schedule = _StableFields(index_item.pk, index_item.sk)
    is_unchanged = _StableFields.due_at == index_item.due_at
    try_write(lambda: schedule.update([_StableFields.due_at.set(until)], is_unchanged))


class _StableFields(CoordinationItem):
    """The fields of a schedule that every version of the code can read."""

    how_erased = "with the Schedule of the same key"

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    due_at = nullable(Integer())


def _is_later(at: int) -> Condition:
    """Return the condition that `at` is later than all handled occurrences."""
    condition: Condition = Schedule.last_at.does_not_exist() | (Schedule.last_at < at)
    return condition


def _advance_actions(schedule: Schedule, progress: Progress) -> list[Action]:
    return [
        Schedule.last_at.set(progress.last_at),
        *_next_actions(schedule, progress.next_at, due_at=progress.next_at),
        *_count_actions(schedule, progress),
    ]


def _count_actions(schedule: Schedule, progress: Progress) -> list[Action]:
    """Return the actions that count the skipped and failed occurrences in `progress`."""
    actions: list[Action] = []
    if progress.skips is not None:
        actions += [
            Schedule.skipped.set(schedule.skipped + progress.skips.total),
            Schedule.last_skipped_at.set(progress.skips.last_at),
            Schedule.last_skipped_why.set(progress.skips.why),
        ]
    if progress.failed:
        actions += [
            Schedule.failed.set(schedule.failed + len(progress.failed)),
            Schedule.last_failed_at.set(progress.failed[-1]),
            set_or_remove(Schedule.last_error, schedule.retry_error),
        ]
    return actions
