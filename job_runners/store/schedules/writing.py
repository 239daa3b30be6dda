"""The conditional write of a schedule, and actions that several changes share."""

from pynamodb.exceptions import UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from job_runners.aws.errors import condition_failed, retry_on_conflict
from job_runners.store.job_request import new_id
from job_runners.store.schedules.queries import read
from job_runners.store.schedules.schedule import Schedule, due_shard
from job_runners.store.table import set_or_remove


class ScheduleChanged(Exception):
    """The schedule has changed since it was read. Nothing was written."""


def write(schedule: Schedule, actions: list[Action], condition: Condition) -> Schedule:
    """Write a schedule if the condition holds. Raises ScheduleChanged.

    If the response is lost, botocore repeats the write, and DynamoDB refuses the repetition. But
    the item then has this write's revision, which shows that the first try succeeded.
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


def unchanged(schedule: Schedule | None) -> Condition:
    """Return the condition that a schedule hasn't changed since it was read.

    None stands for a schedule that didn't exist: neither it nor a stub may exist now.
    """
    condition: Condition  # without this annotation, the type would be Any
    if schedule is None:
        condition = Schedule.revision.does_not_exist()
    else:
        condition = Schedule.revision == schedule.revision
    return condition


def next_actions(
    schedule: Schedule, next_at: int | None, due_at: int | None, *, waits: bool = False
) -> list[Action]:
    """Return the actions that make `next_at` the next occurrence, which wasn't tried so far.

    The timer checks the schedule at `due_at`. Pass `waits=True` if the occurrence is due, and waits
    for the job of the previous one.
    """
    return [
        set_or_remove(Schedule.next_at, next_at),
        set_or_remove(Schedule.waits, waits or None),
        Schedule.failing_since.remove(),
        Schedule.retry_error.remove(),
        *due_actions(schedule, due_at),
    ]


def due_actions(schedule: Schedule, due_at: int | None) -> list[Action]:
    """Return the actions that make the timer check a schedule at `due_at`, or never if None."""
    return [
        set_or_remove(Schedule.due_at, due_at),
        set_or_remove(Schedule.due_shard, None if due_at is None else due_shard(schedule)),
    ]
