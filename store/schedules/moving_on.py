"""The changes that the timer makes to schedules as it handles their occurrences."""

from typing import Any, NamedTuple

from pynamodb.exceptions import UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from aws.errors import condition_failed
from store.attributes import UnicodeAttribute
from store.schedules import writing
from store.schedules.schedule import Schedule
from store.table import Integer, Table, nullable, set_or_remove
from store.transactions import RecordWrite


class Dropped(NamedTuple):
    """Occurrences that are skipped: how many, the last of them, and why."""

    number: int
    last_at: int
    why: str


class Step(NamedTuple):
    """A move of a schedule: every occurrence up to `last_at` was handled, and `next_at` comes next.

    The occurrences in `failed` could not be started.
    """

    last_at: int
    next_at: int | None
    dropped: Dropped | None = None
    failed: tuple[int, ...] = ()


def start_write(
    schedule: Schedule, step: Step, at: int, revision: str, job_id: str | None = None
) -> RecordWrite:
    """Return the write that records the start of an occurrence.

    It goes with the save of the occurrence's job, and the schedule moves on. Pass `job_id` if the
    work is unique and another job does it. The write is refused unless the schedule is as it was
    read, and `at` is after every handled occurrence. If the response is lost, the `revision` shows
    whether the write succeeded.
    """
    actions = [
        *_moves_on(schedule, step),
        Schedule.revision.set(revision),
        Schedule.last_started_at.set(at),
        Schedule.last_job_id.set(job_id or schedule.job_id(at)),
        Schedule.started.set(schedule.started + 1),
    ]
    return RecordWrite(schedule, "change", actions, writing.as_read(schedule) & _only_forward(at))


def skip_write(schedule: Schedule, step: Step, revision: str) -> RecordWrite:
    """Return the write that skips an occurrence of unique work because another job has the key.

    It goes with the answer to the occurrence. The schedule moves on. The write is refused unless
    the schedule is as it was read.
    """
    actions = [*_moves_on(schedule, step), Schedule.revision.set(revision)]
    return RecordWrite(schedule, "change", actions, writing.as_read(schedule))


def move_on(schedule: Schedule, step: Step) -> Schedule:
    """Move on without starting anything. Raises ScheduleMoved."""
    return writing.write(schedule, _moves_on(schedule, step), writing.as_read(schedule))


def wait(schedule: Schedule, at: int, step: Step, until: int) -> Schedule:
    """Let an occurrence that has come wait for the job of the one before it.

    The schedule is checked again at `until`. Earlier occurrences are skipped or failed as the step
    says. Raises ScheduleMoved.
    """
    actions = [*writing.set_next(schedule, at, until, waits=True), *_not_started(schedule, step)]
    return writing.write(schedule, actions, writing.as_read(schedule))


def note_failing(
    schedule: Schedule, at: int, step: Step, error: dict[str, Any], *, since: int, until: int
) -> Schedule:
    """Record that an occurrence could not be started, and try it again at `until`.

    `since` is when it was tried first. Earlier occurrences are skipped or failed as the step says.
    Raises ScheduleMoved.
    """
    actions = [
        Schedule.next_at.set(at),
        *writing.due(schedule, until),
        Schedule.failing_since.set(since),
        Schedule.retry_error.set(error),
        *_not_started(schedule, step),
    ]
    return writing.write(schedule, actions, writing.as_read(schedule))


def set_aside(key: Schedule, until: int) -> None:
    """Postpone the next check of a schedule that can't be read, or not by this code, to `until`.

    Does nothing if the schedule was written since.
    """
    try:
        _Key(key.pk, key.sk).update([_Key.due_at.set(until)], _Key.due_at == key.due_at)
    except UpdateError as error:
        if not condition_failed(error):
            raise


class _Key(Table):
    """The part of a schedule that any code can read."""

    class Meta:
        table_name = ""  # from table_setting, at first use

    table_setting = "COORDINATION_TABLE_NAME"

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    due_at = nullable(Integer())


def _only_forward(at: int) -> Condition:
    condition: Condition = Schedule.last_at.does_not_exist() | (Schedule.last_at < at)
    return condition


def _moves_on(schedule: Schedule, step: Step) -> list[Action]:
    return [
        Schedule.last_at.set(step.last_at),
        *writing.set_next(schedule, step.next_at, step.next_at),
        *_not_started(schedule, step),
    ]


def _not_started(schedule: Schedule, step: Step) -> list[Action]:
    actions: list[Action] = []
    if step.dropped is not None:
        actions += [
            Schedule.skipped.set(schedule.skipped + step.dropped.number),
            Schedule.last_skipped_at.set(step.dropped.last_at),
            Schedule.last_skipped_why.set(step.dropped.why),
        ]
    if step.failed:
        actions += [
            Schedule.failed.set(schedule.failed + len(step.failed)),
            Schedule.last_failed_at.set(step.failed[-1]),
            set_or_remove(Schedule.last_error, schedule.retry_error),
        ]
    return actions
