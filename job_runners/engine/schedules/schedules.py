"""Create, change, pause, resume, delete and run schedules, for callers and deploys.

A schedule is *declared* if a deploy's code defines it. Callers can't redefine or delete such a
schedule. An *occurrence* is one of the times at which a schedule starts a job. The timer starts
occurrences: see `job_runners/engine/schedules/due_schedule.py`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from job_runners import clock
from job_runners.engine import configured
from job_runners.engine.dispatch import checking, dispatch
from job_runners.engine.errors import (
    ScheduleBusy,
    ScheduleDeclared,
    ScheduleNotFound,
    TooManySchedules,
)
from job_runners.engine.registry.registry import registry
from job_runners.engine.telemetry import schedule_log, telemetry, tracing
from job_runners.engine.wire.sending import Accepted, Send, send_if_unclaimed
from job_runners.store import schedule_marks
from job_runners.store import schedules as schedule_store
from job_runners.store.job_request import derived_id
from job_runners.store.schedule import Definition, Origin, Schedule, check_payload
from job_runners.store.schedules import ScheduleChanged
from job_runners.work import context
from job_runners.work.occurrences import When, next_after

if TYPE_CHECKING:
    from job_runners.work.recurring import Recurring

MAX_SCHEDULES = 1_000  # schedules of one organization
_TRIES = 4  # how often to try a change if other processes keep changing the schedule

_T = TypeVar("_T")


def get(organization_id: str, name: str) -> Schedule:
    """Return a schedule. Raises ScheduleNotFound."""
    schedule = schedule_store.read(organization_id, name)
    if schedule is None or schedule.is_deleted:
        raise ScheduleNotFound(name, is_declared=is_declared(organization_id, name))
    return schedule


def put(organization_id: str, name: str, recurring: "Recurring") -> tuple[Schedule, bool]:
    """Create or change a schedule. Return it, and whether it is new.

    A paused schedule stays paused. If the timing doesn't change, the next occurrence doesn't
    either. If an occurrence is due but not yet started, it starts with the new definition.

    Raises ScheduleDeclared, TooManySchedules, PayloadTooLarge, and the errors of dispatching such a
    job.
    """
    definition = definition_of(recurring)
    check(organization_id, definition)
    schedule_marks.record_in_use()

    def change() -> tuple[Schedule, bool]:
        before = schedule_store.read(organization_id, name)
        if before is None or before.is_deleted:
            is_new = True
            belongs_to_code = is_declared(organization_id, name)
        else:  # a schedule that the API created stays the API's, even if the code declares its name
            is_new = False
            belongs_to_code = before.is_declared
        if belongs_to_code:
            raise _declared_error(organization_id, name)
        if before is None and schedule_store.count(organization_id, MAX_SCHEDULES) >= MAX_SCHEDULES:
            raise TooManySchedules(MAX_SCHEDULES)
        return replace(before, organization_id, name, definition, "api"), is_new

    schedule, is_new = _retry_if_changed(name, change)
    schedule_log.changed(schedule, "schedule put")
    return schedule, is_new


def replace(
    before: Schedule | None,
    organization_id: str,
    name: str,
    definition: Definition,
    origin: Origin,
) -> Schedule:
    """Store a schedule in place of `before`, if there is one.

    Raises ScheduleChanged if it has changed since `before` was read.
    """
    next_at, since = _next_occurrence(before, definition, origin)
    return schedule_store.put(
        before,
        organization_id,
        name,
        definition,
        origin=origin,
        next_at=next_at,
        since=since,
        by=context.recorded_author(),
    )


def pause(organization_id: str, name: str) -> Schedule:
    """Start no occurrences of a schedule until it is resumed.

    The occurrences in that time are skipped, and so is an occurrence that is due but hasn't been
    started yet. Raises ScheduleNotFound.
    """

    def change() -> Schedule:
        before = get(organization_id, name)
        if before.paused_at is not None:
            return before
        return schedule_store.pause(before, context.recorded_author())

    schedule = _retry_if_changed(name, change)
    schedule_log.changed(schedule, "schedule paused")
    return schedule


def resume(organization_id: str, name: str) -> Schedule:
    """End the pause of a schedule. Raises ScheduleNotFound."""

    def change() -> Schedule:
        before = get(organization_id, name)
        if before.paused_at is None:
            return before
        since = _search_start(before)
        next_at = next_after(when_of(before), since)
        return schedule_store.resume(before, next_at=next_at, since=since)

    schedule = _retry_if_changed(name, change)
    schedule_log.changed(schedule, "schedule resumed")
    return schedule


def delete(organization_id: str, name: str) -> None:
    """Delete a schedule, so that it starts no more jobs. Jobs that it has started continue.

    Raises ScheduleNotFound, ScheduleDeclared.
    """

    def change() -> Schedule:
        before = get(organization_id, name)
        if before.is_declared:
            raise _declared_error(organization_id, name)
        schedule_store.delete(before)
        return before

    schedule = _retry_if_changed(name, change)
    schedule_log.changed(schedule, "schedule deleted")


def run_now(organization_id: str, name: str, send: Send, key: str | None = None) -> Accepted:
    """Start the job of a schedule now, even if the schedule is paused.

    The schedule's occurrences don't change. A second request with the same `key` returns the same
    job. Raises ScheduleNotFound, and the errors of dispatching the job.
    """
    schedule = get(organization_id, name)
    job_id = derived_id("recurring now", organization_id, name, key) if key is not None else None
    with tracing.dispatching(schedule.job_type):
        accepted = dispatch.accept_job(
            checking.new_job_data(schedule.job_type, schedule.payload, organization_id),
            send=send,
            job_id=job_id,
        )
        send_if_unclaimed(accepted, send)
    return accepted


def is_declared(organization_id: str, name: str) -> bool:
    """Return whether the code of this deploy declares such a schedule."""
    declared = registry().recurring.get(name)
    return declared is not None and declared.organization_id == organization_id


def _declared_error(organization_id: str, name: str) -> ScheduleDeclared:
    return ScheduleDeclared(name, by_this_version=is_declared(organization_id, name))


def definition_of(recurring: "Recurring") -> Definition:
    """Return the definition of a declared or requested schedule, as the table stores it."""
    when = recurring.when
    return Definition(
        job_type=recurring.job_type,
        payload=dict(recurring.payload),
        cron=when.cron,
        every=when.every,
        timezone=when.timezone,
        most_missed=recurring.most_missed,
        overlap=recurring.overlap,
    )


def check(organization_id: str, definition: Definition) -> None:
    """Raise the error that dispatching the schedule's job would raise, or PayloadTooLarge."""
    checking.check_type_and_payload(
        checking.new_job_data(definition.job_type, definition.payload, organization_id),
        configured.sender(),
    )
    check_payload(definition.payload)


def when_of(schedule: Schedule | Definition) -> When:
    """Return the times of a schedule."""
    return When(*schedule.timing)


def _next_occurrence(
    before: Schedule | None, definition: Definition, origin: Origin
) -> tuple[int | None, int]:
    """Return the next occurrence of a changed schedule, and the time from which its times apply.

    `before` is the schedule before the change, and `definition` is the new one.
    """
    if before is None:
        since = clock.now()
        return next_after(when_of(definition), since), since
    since = _search_start(before)
    if before.timing == definition.timing:  # a deleted schedule has no timing
        return before.next_at, before.since
    if schedule_store.stays_paused(before, origin):
        return None, since
    if before.next_at is not None and before.next_at <= clock.now():
        return before.next_at, since  # this occurrence became due under the old definition
    return next_after(when_of(definition), since), since


def _search_start(schedule: Schedule) -> int:
    """Return the time after which to look for the schedule's next occurrence.

    This is the current time, unless a process whose clock is ahead has handled a later occurrence.
    """
    return max(clock.now(), schedule.last_at or 0)


def _retry_if_changed(name: str, change: Callable[[], _T]) -> _T:
    """Call `change`, which reads and writes a schedule, and return its result.

    If another process changes the schedule in between, call it again.
    """
    for _ in range(_TRIES):
        try:
            return change()
        except ScheduleChanged as moved:
            telemetry.race_lost(moved)
    raise ScheduleBusy(name)
