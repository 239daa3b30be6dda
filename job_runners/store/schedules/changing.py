"""The changes that callers and deploys make to schedules: put, pause, resume, delete."""

from typing import Any

from pynamodb.expressions.update import Action

from job_runners import clock
from job_runners.store.schedules import writing
from job_runners.store.schedules.schedule import (
    VERSION,
    Definition,
    Origin,
    Schedule,
    pack,
    partition_of,
)
from job_runners.store.table import set_or_remove

_STUB_LIFETIME = 40 * clock.DAY
_END_PAUSE_ACTIONS = (Schedule.paused_at.remove(), Schedule.paused_by.remove())
# The fields that `delete` removes.
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
    """Store a schedule's definition and its next occurrence.

    `before` is the schedule or its stub as it was read, or None if there was neither. The timing
    applies to occurrences after `since`. Raises ScheduleChanged if the item has changed since it
    was read.
    """
    now = clock.now()
    schedule = before or Schedule(partition_of(organization_id), name)
    keeps_waiting = schedule.waits and definition.overlap == "queue"
    actions = [
        *_definition_actions(definition, origin),
        Schedule.updated_at.set(now),
        set_or_remove(Schedule.updated_by, by),
        Schedule.since.set(since),
        *writing.next_actions(schedule, next_at, next_at, waits=bool(keeps_waiting)),
        Schedule.deleted_at.remove(),
        Schedule.expires_at.remove(),
    ]
    if before is None or before.is_deleted:
        actions += [Schedule.created_at.set(now), set_or_remove(Schedule.created_by, by)]
    if before is None or not stays_paused(before, origin):
        actions += _END_PAUSE_ACTIONS
    return writing.write(schedule, actions, writing.unchanged(before))


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
    """Return whether a schedule that is put again stays paused.

    A schedule that the code declares stays paused, even if some deploys didn't declare it. If the
    code declares a schedule that was put through the API, or the reverse, the pause ends.
    """
    return before.paused_at is not None and before.origin == origin


def pause(schedule: Schedule, by: str | None) -> Schedule:
    """Pause a schedule. Occurrences during the pause are skipped. Raises ScheduleChanged."""
    return writing.write(
        schedule,
        [
            Schedule.paused_at.set(clock.now()),
            set_or_remove(Schedule.paused_by, by),
            *writing.next_actions(schedule, None, None),
        ],
        writing.unchanged(schedule),
    )


def resume(schedule: Schedule, *, next_at: int | None, since: int) -> Schedule:
    """End a schedule's pause. Raises ScheduleChanged."""
    return writing.write(
        schedule,
        [
            *_END_PAUSE_ACTIONS,
            Schedule.since.set(since),
            *writing.next_actions(schedule, next_at, next_at),
        ],
        writing.unchanged(schedule),
    )


def delete(schedule: Schedule) -> None:
    """Reduce a schedule to its stub. Raises ScheduleChanged.

    The stub keeps the last occurrence, and the id of its job, which may still be running. If the
    code declared the schedule, the stub also keeps its pause.
    """
    actions = [
        *(field.remove() for field in _FIELDS_NOT_IN_STUB),
        *writing.next_actions(schedule, None, None),
        Schedule.deleted_at.set(clock.now()),
        Schedule.expires_at.set(clock.expiry(_STUB_LIFETIME)),
    ]
    if schedule.origin != "code":
        actions += _END_PAUSE_ACTIONS
    writing.write(schedule, actions, writing.unchanged(schedule))
