"""Recurring work under a hostile Lambda: every occurrence is started once or accounted for, and
without any one safeguard the checker notices."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from pynamodb.expressions.condition import Condition

from broken_promise import broken_promise
from histories.faults import ALL, Fault
from histories.history import figures_text, play_seed, simulated_aws
from job_runners import clock
from job_runners.engine.schedules import due_schedule, occurrence, schedules
from job_runners.engine.schedules.occurrence import Choice
from job_runners.store import conditional_write, queries
from job_runners.store import schedules as store
from job_runners.store.schedule import Schedule
from job_runners.store.schedules import Progress
from job_runners.store.transactions import RecordWrite
from job_runners.work.occurrences import next_after
from sizes import by_size

HISTORIES = by_size(4, 12)


@pytest.fixture(autouse=True)
def on_stage(environment: None) -> Iterator[None]:
    with simulated_aws():
        yield


def noticed(*, near: int = 0) -> str:
    """Return what the first history says, from this one on, that breaks a promise."""
    return broken_promise(near=near, faults={Fault.SCHEDULES})


def test_every_occurrence_is_started_once_or_accounted_for(
    record_property: Callable[[str, object], None],
) -> None:
    total = sum(
        (play_seed(seed, ALL - {Fault.LIMITS, Fault.CLASSES}) for seed in range(HISTORIES)),
        start=Counter(),
    )
    assert total["occurrences"] > HISTORIES
    assert (total["lost"], total["doubled"]) == (0, 0)
    record_property("figures", f"{HISTORIES} histories with schedules: {figures_text(total)}")


def test_it_notices_when_a_schedule_need_not_be_as_it_was_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unchanged = store._unchanged

    def whatever(schedule: Schedule | None) -> Condition:
        return unchanged(schedule) if schedule is None else Schedule.revision.exists()

    monkeypatch.setattr(store, "_unchanged", whatever)
    assert noticed(near=74)


def test_it_notices_when_the_job_is_saved_before_the_schedule_moves_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put_with = conditional_write.put_with

    def in_two_writes(job: Any, condition: Any, more_writes: Sequence[RecordWrite]) -> None:
        put_with(job, condition, [])
        for each in more_writes:
            each.record.update(list(each.actions), each.condition)

    monkeypatch.setattr(conditional_write, "put_with", in_two_writes)
    assert noticed()


def test_it_notices_when_the_schedule_moves_on_before_the_job_is_saved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put_with = conditional_write.put_with

    def in_two_writes(job: Any, condition: Any, more_writes: Sequence[RecordWrite]) -> None:
        for each in more_writes:
            each.record.update(list(each.actions), each.condition)
        put_with(job, condition, [])

    monkeypatch.setattr(conditional_write, "put_with", in_two_writes)
    assert noticed()


def test_it_notices_when_one_that_still_runs_is_not_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queries, "unfinished", lambda job_ids: set())
    assert "while the previous one runs" in noticed()


def test_it_notices_when_those_that_came_meanwhile_are_not_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    choose = occurrence.choose

    def silently(schedule: Schedule) -> Choice | None:
        choice = choose(schedule)
        return choice and choice._replace(progress=choice.progress._replace(skips=None))

    monkeypatch.setattr(due_schedule, "choose", silently)
    assert "some are lost" in noticed()


def test_it_notices_when_none_of_those_that_were_missed_is_made_up_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    choose = occurrence.choose

    def strictly(schedule: Schedule) -> Choice | None:
        choice = choose(schedule)
        if (
            choice is None
            or choice.occurrence is None
            or clock.now() - choice.occurrence < occurrence.MAX_LATENESS
        ):
            return choice
        return Choice(
            None, occurrence.with_skipped(choice.progress, choice.occurrence, occurrence.MISSED)
        )

    monkeypatch.setattr(due_schedule, "choose", strictly)
    assert "makes up for none" in noticed(near=4)


def test_it_notices_when_an_edit_begins_with_what_comes_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def afresh(before: Schedule | None, definition: Any, origin: Any) -> tuple[int | None, int]:
        now = clock.now()
        return next_after(schedules.when_of(definition), now), now

    monkeypatch.setattr(schedules, "_next_occurrence", afresh)
    assert noticed(near=6)


def test_it_notices_when_what_is_refused_is_not_looked_at_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def drop(schedule: Schedule, *_: Any, **__: Any) -> None:
        store.advance(schedule, Progress(schedule.last_at or 0, None))

    monkeypatch.setattr(store, "record_failed_start", drop)
    assert broken_promise(faults={Fault.SCHEDULES, Fault.DEPLOYS}, near=23)
