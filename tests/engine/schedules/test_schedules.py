"""Schedules as people have them: put, changed, paused, resumed, deleted, run now, listed."""

from collections.abc import Iterator
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from pynamodb.exceptions import DeleteError, UpdateError

import job_rows
from bench import Bench
from hourly import HOUR, NOON, hourly, put
from job_runners import clock
from job_runners.aws import clients
from job_runners.engine.errors import (
    ScheduleBusy,
    ScheduleDeclared,
    ScheduleNotFound,
    TooManySchedules,
)
from job_runners.engine.registry.registry import registry
from job_runners.engine.schedules import schedules
from job_runners.errors import InvalidCursor, InvalidPayload, PayloadTooLarge, UnknownJobType
from job_runners.store import schedule_marks
from job_runners.store import schedules as store
from job_runners.store.schedule import Schedule
from job_runners.store.schedule_marks import Mark
from job_runners.store.schedules import ScheduleChanged
from job_runners.store.transactions import RaceLost
from job_runners.work import context
from job_runners.work.context import Author

ALICE = Author("operator", "alice")
START = NOON + 20 * clock.MINUTE


@pytest.fixture(autouse=True)
def as_alice(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(clock, "now", lambda: START + bench.moved)
    token = context.author.set(ALICE)
    yield
    context.author.reset(token)


def test_what_was_put_is_there_with_who_put_it_and_what_comes_next() -> None:
    schedule, is_new = schedules.put("acme", "hourly", hourly(payload={"number": 3}))
    assert is_new
    found = schedules.get("acme", "hourly")
    assert found.attribute_values == schedule.attribute_values
    assert (found.organization_id, found.name, found.origin) == ("acme", "hourly", "api")
    assert (found.job_type, found.payload, found.every) == ("sample_once", {"number": 3}, 3600)
    assert found.created_by == found.updated_by == "operator:alice"
    assert (found.next_at, found.due_at) == (NOON + HOUR, NOON + HOUR)


def test_put_again_with_the_same_times_keeps_what_comes_next(bench: Bench) -> None:
    before = put()
    bench.advance(3700)  # its occurrence has come, and no timer has looked
    schedule, is_new = schedules.put("acme", "hourly", hourly(payload={"number": 4}))
    assert not is_new
    assert (schedule.next_at, schedule.payload) == (before.next_at, {"number": 4})
    assert (schedule.created_at, schedule.updated_at) == (START, clock.now())
    assert schedule.fingerprint is None


def test_one_that_waits_for_nothing_waits_for_nothing_when_it_is_changed() -> None:
    put(overlap="queue")
    assert put(overlap="queue", payload={"number": 4}).waits is None


def test_one_that_was_deleted_while_it_was_paused_is_not_paused_when_it_is_put_again() -> None:
    put()
    schedules.pause("acme", "hourly")
    schedules.delete("acme", "hourly")
    assert put().paused_at is None


def test_an_occurrence_that_had_come_survives_other_times(bench: Bench) -> None:
    before = put()
    bench.advance(3700)
    schedule = put(every=86_400)
    assert schedule.next_at == before.next_at
    assert schedule.since == clock.now()  # the days before were not asked for


def test_one_that_had_not_come_gives_way_to_other_times() -> None:
    put()
    assert put(every=86_400).next_at == NOON + 12 * HOUR


def test_a_paused_schedule_is_not_due_and_what_came_meanwhile_is_left_out(bench: Bench) -> None:
    put()
    paused = schedules.pause("acme", "hourly")
    assert (paused.next_at, paused.due_at, paused.due_shard) == (None, None, None)
    assert (paused.paused_at, paused.paused_by) == (clock.now(), "operator:alice")
    bench.advance(3 * 3600)
    assert put(payload={"number": 5}).paused_at is not None  # put again, it stays paused
    assert put(every=7200).next_at is None
    resumed = schedules.resume("acme", "hourly")
    assert (resumed.paused_at, resumed.paused_by) == (None, None)
    assert resumed.next_at == resumed.due_at == NOON + 4 * HOUR


def test_pausing_and_resuming_twice_is_as_once(bench: Bench) -> None:
    put()
    first = schedules.pause("acme", "hourly")
    bench.advance(10)
    assert schedules.pause("acme", "hourly").paused_at == first.paused_at
    resumed = schedules.resume("acme", "hourly")
    assert schedules.resume("acme", "hourly").revision == resumed.revision


def test_a_deleted_schedule_is_gone_and_leaves_no_payload() -> None:
    put(payload={"number": 3})
    schedules.delete("acme", "hourly")
    with pytest.raises(ScheduleNotFound):
        schedules.get("acme", "hourly")
    assert store.page("acme", limit=10) == ([], None)
    assert schedules.put("acme", "hourly", hourly())[1]  # it is new
    schedules.delete("acme", "hourly")
    stub = store.read("acme", "hourly")
    assert stub is not None
    assert stub.is_deleted
    assert stub.expires_at == (clock.now() + 40 * clock.DAY) // clock.SECOND
    kept = {"pk", "sk", "revision", "since", "deleted_at", "expires_at", "updated_at"}
    defaults = {"version", "origin", "timezone", "most_missed", "overlap", "started", "skipped"}
    assert stub.attribute_values.keys() - kept - defaults - {"failed"} == set()


@pytest.mark.parametrize(
    "deed", [schedules.get, schedules.pause, schedules.resume, schedules.delete]
)
def test_of_a_schedule_that_is_not_there_nothing_can_be_asked(deed: Any) -> None:
    with pytest.raises(ScheduleNotFound, match="'hourly'"):
        deed("acme", "hourly")
    put()
    with pytest.raises(ScheduleNotFound):
        deed("umbrella", "hourly")
    schedules.delete("acme", "hourly")
    with pytest.raises(ScheduleNotFound):
        deed("acme", "hourly")


def test_put_again_it_does_not_come_back_to_what_it_has_dealt_with(bench: Bench) -> None:
    schedule = put()
    at = schedule.next_at or 0
    store.advance(schedule, store.Progress(at, at + HOUR))
    schedules.delete("acme", "hourly")
    # By a machine whose clock is behind: by its time, that occurrence is still to come.
    again = put()
    assert again.next_at == at + HOUR
    assert (again.created_at, again.created_by) == (clock.now(), "operator:alice")
    schedules.pause("acme", "hourly")
    assert schedules.resume("acme", "hourly").next_at == at + HOUR
    assert put(every=1800).next_at == at + HOUR // 2


def test_put_again_it_does_not_expire_as_its_stub_would(bench: Bench) -> None:
    put()
    schedules.delete("acme", "hourly")
    put()
    assert schedules.get("acme", "hourly").expires_at is None


def test_the_job_must_be_one_that_could_be_dispatched() -> None:
    with pytest.raises(UnknownJobType):
        put(job_type="sample_onse")
    with pytest.raises(InvalidPayload):
        put(payload={"number": "many"})
    with pytest.raises(PayloadTooLarge, match="compressed"):
        put(payload={"text": "".join(map(str, range(10_000)))})
    with pytest.raises(PayloadTooLarge, match="schedule has"):
        put(payload={"text": "a" * 200_000})  # which compresses well
    assert store.read("acme", "hourly") is None
    assert schedule_marks.marks() == []


def test_what_the_code_declares_is_not_changed_or_deleted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schedules.replace(None, "acme", "hourly", schedules.definition_of(hourly()), "code")
    with pytest.raises(ScheduleDeclared):
        put()
    with pytest.raises(ScheduleDeclared):
        schedules.delete("acme", "hourly")
    assert schedules.pause("acme", "hourly").paused_at is not None
    # Of a deploy that no timer has run yet, too.
    monkeypatch.setitem(cast(Any, registry().recurring), "daily", hourly(every=86_400))
    with pytest.raises(ScheduleDeclared):
        put("daily")
    schedules.put("umbrella", "daily", hourly(organization_id="umbrella"))


def test_a_name_of_the_code_that_it_has_given_up_does_not_come_with_its_pause() -> None:
    schedules.replace(None, "acme", "hourly", schedules.definition_of(hourly()), "code")
    schedules.pause("acme", "hourly")
    store.delete(schedules.get("acme", "hourly"))
    assert put().paused_at is None


def test_schedules_are_listed_by_name_a_page_at_a_time() -> None:
    for name in ("b", "d", "a", "c", "e"):
        put(name)
    schedules.delete("acme", "c")
    schedules.put("umbrella", "a", hourly(organization_id="umbrella"))
    first, cursor = store.page("acme", limit=2)
    second, end = store.page("acme", limit=2, cursor=cursor)
    assert [each.name for each in (*first, *second)] == ["a", "b", "d", "e"]
    assert end is None
    for broken in ("!", "bm90", "c2EjYg"):  # the last has a name that none can have
        with pytest.raises(InvalidCursor):
            store.page("acme", limit=2, cursor=broken)


def test_an_organisation_has_so_many_schedules_and_no_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedules, "MAX_SCHEDULES", 2)
    put("a")
    put("b")
    put("b", every=7200)
    bench.advance(2)  # the count may lag behind
    put("b", every=3600)
    with pytest.raises(TooManySchedules):
        put("c")


def test_run_now_starts_a_job_of_its_own_once_for_each_key(bench: Bench) -> None:
    put(payload={"number": 3})
    first = schedules.run_now("acme", "hourly", bench.send, "k").row
    assert schedules.run_now("acme", "hourly", bench.send, "k").row.id == first.id
    other = schedules.run_now("acme", "hourly", bench.send).row
    assert other.id != first.id
    assert schedules.run_now("acme", "hourly", bench.send).row.id != other.id
    assert (first.job_type, first.created_by) == ("sample_once", "operator:alice")
    assert bench.read(first).payload == bench.read(other).payload
    schedules.pause("acme", "hourly")
    schedules.run_now("acme", "hourly", bench.send)
    assert len(bench.sent) == 5
    assert schedules.get("acme", "hourly").last_at is None  # its occurrences are as they were


def test_a_change_that_others_have_overtaken_is_made_on_what_they_left() -> None:
    stale = put()
    schedules.pause("acme", "hourly")
    with pytest.raises(ScheduleChanged):
        store.advance(stale, store.Progress(stale.next_at or 0, None))
    assert put(payload={"number": 9}).paused_at is not None


@pytest.mark.parametrize("overtaken", [1, 99])
def test_who_is_overtaken_tries_again_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch, overtaken: int
) -> None:
    put()
    pause, tries = store.pause, []

    def moved(*given: Any) -> Schedule:
        tries.append(given)
        if len(tries) <= overtaken:
            raise ScheduleChanged
        return pause(*given)

    monkeypatch.setattr(store, "pause", moved)
    if overtaken == 1:
        assert schedules.pause("acme", "hourly").paused_at is not None
    else:
        with pytest.raises(ScheduleBusy, match="Try again"):
            schedules.pause("acme", "hourly")
        assert len(tries) == 4


def test_a_write_whose_answer_is_lost_has_landed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    put()
    lost = iter([True])

    def lose(**_: Any) -> int | None:
        return 0 if next(lost, False) else None  # botocore sends it again at once

    client = clients.client("dynamodb")
    client.meta.events.register_first("needs-retry.dynamodb.UpdateItem", lose)
    assert put(payload={"number": 6}).payload == {"number": 6}


def test_who_hears_no_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unheard(*_: Any, **__: Any) -> None:
        raise ReadTimeoutError(endpoint_url="https://dynamodb")

    monkeypatch.setattr(Schedule, "update", unheard)
    with pytest.raises(ReadTimeoutError):
        put()


# --- what a write asks for ------------------------------------------------------------------------


def refused_by_aws(*_: Any, **__: Any) -> None:
    error: Any = {"Error": {"Code": "ThrottlingException", "Message": "not now"}}
    raise ClientError(error, "UpdateItem")


@pytest.fixture
def throttled(monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = put()
    schedule_marks.note_deploy("d", clock.now(), [])
    client = clients.client("dynamodb")
    monkeypatch.setattr(client, "_make_api_call", refused_by_aws)
    assert schedule.revision


@pytest.mark.usefixtures("throttled")
def test_what_aws_refuses_is_no_change_of_somebody_elses() -> None:
    schedule = Schedule("schedules#acme", "hourly", revision="r", due_at=1)
    for write in (
        lambda: store.advance(schedule, store.Progress(1, None)),
        lambda: store.set_aside(schedule, 1),
    ):
        with pytest.raises(UpdateError):
            write()
    with pytest.raises(DeleteError):
        schedule_marks.forget_deploy(Mark(sk="deploy#d", seen_at=clock.now()))


def test_an_occurrence_that_was_dealt_with_is_not_started_whatever_else_is_as_it_was() -> None:
    schedule = put()
    at = schedule.next_at or 0
    moved = store.advance(schedule, store.Progress(at, at + HOUR))
    again = store.start_write(moved, store.Progress(at, at + HOUR), at, "r")
    with pytest.raises(RaceLost):
        job_rows.saved(job_id="named", more_writes=[again])
    later = store.start_write(moved, store.Progress(at + HOUR, at + 2 * HOUR), at + HOUR, "r")
    job_rows.saved(job_id="named", more_writes=[later])
    assert schedules.get("acme", "hourly").last_at == at + HOUR


def test_a_schedule_that_has_moved_is_not_set_aside_and_one_that_is_gone_not_made_anew() -> None:
    schedule = put()
    store.advance(schedules.get("acme", "hourly"), store.Progress(START, NOON + 2 * HOUR))
    store.set_aside(schedule, NOON + 9 * HOUR)
    assert schedules.get("acme", "hourly").due_at == NOON + 2 * HOUR
    schedules.get("acme", "hourly").delete()
    with pytest.raises(ScheduleChanged):
        store.advance(schedule, store.Progress(START, None))
    store.set_aside(schedule, NOON + 9 * HOUR)
    assert store.read("acme", "hourly") is None


def test_a_deploy_that_was_heard_of_since_is_not_forgotten(bench: Bench) -> None:
    read = schedule_marks.note_deploy("d", clock.now(), [])
    bench.advance(1)
    schedule_marks.note_deploy("d", clock.now(), [])
    schedule_marks.forget_deploy(read)
    (mark,) = schedule_marks.marks()
    schedule_marks.forget_deploy(mark)
    assert schedule_marks.marks() == []
