"""What the code declares as recurring is in the table, whatever deploys are at work beside it."""

import io
from collections import Counter
from collections.abc import Callable
from datetime import date
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from pydantic import BaseModel

from bench import Bench
from hourly import HOUR, MINUTE, NOON, Time, get, hourly
from job_runners import clock
from job_runners.engine.errors import ScheduleNotFound
from job_runners.engine.registry.registry import registry
from job_runners.engine.schedules import declared_schedules, recurring, schedules
from job_runners.engine.schedules.recurring import Outcome
from job_runners.store import schedule_marks
from job_runners.store.schedule import Schedule
from job_runners.testing import moto_direct
from job_runners.work import Job, RunningJob
from job_runners.work.recurring import Recurring
from telemetry_lines import logged

pytestmark = pytest.mark.usefixtures("at_noon")


class Deploy:
    """A version of the code, and what its timer does."""

    def __init__(self, bench: Bench, **declared: Recurring) -> None:
        self._bench = bench
        self._declared = declared
        self._looked_at: dict[str, int] = {}  # by its process

    def tick(self) -> Counter[Outcome]:
        known = cast(dict[str, Recurring], registry().recurring)
        known.clear()
        known.update(self._declared)
        declared_schedules._last_checks, others = self._looked_at, declared_schedules._last_checks
        try:
            return recurring.start_due(self._bench.send, until=clock.now() + MINUTE)
        finally:
            declared_schedules._last_checks = others


def is_there(name: str = "hourly") -> bool:
    try:
        return bool(get(name))
    except ScheduleNotFound:
        return False


def minutes(number: int, *deploys: Deploy, step: int = 1) -> Counter[Outcome]:
    """Return what the ticks of these deploys have done in so many minutes, one each `step`."""
    counts: Counter[Outcome] = Counter()
    for _ in range(0, number, step):
        Time.now += step * MINUTE
        for each in deploys:
            counts += each.tick()
        each._bench.deliver()
    return counts


def said(lines: io.StringIO) -> list[dict[str, Any]]:
    """Return what was logged of schedules that could not be declared."""
    return [each for each in logged(lines) if each["message"] == "schedule not declared"]


def test_the_timer_of_a_new_stack_stores_what_the_code_declares(bench: Bench) -> None:
    cast(dict[str, Recurring], registry().recurring)["hourly"] = hourly()
    for _ in range(3):
        Time.now += MINUTE
        bench.tick()
    assert is_there()


def test_the_first_tick_of_a_deploy_brings_it_in(bench: Bench) -> None:
    Deploy(bench, hourly=hourly(payload={"number": 3})).tick()
    schedule = get()
    assert (schedule.origin, schedule.job_type, schedule.payload) == (
        "code",
        "sample_once",
        {"number": 3},
    )
    assert (schedule.next_at, schedule.created_by) == (NOON, None)


def test_nothing_is_written_when_nothing_has_changed(bench: Bench, counted: Counter[str]) -> None:
    deploy = Deploy(bench, hourly=hourly(), daily=hourly(every=86_400))
    deploy.tick()
    counted.clear()
    minutes(4, deploy)
    assert counted == {"Query": 3 * 4}  # whether there are any, and the two shards
    counted.clear()
    Deploy(bench, hourly=hourly(), daily=hourly(every=86_400)).tick()  # another process
    assert counted == {"Query": 3, "BatchGetItem": 1}
    counted.clear()
    Time.now += MINUTE
    deploy.tick()  # it is heard of once in five minutes, and sees to what is in the table
    assert counted == {"Query": 3, "PutItem": 1, "BatchGetItem": 1}


def test_a_definition_that_was_changed_is_as_the_latest_deploy_has_it(bench: Bench) -> None:
    before = Deploy(bench, hourly=hourly())
    minutes(1, before)
    after = Deploy(bench, hourly=hourly(payload={"number": 4}, every=7200))
    minutes(1, after)
    revision = get().revision
    minutes(7, before, after)  # a deploy that goes through slowly
    assert get().revision == revision  # neither takes it back
    assert (get().every, get().payload) == (7200, {"number": 4})


def test_a_rollback_is_in_force_once_the_other_deploy_is_gone(bench: Bench) -> None:
    before, after = Deploy(bench, hourly=hourly()), Deploy(bench, hourly=hourly(every=7200))
    minutes(1, before)
    minutes(3, after)
    assert get().every == 7200
    minutes(20, before)
    assert get().every == 3600


def test_what_is_paused_after_a_rollback_starts_nothing_until_the_other_deploy_is_gone(
    bench: Bench,
) -> None:
    before = Deploy(bench, hourly=hourly())
    after = Deploy(bench, hourly=hourly(every=60), new=hourly(every=60))
    minutes(1, before)
    assert minutes(3, after)[Outcome.STARTED] > 0
    assert minutes(3, before)[Outcome.STARTED] > 0  # what the other one says is in force
    for name in ("hourly", "new"):
        schedules.pause("acme", name)
    assert minutes(declared_schedules.GONE_AFTER // MINUTE, before)[Outcome.STARTED] == 0
    assert not is_there("new")
    schedules.resume("acme", "hourly")
    assert (get().every, get().next_at) == (3600, NOON + HOUR)


def test_beside_a_deploy_without_it_it_is_started_once_and_stays(bench: Bench) -> None:
    with_it, without = Deploy(bench, hourly=hourly()), Deploy(bench)
    minutes(1, with_it)
    counts = minutes(190, with_it, without, step=5)
    assert counts[Outcome.STARTED] == 4
    counts = minutes(60, without, with_it, step=5)
    assert counts[Outcome.STARTED] == 1
    assert get().started == 5


def test_a_deploy_that_adds_one_is_not_undone_by_the_one_before_it(bench: Bench) -> None:
    without, with_it = Deploy(bench, daily=hourly(every=86_400)), Deploy(bench, hourly=hourly())
    minutes(2, without)
    counts = minutes(60, with_it, without, step=5)
    assert counts[Outcome.STARTED] == 1
    assert is_there()


def test_what_no_deploy_declares_any_more_stops_and_is_removed(bench: Bench) -> None:
    Time.now = NOON + 10 * MINUTE
    with_it, without = Deploy(bench, hourly=hourly(), daily=hourly(every=86_400)), Deploy(bench)
    minutes(2, with_it)
    kept = Deploy(bench, daily=hourly(every=86_400))
    minutes(12, kept)
    assert is_there()  # who declares it may still be there
    minutes(10, kept)
    assert not is_there()
    assert is_there("daily")
    minutes(40, without)
    assert not is_there("daily")
    assert schedule_marks.marks() == []  # and a tick costs one request again
    assert moto_direct.rows("jobs") == []


def test_what_two_deploys_declared_that_are_gone_together_is_removed_once(
    bench: Bench, lines: io.StringIO
) -> None:
    minutes(2, Deploy(bench, hourly=hourly()), Deploy(bench, hourly=hourly(every=7200)))
    minutes(20, Deploy(bench, daily=hourly(every=86_400)))
    assert not is_there()
    removed = [each for each in logged(lines) if each["message"] == "schedule removed"]
    assert [each["schedule"] for each in removed] == ["hourly"]


def test_the_pause_of_a_declared_one_holds_across_deploys(bench: Bench) -> None:
    minutes(1, Deploy(bench, hourly=hourly()))
    schedules.pause("acme", "hourly")
    minutes(1, Deploy(bench, hourly=hourly(payload={"number": 5})))
    assert get().paused_at is not None
    minutes(40, Deploy(bench), step=5)
    assert not is_there()
    minutes(1, Deploy(bench, hourly=hourly(every=7200)))
    assert get().paused_at is not None
    assert minutes(300, Deploy(bench, hourly=hourly(every=7200)), step=20)[Outcome.STARTED] == 0
    schedules.resume("acme", "hourly")
    assert minutes(130, Deploy(bench, hourly=hourly(every=7200)), step=10)[Outcome.STARTED] == 1


def test_a_persons_schedule_of_that_name_is_not_taken_away(
    bench: Bench, lines: io.StringIO
) -> None:
    schedules.put("acme", "hourly", hourly(every=7200))
    minutes(1, Deploy(bench, hourly=hourly(), daily=hourly(every=86_400)))
    assert (get().origin, get().every) == ("api", 7200)
    assert is_there("daily")
    (line,) = said(lines)
    assert (line["schedule"], line["organization_id"]) == ("hourly", "acme")
    minutes(40, Deploy(bench), step=5)
    assert is_there()  # though no deploy declares it any more
    assert not is_there("daily")
    schedules.delete("acme", "hourly")
    minutes(6, Deploy(bench, hourly=hourly(), daily=hourly(every=86_400)))
    assert get().origin == "code"


def test_a_deploy_that_declares_nothing_writes_no_more_than_one_that_does(
    bench: Bench, counted: Counter[str]
) -> None:
    with_it, without = Deploy(bench, hourly=hourly(every=86_400)), Deploy(bench)
    minutes(1, with_it)
    counted.clear()
    minutes(10, without, with_it)
    assert counted["PutItem"] == 4  # each is heard of twice
    assert counted["DeleteItem"] == 0


def test_where_people_alone_have_schedules_a_tick_without_an_occurrence_reads_alone(
    bench: Bench, counted: Counter[str]
) -> None:
    schedules.put("acme", "hourly", hourly())
    counted.clear()
    minutes(6, Deploy(bench))
    assert counted == {"Query": 3 * 6}


def test_a_schedule_that_somebody_pauses_just_then_is_changed_the_next_time(
    bench: Bench, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    minutes(1, Deploy(bench, hourly=hourly()))
    replace = schedules.replace

    def overtaken(*given: Any) -> Schedule:
        schedules.pause("acme", "hourly")
        return replace(*given)

    deploy = Deploy(bench, hourly=hourly(payload={"number": 5}))
    with pytest.MonkeyPatch.context() as here:
        here.setattr(declared_schedules, "replace", overtaken)
        minutes(1, deploy)
    assert said(lines) == []
    minutes(6, deploy)
    assert get().payload == {"number": 5}
    assert get().paused_at is not None


def test_one_that_could_not_run_keeps_no_other_out(bench: Bench, lines: io.StringIO) -> None:
    minutes(1, Deploy(bench, broken=hourly("sample_onse"), hourly=hourly()))
    assert is_there()
    assert not is_there("broken")
    (line,) = said(lines)
    assert "sample_onse" in line["why"]


class Day(BaseModel):
    """A payload that may be given as what JSON has no form for."""

    day: date


def daily(job: RunningJob, payload: Day) -> None:
    """Do the work of a day."""


def test_a_payload_that_json_has_no_form_for_keeps_no_other_out(
    bench: Bench, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cast(dict[str, Job], registry().jobs), "daily", Job(daily))
    good = {"day": "2026-01-01"}
    before = Deploy(bench, dated=hourly("daily", payload=good))
    minutes(1, before)
    bad = hourly("daily", payload={"day": date(2026, 1, 2)})
    minutes(30, Deploy(bench, dated=bad, hourly=hourly(), other=bad))
    assert is_there()
    assert get("dated").payload == good  # as it was
    assert not is_there("other")
    assert {each["why"] for each in said(lines)} == {"Object of type date is not JSON serializable"}


def endless() -> list[Any]:
    """Return a list that is in itself."""
    found: list[Any] = []
    found.append(found)
    return found


def deep() -> list[Any]:
    """Return lists in lists, more than JSON is written of."""
    found: list[Any] = []
    for _ in range(100_000):
        found = [found]
    return found


@pytest.mark.parametrize("payload", [endless, deep])
def test_nor_does_one_that_has_no_end(bench: Bench, payload: Callable[[], list[Any]]) -> None:
    minutes(2, Deploy(bench, bad=hourly(payload={"number": payload()}), hourly=hourly()))
    assert is_there()
    assert not is_there("bad")


def test_what_is_in_the_table_is_started_though_the_deploy_can_t_be_noted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy = Deploy(bench, hourly=hourly())
    minutes(1, deploy)
    Time.now = NOON

    def away(*_: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "PutItem")

    monkeypatch.setattr(schedule_marks, "note_deploy", away)
    assert deploy.tick() == {Outcome.STARTED: 1}
