"""Expiry in simulated histories: the checker notices each item that DynamoDB deletes too soon, and
nothing while every item is kept for as long as it is used."""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from histories.declared_queues import LIMITED
from histories.faults import Fault
from histories.history import History, simulated_aws
from histories.invariant_checker import Violation
from job_runners import clock
from job_runners.engine.lines import pausing
from job_runners.store import (
    line_items,
    lines,
    pauses,
    schedules,
    steps,
    uniqueness,
    used_keys,
)
from job_runners.store.job_request import JobRequest
from job_runners.store.line_items import LIFETIME, LineItem
from job_runners.store.pauses import Kind
from job_runners.store.rate import Rate
from job_runners.store.schedule import Schedule
from job_runners.store.transitions import ending
from job_runners.work import Queue
from scripted_history import ScriptedHistory, scripted

Script = Callable[[ScriptedHistory], object]
DAYS = 25  # a job may wait for 30


@pytest.fixture(autouse=True)
def on_stage(environment: None) -> Iterator[None]:
    with simulated_aws():
        yield


def played(script: Script) -> list[str]:
    faults: dict[Script, list[Fault]] = {
        unique_work: [Fault.UNIQUE],
        a_schedule_put_again: [Fault.SCHEDULES],
    }
    with scripted(*faults.get(script, [])) as history:
        script(history)
        history.days_pass(DAYS)
        return list(history.violations)


def a_line(history: ScriptedHistory) -> None:
    """Have a job with the slot killed, and another one wait."""
    first, second = history.dispatch(), history.dispatch()
    history.limit(1)

    def meanwhile() -> None:
        history.run(second)
        history.world.kill("while the other waits")

    history.run(first, during=meanwhile)


def a_key(history: ScriptedHistory) -> None:
    """Have jobs wait in a line whose key comes from their payloads."""
    history.world.queues.deploy({LIMITED: Queue(slots=1, per="steps")})
    a_line(history)


def a_key_not_noted_again(history: ScriptedHistory) -> None:
    """Have a job wait under a key that is in the list and has expired, because the key's note
    failed."""
    history.run(history.dispatch())
    history.world.time += 45 * clock.DAY
    with pytest.MonkeyPatch.context() as here:
        here.setattr(used_keys, "note_use", lambda *_: None)
        a_line(history)


def a_rate(history: ScriptedHistory) -> None:
    """Have a start pay for the time until long after."""
    history.limit(None, Rate(1, seconds=24 * 3600, burst=100))
    history.run(history.dispatch())
    rate = LineItem(f"line#{LIMITED}#*", "rate")
    rate.update([LineItem.tat.set((history.world.time + 50 * clock.DAY) * 1000)])
    history.run(history.dispatch())
    history.days_pass(20)


def a_pause(history: ScriptedHistory) -> None:
    """Have a job wait for the end of a pause."""
    job = history.dispatch()
    history.ask(lambda: pausing.pause(Kind.QUEUE, LIMITED))
    history.run(job)


def unique_work(history: ScriptedHistory) -> None:
    """Have a job hold its key."""
    history.dispatch()


def a_step(history: ScriptedHistory) -> None:
    """Have a job that goes on later keep a step."""
    job = history.row(history.dispatch())
    history.ask(lambda: steps.record(job, "charge", 1))


def a_schedule_put_again(history: ScriptedHistory) -> None:
    """Have a schedule put where its stub is."""
    history.operators.schedules.delete_all()
    history.operators.schedules.put()
    history.days_pass(20)


def and_keeps_expiring(
    before: Schedule | None, *arguments: Any, put: Any = schedules.put, **more: Any
) -> Schedule:
    """Put a schedule, and leave its expiry as it is."""
    write = schedules._write

    def without(schedule: Schedule, actions: Sequence[Any], condition: Any) -> Schedule:
        never = str(Schedule.expires_at.remove())
        return write(schedule, [each for each in actions if str(each) != never], condition)

    with pytest.MonkeyPatch.context() as here:
        here.setattr(schedules, "_write", without)
        written: Schedule = put(before, *arguments, **more)
    return written


TWINS: list[tuple[Script, Any, str, Any, str]] = [
    (a_line, lines, "LIFETIME", clock.DAY, "wait#"),
    (a_line, line_items, "LIFETIME", clock.DAY, "slot#001"),
    (a_line, used_keys, "LIFETIME", clock.DAY, f"keys#{LIMITED}"),
    (a_key, used_keys, "LIFETIME", clock.DAY, "keys_of#"),
    (a_rate, lines, "new_expiry", lambda _: (clock.now() + LIFETIME) // 1000, "'rate'"),
    (a_pause, pauses, "_ENTRY_LIFETIME", clock.DAY, "held#"),
    (unique_work, uniqueness, "_LIFETIME", clock.DAY, "unique#"),
    (a_step, steps, "LIFETIME", clock.DAY, "step#"),
    (a_schedule_put_again, schedules, "put", and_keeps_expiring, "schedules#"),
]


@pytest.mark.parametrize(("script", "owner", "name", "twin", "says"), TWINS)
def test_it_notices_what_expires_while_it_is_used(
    script: Script, owner: Any, name: str, twin: Any, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert played(script) == []
    monkeypatch.setattr(owner, name, twin)
    assert any(says in each and "has expired" in each for each in played(script)), played(script)


def test_a_list_may_lack_a_key_whose_note_failed() -> None:
    assert played(a_key_not_noted_again) == []


def test_it_notices_a_row_that_expires_before_its_job_has_ended() -> None:
    def script(history: ScriptedHistory) -> None:
        row = history.row(history.dispatch())
        soon = JobRequest.expires_at.set(clock.now() // clock.SECOND + 3600)
        history.ask(lambda: row.update([soon]))

    assert any("has expired, and the job is queued" in each for each in played(script))


# What is always chosen in histories of parents that are cut off for weeks: jobs with one named step
# and a child.
PARENTS = {"named steps": 2, "is retried": 1, "steps of the job": 2, "checkpoints": 3}


def over_long_gaps(seed: int) -> None:
    """Play a history of parents in which days go by in every sixth step. Raises Violation."""
    source = random.Random(seed)

    def choose(what: str, n: int) -> int:
        if what == "days go by":
            return n - 1 if source.randrange(6) == 0 else 0
        return PARENTS[what] if what in PARENTS else source.randrange(n)

    with History(choose, {Fault.EXPIRY}) as history:
        for _ in range(2):
            history.dispatch()
        for _ in range(30):
            history.world.step()
        history.end()


def test_it_notices_when_a_child_that_no_step_records_runs_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    over_long_gaps(463)
    monkeypatch.setattr(ending, "unrecorded_actions", lambda *_, **__: [])
    with pytest.raises(Violation, match="started again, without retries"):
        over_long_gaps(463)
