"""Recurring work that is unique: what an occurrence does while another job has its place."""

import io
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any
from unittest.mock import Mock

import pytest

from bench import Bench
from hourly import HOUR, NOON, Time, get, go_to, look, put, started
from job_runners import clock
from job_runners.aws import clients
from job_runners.engine.schedules import schedules
from job_runners.engine.schedules.due_schedule import KEY_TAKEN
from job_runners.engine.schedules.recurring import Outcome
from job_runners.store import answers, blobs, transitions
from job_runners.store.transactions import RaceLost, RecordWrite
from job_runners.testing.aws import forget
from sample_work import script
from telemetry_lines import logged

pytestmark = pytest.mark.usefixtures("at_noon")
# A type of work, for how long its other job waits, which transaction has the answer (a save that is
# refused may come first), and what becomes of the occurrence.
ANSWERED = [
    ("unique_return", 0, 2, Outcome.SKIPPED),
    ("unique_replace", 4 * 3600, 1, Outcome.STARTED),
]


@pytest.fixture(autouse=True)
def unique(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,unique_sample")
    forget()


@pytest.mark.parametrize("job_type", ["unique_return", "unique_refuse"])
def test_an_occurrence_of_unique_work_is_left_out_while_another_job_has_its_place(
    bench: Bench, job_type: str, lines: io.StringIO
) -> None:
    work: dict[str, Any] = {"job_type": job_type, "payload": {"lot": "a"}}
    other = bench.dispatch(**work)
    put(**work)
    go_to(NOON)
    assert look(bench) == {Outcome.SKIPPED: 1}
    schedule = get()
    assert schedule.last_skipped_why == "its job is unique, and another job was doing the same work"
    assert (schedule.started, schedule.skipped, schedule.last_job_id) == (0, 1, None)
    assert "occurrences left out" in lines.getvalue()
    assert schedule.next_at == NOON + HOUR
    transitions.succeed(bench.claim(other), None)
    go_to(NOON + HOUR)
    assert look(bench) == {Outcome.STARTED: 1}
    assert get().last_job_id == schedule.job_id(NOON + HOUR)


@pytest.mark.parametrize("job_type", ["unique_return", "unique_refuse"])
def test_those_that_were_missed_before_it_are_counted_too(
    bench: Bench, job_type: str, lines: io.StringIO
) -> None:
    work: dict[str, Any] = {"job_type": job_type, "payload": {"lot": "a"}}
    bench.dispatch(**work)
    put(**work)
    go_to(NOON + 2 * HOUR)
    assert look(bench) == {Outcome.SKIPPED: 1}
    schedule = get()
    assert (schedule.started, schedule.skipped) == (0, 3)
    assert schedule.last_skipped_at == NOON + 2 * HOUR
    left_out = [each for each in logged(lines) if each["message"] == "occurrences left out"]
    assert [each["number"] for each in left_out] == [3]


def test_or_that_job_does_it(bench: Bench, lines: io.StringIO) -> None:
    work: dict[str, Any] = {"job_type": "unique_replace", "payload": {"lot": "a"}}
    other = bench.dispatch(**work, delay=4 * 3600)
    put(**(work | {"payload": {"lot": "a", "text": "new"}}))
    go_to(NOON + HOUR)
    assert look(bench) == {Outcome.STARTED: 1}
    assert (get().started, get().skipped, get().last_job_id) == (1, 1, other.id)
    said = {each["message"]: each for each in logged(lines)}
    assert said["occurrence started"]["job_id"] == other.id
    assert said["occurrences left out"]["number"] == 1  # the one of noon, which was missed
    row = bench.read(other)
    assert blobs.get(row.payload, row.payload_key)["text"] == "new"


def test_an_occurrence_that_others_overtake_each_time_is_looked_at_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    work: dict[str, Any] = {"job_type": "unique_replace", "payload": {"lot": "a"}}
    other = bench.dispatch(**work, delay=4 * 3600)
    put(**work)
    go_to(NOON)
    with monkeypatch.context() as patched:
        patched.setattr(
            "job_runners.store.transitions.replacing.replace", Mock(side_effect=RaceLost)
        )
        assert look(bench) == {Outcome.MOVED: 1}
    schedule = get()
    assert (schedule.skipped, schedule.last_error) == (0, None)
    assert look(bench) == {Outcome.STARTED: 1}
    assert get().last_job_id == other.id


# --- who dies, or is overtaken, as it is answered -------------------------------------------------


@pytest.fixture
def killed() -> Iterator[Callable[[str, int], None]]:
    """Return what has whoever makes its n-th transaction from now on die, before it or after it."""
    events, handlers = clients.client("dynamodb").meta.events, []

    def kill(moment: str, number: int) -> None:
        calls = count(1)

        def handler(**_: Any) -> None:
            if next(calls) == number:
                raise KeyboardInterrupt

        handlers.append((f"{moment}.dynamodb.TransactWriteItems", handler))
        events.register_first(*handlers[-1])

    yield kill
    for each in handlers:
        events.unregister(*each)


@pytest.mark.parametrize("moment", ["before-send", "after-call"])
@pytest.mark.parametrize(("job_type", "delay", "number", "outcome"), ANSWERED)
def test_who_is_killed_has_been_answered_and_has_said_so_or_neither(
    bench: Bench,
    killed: Callable[[str, int], None],
    moment: str,
    job_type: str,
    delay: int,
    number: int,
    outcome: Outcome,
) -> None:
    other = bench.dispatch(job_type, payload={"lot": "a"}, delay=delay)
    put(job_type=job_type, payload={"lot": "a", "text": "new"})
    go_to(NOON)
    killed(moment, number)
    with pytest.raises(KeyboardInterrupt):
        look(bench)
    is_answered = moment == "after-call"
    assert (get().last_at, get().next_at) == ((NOON, NOON + HOUR) if is_answered else (None, NOON))
    assert look(bench) == (Counter() if is_answered else {outcome: 1})
    schedule = get()
    if outcome is Outcome.STARTED:
        said = (schedule.started, schedule.last_started_at, schedule.last_job_id)
        assert (*said, schedule.skipped) == (1, NOON, other.id, 0)
    else:
        said = (schedule.skipped, schedule.last_skipped_at, schedule.last_skipped_why)
        assert (*said, schedule.started, schedule.last_job_id) == (1, NOON, KEY_TAKEN, 0, None)
    # It goes on: the other one is sent if nobody has, and the next occurrence has its own job.
    bench.deliver()
    Time.now += 61 * clock.SECOND
    bench.tick()
    bench.deliver()
    go_to(NOON + HOUR)
    assert look(bench) == {Outcome.STARTED: 1}
    bench.deliver()
    assert started() == [NOON + HOUR]
    assert [job_id for job_id, _, _ in script.jobs_run] == [other.id, get().job_id(NOON + HOUR)]
    assert script.texts_run == ["new" if outcome is Outcome.STARTED else "", "new"]
    assert get().started == (2 if outcome is Outcome.STARTED else 1)


@pytest.mark.parametrize(("job_type", "delay", "number", "outcome"), ANSWERED)
def test_nothing_is_answered_after_a_pause_that_came_between(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    job_type: str,
    delay: int,
    number: int,
    outcome: Outcome,
) -> None:
    other = bench.dispatch(job_type, payload={"lot": "a"}, delay=delay)
    put(job_type=job_type, payload={"lot": "a", "text": "new"})
    go_to(NOON)
    given = answers.answer_writes

    def overtaken(*arguments: Any) -> list[RecordWrite]:
        schedules.pause("acme", "hourly")
        return given(*arguments)

    monkeypatch.setattr(answers, "answer_writes", overtaken)
    assert look(bench) == {Outcome.MOVED: 1}
    schedule = get()
    assert schedule.paused_at is not None
    assert (schedule.last_at, schedule.started, schedule.skipped) == (None, 0, 0)
    row = bench.read(other)
    assert blobs.get(row.payload, row.payload_key) == {"lot": "a"}


@pytest.mark.parametrize(("job_type", "delay", "number", "outcome"), ANSWERED)
def test_one_that_was_answered_before_under_its_name_is_passed_over(
    bench: Bench, job_type: str, delay: int, number: int, outcome: Outcome
) -> None:
    bench.dispatch(job_type, payload={"lot": "a"}, delay=delay)
    put(job_type=job_type, payload={"lot": "a"})
    go_to(NOON)
    assert look(bench) == {outcome: 1}
    get().delete()  # the item itself: nothing marks its time as used
    go_to(NOON - 1)
    put(job_type=job_type, payload={"lot": "a", "text": "new"})
    go_to(NOON)
    assert look(bench) == {Outcome.MOVED: 1}
    schedule = get()
    assert (schedule.last_at, schedule.next_at) == (NOON, NOON + HOUR)
    assert (schedule.started, schedule.skipped) == (0, 0)
