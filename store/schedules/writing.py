"""How a schedule is changed: what every write asks of it, and what makes an occurrence the next."""

from pynamodb.exceptions import UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from aws.errors import condition_failed
from store.job_request import new_id
from store.schedules.queries import read
from store.schedules.schedule import Schedule, due_shard
from store.table import set_or_remove
from store.transactions import retry_on_conflict


class ScheduleMoved(Exception):
    """Somebody else has written the schedule since it was read: nothing was written."""


def write(schedule: Schedule, actions: list[Action], condition: Condition) -> Schedule:
    """Write if the condition holds. A write whose answer was lost refuses to be repeated: the item
    has its revision then. Raises ScheduleMoved."""
    revision = new_id()
    try:
        retry_on_conflict(
            lambda: schedule.update([*actions, Schedule.revision.set(revision)], condition)
        )
    except UpdateError as error:
        if not condition_failed(error):
            raise
        there = read(schedule.organization_id, schedule.name)
        if there is None or there.revision != revision:
            raise ScheduleMoved(f"the schedule {schedule.name!r} was written meanwhile") from error
        return there
    return schedule


def as_read(schedule: Schedule | None) -> Condition:
    """Return the condition that a schedule is as it was read; None: that there is none, and no
    stub."""
    condition: Condition = (
        Schedule.revision.does_not_exist()
        if schedule is None
        else Schedule.revision == schedule.revision
    )
    return condition


def comes_next(
    schedule: Schedule, next_at: int | None, due_at: int | None, *, waits: bool = False
) -> list[Action]:
    """Return what makes an occurrence the next one, that nobody has tried to start so far."""
    return [
        set_or_remove(Schedule.next_at, next_at),
        set_or_remove(Schedule.waits, waits or None),
        Schedule.failing_since.remove(),
        Schedule.retry_error.remove(),
        *due(schedule, due_at),
    ]


def due(schedule: Schedule, due_at: int | None) -> list[Action]:
    """Return what has the timer look at a schedule then; None: not again."""
    return [
        set_or_remove(Schedule.due_at, due_at),
        set_or_remove(Schedule.due_shard, None if due_at is None else due_shard(schedule)),
    ]
