"""The changes that the timer makes to schedules when it handles their occurrences.

An *occurrence* is one of the times at which a schedule dispatches a job, and this time identifies
it.
"""

from typing import Any, NamedTuple

from pynamodb.attributes import UnicodeAttribute
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from job_runners.aws.errors import try_write
from job_runners.store.schedules import writing
from job_runners.store.schedules.schedule import Schedule
from job_runners.store.table import CoordinationItem, Integer, nullable, set_or_remove
from job_runners.store.transactions import RecordWrite


class SkippedOccurrences(NamedTuple):
    """Occurrences that were skipped."""

    total: int
    last_at: int  # the last of these occurrences
    why: str


class Progress(NamedTuple):
    """The progress of a schedule. Occurrences are identified by their times."""

    last_at: int  # the last occurrence that was handled
    next_at: int | None  # the next one
    skips: SkippedOccurrences | None = None
    failed: tuple[int, ...] = ()  # the occurrences that could not be started


def write_that_starts(
    schedule: Schedule, progress: Progress, at: int, revision: str, job_id: str | None = None
) -> RecordWrite:
    """Return the write that records the start of the occurrence `at`, and stores `progress`.

    Make it part of the transaction that saves the occurrence's job. If the work is unique and
    another job is doing it, pass that job's id as `job_id`.

    The write is refused if the schedule has changed since it was read, or if `at` isn't later than
    all handled occurrences. It also sets `revision`. If the response is lost, the revision shows
    whether the write succeeded.
    """
    actions = [
        *_advance_actions(schedule, progress),
        Schedule.revision.set(revision),
        Schedule.last_started_at.set(at),
        Schedule.last_job_id.set(job_id or schedule.job_id(at)),
        Schedule.started.set(schedule.started + 1),
    ]
    return RecordWrite(schedule, "change", actions, writing.unchanged(schedule) & _is_later(at))


def write_that_skips(schedule: Schedule, progress: Progress, revision: str) -> RecordWrite:
    """Return the write that skips an occurrence because another job has the unique key.

    The write also stores `progress`. Make it part of the transaction that records the other job as
    the one that the occurrence's request found (see `job_runners.store.answers`). The write is
    refused if the schedule has changed since it was read.
    """
    actions = [*_advance_actions(schedule, progress), Schedule.revision.set(revision)]
    return RecordWrite(schedule, "change", actions, writing.unchanged(schedule))


def advance(schedule: Schedule, progress: Progress) -> Schedule:
    """Store `progress` without starting an occurrence. Raises ScheduleChanged."""
    return writing.write(
        schedule, _advance_actions(schedule, progress), writing.unchanged(schedule)
    )


def wait_for_previous(schedule: Schedule, at: int, progress: Progress, until: int) -> Schedule:
    """Record that the due occurrence `at` waits for the job of the previous occurrence to end.

    The timer checks the schedule again at `until`. `progress` has the earlier occurrences that were
    skipped or failed. Raises ScheduleChanged.
    """
    actions = [
        *writing.next_actions(schedule, at, until, waits=True),
        *_actions_that_count(schedule, progress),
    ]
    return writing.write(schedule, actions, writing.unchanged(schedule))


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
        *writing.due_actions(schedule, until),
        Schedule.failing_since.set(since),
        Schedule.retry_error.set(error),
        *_actions_that_count(schedule, progress),
    ]
    return writing.write(schedule, actions, writing.unchanged(schedule))


def set_aside(index_item: Schedule, until: int) -> None:
    """Postpone the next check of a schedule to `until`, because this code can't read it.

    `index_item` is the schedule as the index `due` returned it, with only its keys and `due_at`. If
    the due time has changed since, do nothing.
    """
    schedule = _StableFields(index_item.pk, index_item.sk)
    unchanged = _StableFields.due_at == index_item.due_at
    try_write(lambda: schedule.update([_StableFields.due_at.set(until)], unchanged))


class _StableFields(CoordinationItem):
    """The fields of a schedule that every version of the code can read."""

    erasure = "with the Schedule of the same key"  # see CoordinationItem

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    due_at = nullable(Integer())


def _is_later(at: int) -> Condition:
    """Return the condition that `at` is later than all handled occurrences."""
    condition: Condition = Schedule.last_at.does_not_exist() | (Schedule.last_at < at)
    return condition


def _advance_actions(schedule: Schedule, progress: Progress) -> list[Action]:
    # The timer checks the schedule when its next occurrence has come.
    next_at = due_at = progress.next_at
    return [
        Schedule.last_at.set(progress.last_at),
        *writing.next_actions(schedule, next_at, due_at),
        *_actions_that_count(schedule, progress),
    ]


def _actions_that_count(schedule: Schedule, progress: Progress) -> list[Action]:
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
