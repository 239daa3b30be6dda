"""Recurring work in a tick: what is started, and once; what is left out; what is tried again."""

import io
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, cast
from unittest.mock import Mock

import pytest
from botocore.exceptions import ClientError

import clock
from aws import clients
from aws.errors import AWS_ERRORS
from bench import Bench
from counted_units import Units
from errors import SendFailed
from runners import declared_schedules, dispatch, occurrence, pausing, recurring, schedules
from runners.recurring import Outcome
from runners.registry import registry
from sample_work import script
from store import blobs, limits, queries, schedule_marks, verbs
from store import schedules as store
from store.job_request import JobRequest, Status
from store.pauses import Kind
from store.schedules import Schedule
from store.transactions import RaceLost
from telemetry_lines import logged
from testing import moto_direct
from testing.aws import forget
from work.occurrences import next_after
from work.recurring import Each, Recurring

NOON = 1_800_014_400_000  # of a day in January 2027, in UTC
MINUTE, HOUR, DAY = clock.MINUTE, clock.HOUR, clock.DAY


class Time:
    """The time of every clock. Unlike a bench's, it can go back."""

    now = 0


@pytest.fixture(autouse=True)
def at_noon(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    Time.now = NOON - 10 * MINUTE
    monkeypatch.setattr(clock, "now", lambda: Time.now)
    monkeypatch.setattr("store.schedules.schedule.SHARDS", 2)
    declared_schedules.forget()
    yield
    declared_schedules.forget()


def put(name: str = "hourly", **changed: Any) -> Schedule:
    asked: dict[str, Any] = {"every": 3600, "organization_id": "acme"} | changed
    return schedules.put("acme", name, Recurring(asked.pop("job_type", "sample_once"), **asked))[0]


def get(name: str = "hourly") -> Schedule:
    return schedules.get("acme", name)


def look(bench: Bench, **options: Any) -> Counter[Outcome]:
    """Return what one look at what is due has done."""
    return recurring.start_due(bench.send, until=clock.now() + MINUTE, **options)


def go_to(time: int) -> None:
    Time.now = time


def started() -> list[int]:
    """Return the times of the occurrences of `hourly` that have a row, as far as two days go."""
    ids = {row["id"] for row in moto_direct.rows("jobs")}
    schedule = Schedule("schedules#acme", "hourly")
    return [at for at in range(NOON, NOON + 2 * DAY, MINUTE) if schedule.job_id(at) in ids]


# --- an occurrence --------------------------------------------------------------------------------


def test_an_occurrence_is_a_job_of_its_schedule(bench: Bench) -> None:
    put(payload={"number": 3})
    assert look(bench) == Counter()
    go_to(NOON + 40_000)
    assert look(bench) == {Outcome.STARTED: 1}
    schedule = get()
    row = bench.read(schedule.job_id(NOON))
    assert (row.job_type, row.organization_id) == ("sample_once", "acme")
    assert row.created_by == "schedule:hourly"
    assert blobs.get(row.payload, row.payload_key) == {"number": 3}
    assert bench.sent_jobs == [row.id]
    assert (schedule.last_at, schedule.last_started_at) == (NOON, NOON)
    assert (schedule.last_job_id, schedule.started) == (row.id, 1)
    assert schedule.next_at == schedule.due_at == NOON + HOUR
    assert look(bench) == Counter()


def test_it_is_started_within_the_tick_that_the_minute_brings(bench: Bench) -> None:
    put()
    go_to(NOON + 40_000)
    assert bench.tick().schedules == {Outcome.STARTED: 1}
    assert len(bench.sent) == 1


def test_what_is_due_longest_is_started_first(bench: Bench) -> None:
    minutes = [7, 2, 9, 0, 4, 8, 1, 6, 3, 5]
    for minute in minutes:
        put(f"at {minute}", cron=f"{minute} * * * *", every=None)
    go_to(NOON + 10 * MINUTE)
    assert look(bench) == {Outcome.STARTED: 10}
    in_order = [get(f"at {minute}").last_job_id for minute in sorted(minutes)]
    assert bench.sent_jobs == in_order


def test_a_day_of_ticks_starts_each_occurrence_once(bench: Bench) -> None:
    put()
    for _ in range(24 * 6):
        Time.now += 10 * MINUTE
        for _ in range(2):  # two timers
            look(bench)
        bench.deliver()
    assert len(started()) == 24
    assert (get().started, get().skipped) == (24, 0)


@pytest.mark.parametrize("back", [MINUTE, DAY, 400 * DAY])
def test_a_clock_that_goes_back_starts_nothing_twice(bench: Bench, back: int) -> None:
    put()
    go_to(NOON)
    look(bench)
    bench.deliver()
    row = bench.read(get().job_id(NOON))
    row.delete()  # so that its id is free
    Time.now -= back
    look(bench)
    put(payload={"number": 2})  # edited by that clock
    put(every=1800)
    schedules.pause("acme", "hourly")
    schedules.resume("acme", "hourly")
    schedules.delete("acme", "hourly")
    put()
    look(bench)
    go_to(NOON + MINUTE)
    look(bench)
    assert started() == []
    go_to(NOON + HOUR)
    look(bench)
    assert started() == [NOON + HOUR]


def test_two_timers_that_read_it_together_start_it_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, counted: Counter[str]
) -> None:
    put()
    go_to(NOON)
    accept = dispatch.accept_job
    met: list[Counter[Outcome]] = []

    def overtaken(*arguments: Any, **options: Any) -> JobRequest:
        monkeypatch.setattr(dispatch, "accept_job", accept)
        met.append(look(bench))
        bench.deliver()
        counted.clear()
        bench.read(get().job_id(NOON)).delete()  # the other's job has ended, and was deleted
        return accept(*arguments, **options)

    monkeypatch.setattr(dispatch, "accept_job", overtaken)
    assert look(bench) == {Outcome.MOVED: 1}
    assert met == [{Outcome.STARTED: 1}]
    assert started() == []
    assert "UpdateItem" not in counted


@pytest.mark.parametrize(
    "deed",
    [
        lambda: schedules.delete("acme", "hourly"),
        lambda: schedules.pause("acme", "hourly"),
    ],
)
def test_nothing_starts_after_a_delete_or_a_pause_that_came_between(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, deed: Callable[[], object]
) -> None:
    put()
    go_to(NOON)
    accept = dispatch.accept_job

    def overtaken(*arguments: Any, **options: Any) -> JobRequest:
        deed()
        return accept(*arguments, **options)

    monkeypatch.setattr(dispatch, "accept_job", overtaken)
    assert look(bench) == {Outcome.MOVED: 1}
    assert started() == []


def test_an_edit_in_the_minute_it_is_due_starts_it_once_as_it_is_now(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    put()
    go_to(NOON)
    accept = dispatch.accept_job

    def overtaken(*arguments: Any, **options: Any) -> JobRequest:
        monkeypatch.setattr(dispatch, "accept_job", accept)
        put(payload={"number": 4})
        return accept(*arguments, **options)

    monkeypatch.setattr(dispatch, "accept_job", overtaken)
    assert look(bench) == {Outcome.MOVED: 1}
    assert look(bench) == {Outcome.STARTED: 1}
    row = bench.read(get().job_id(NOON))
    assert blobs.get(row.payload, row.payload_key) == {"number": 4}


def test_who_is_killed_has_saved_the_job_and_moved_on_or_neither(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    put()
    go_to(NOON)

    def killed(**_: Any) -> None:
        raise KeyboardInterrupt

    client = clients.client("dynamodb")
    client.meta.events.register_first("before-send.dynamodb.TransactWriteItems", killed)
    with pytest.raises(KeyboardInterrupt):
        look(bench)
    client.meta.events.unregister("before-send.dynamodb.TransactWriteItems", killed)
    assert (started(), get().last_at) == ([], None)
    client.meta.events.register_first("after-call.dynamodb.TransactWriteItems", killed)
    with pytest.raises(KeyboardInterrupt):
        look(bench)
    client.meta.events.unregister("after-call.dynamodb.TransactWriteItems", killed)
    assert (started(), get().last_at) == ([NOON], NOON)
    assert look(bench) == Counter()
    Time.now += 61 * clock.SECOND
    bench.tick()
    assert bench.sent_jobs == [get().job_id(NOON)]  # its row was due


def test_a_save_whose_answer_is_lost_has_landed_once(bench: Bench) -> None:
    put()
    go_to(NOON)
    lost = iter([True])

    def lose(**_: Any) -> int | None:
        return 0 if next(lost, False) else None  # botocore sends it again at once

    client = clients.client("dynamodb")
    client.meta.events.register_first("needs-retry.dynamodb.TransactWriteItems", lose)
    assert look(bench) == {Outcome.STARTED: 1}
    assert (started(), get().started) == ([NOON], 1)


def test_a_worker_that_can_t_be_reached_costs_a_few_tries_and_loses_nothing(bench: Bench) -> None:
    for number in range(10):
        put(f"hourly {number}")
    go_to(NOON)
    tried = []

    def send(message: Any, delay: float = 0) -> None:
        tried.append(message)
        raise SendFailed(message.title, "Lambda is away")

    assert recurring.start_due(send, until=clock.now() + MINUTE) == {Outcome.STARTED: 10}
    assert len(tried) == 3
    Time.now += 61 * clock.SECOND
    bench.tick()
    assert len(bench.sent) == 10


# --- what was missed ------------------------------------------------------------------------------


def test_of_those_that_were_missed_one_is_made_up_for(bench: Bench) -> None:
    put()
    go_to(NOON + 3 * HOUR + 20 * MINUTE)
    assert look(bench) == {Outcome.STARTED: 1}
    assert started() == [NOON + 3 * HOUR]
    schedule = get()
    assert (schedule.skipped, schedule.last_skipped_at) == (3, NOON + 2 * HOUR)
    assert schedule.last_skipped_why == "it was missed: nothing could start it in time"
    assert schedule.next_at == NOON + 4 * HOUR


@pytest.mark.parametrize(("late", "made_up_for"), [(4 * MINUTE, [NOON + HOUR]), (6 * MINUTE, [])])
def test_or_none_but_one_that_is_hardly_late(
    bench: Bench, late: int, made_up_for: list[int]
) -> None:
    put(missed="skip")
    go_to(NOON + HOUR + late)
    look(bench)
    assert started() == made_up_for
    assert get().skipped == 2 - len(made_up_for)
    bench.deliver()
    go_to(NOON + 2 * HOUR)
    look(bench)
    assert started() == [*made_up_for, NOON + 2 * HOUR]


def test_or_each_of_the_latest(bench: Bench) -> None:
    put(missed=Each(3), overlap="allow")
    go_to(NOON + 5 * HOUR)
    assert look(bench) == {Outcome.STARTED: 3}
    assert started() == [NOON + 3 * HOUR, NOON + 4 * HOUR, NOON + 5 * HOUR]
    assert (get().started, get().skipped) == (3, 3)
    assert len(set(bench.sent_jobs)) == 3


def test_a_month_away_is_no_more_work_than_a_day(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(every=60, missed=Each(2), overlap="allow")
    go_to(NOON + 40 * DAY)
    computed = []

    def count(*given: Any) -> int | None:
        computed.append(given)
        return next_after(*given)

    monkeypatch.setattr(occurrence, "next_after", count)
    assert look(bench) == {Outcome.STARTED: 2}
    assert len(computed) < 1_100
    assert get().skipped == 1_000  # those between are not counted
    assert get().last_at == NOON + 40 * DAY
    assert queries.read(get().job_id(NOON + 40 * DAY - MINUTE))


@pytest.mark.parametrize("minutes", [999, 1_000, 1_001])
def test_the_last_of_very_many_are_made_up_for(bench: Bench, minutes: int) -> None:
    put(every=60, missed=Each(2), overlap="allow")
    last = NOON - 9 * MINUTE + minutes * MINUTE
    go_to(last)
    assert look(bench) == {Outcome.STARTED: 2}
    assert started() == [last - MINUTE, last]
    assert get().skipped == minutes - 1


def test_what_came_while_it_was_paused_is_left_out(bench: Bench) -> None:
    put(missed=Each(5), overlap="allow")
    schedules.pause("acme", "hourly")
    go_to(NOON + 3 * HOUR + 1)
    assert look(bench) == Counter()
    schedules.resume("acme", "hourly")
    assert look(bench) == Counter()
    go_to(NOON + 4 * HOUR)
    assert look(bench) == {Outcome.STARTED: 1}


def test_times_that_it_did_not_have_then_were_not_missed(bench: Bench) -> None:
    put(missed=Each(50), overlap="allow")
    go_to(NOON + 10 * MINUTE + 1)
    put(every=60, missed=Each(50), overlap="allow")
    go_to(NOON + 12 * MINUTE)
    look(bench)
    assert started() == [NOON, NOON + 11 * MINUTE, NOON + 12 * MINUTE]


def test_a_schedule_that_never_comes_again_is_never_due(bench: Bench) -> None:
    put(every=None, cron="0 12 * * *")
    schedule = get()
    go_to(NOON)
    store.move_on(schedule, store.Step(NOON, None))
    assert (get().next_at, get().due_at, get().due_shard) == (None, None, None)
    assert look(bench) == Counter()


# --- while the one before it runs -----------------------------------------------------------------


def test_it_is_left_out_while_the_one_before_it_runs(bench: Bench) -> None:
    put()
    go_to(NOON)
    look(bench)
    bench.claim(bench.read(get().job_id(NOON)), seconds=7 * 3600)
    go_to(NOON + HOUR)
    assert look(bench) == {Outcome.SKIPPED: 1}
    schedule = get()
    assert (schedule.last_at, schedule.last_started_at) == (NOON + HOUR, NOON)
    assert (schedule.last_skipped_at, schedule.last_skipped_why) == (
        NOON + HOUR,
        "the one before it was not finished",
    )
    verbs.succeed(bench.read(get().job_id(NOON)), None)
    go_to(NOON + 2 * HOUR)
    assert look(bench) == {Outcome.STARTED: 1}
    assert started() == [NOON, NOON + 2 * HOUR]


def test_so_are_those_that_were_missed_meanwhile(bench: Bench) -> None:
    put()
    go_to(NOON)
    look(bench)
    bench.claim(bench.read(get().job_id(NOON)), seconds=7 * 3600)
    go_to(NOON + 3 * HOUR)
    assert look(bench) == {Outcome.SKIPPED: 1}
    assert (get().skipped, get().last_skipped_at) == (3, NOON + 3 * HOUR)
    assert get().last_skipped_why == "the one before it was not finished"


def test_or_it_follows_when_that_has_ended_and_no_other_waits(bench: Bench) -> None:
    put(overlap="queue", missed="skip")
    go_to(NOON)
    look(bench)
    bench.claim(bench.read(get().job_id(NOON)), seconds=7 * 3600)
    for minute in range(60, 200, 10):
        go_to(NOON + minute * MINUTE)
        look(bench)
    schedule = get()
    assert (schedule.waits, schedule.next_at, schedule.last_at) == (True, NOON + HOUR, NOON)
    verbs.succeed(bench.read(schedule.job_id(NOON)), None)
    Time.now += 60 * clock.SECOND
    assert look(bench) == {Outcome.STARTED: 1}
    assert started() == [NOON, NOON + HOUR]
    schedule = get()
    assert (schedule.waits, schedule.skipped) == (None, 2)
    assert schedule.last_skipped_why == "one waits already for the one before it"
    assert (schedule.last_at, schedule.next_at) == (NOON + 3 * HOUR, NOON + 4 * HOUR)


def test_an_edit_leaves_it_waiting_unless_it_need_not_wait_any_more(bench: Bench) -> None:
    put(overlap="queue", missed="skip")
    go_to(NOON)
    look(bench)
    bench.claim(bench.read(get().job_id(NOON)), seconds=7 * 3600)
    go_to(NOON + HOUR)
    look(bench)
    edited = put(overlap="queue", missed="skip", payload={"number": 7})
    assert (edited.waits, edited.next_at) == (True, NOON + HOUR)
    edited = put(overlap="allow", payload={"number": 7})
    assert (edited.waits, edited.next_at) == (None, NOON + HOUR)
    assert look(bench) == {Outcome.STARTED: 1}


def test_or_beside_it(bench: Bench) -> None:
    put(overlap="allow")
    for hour in range(3):
        go_to(NOON + hour * HOUR)
        assert look(bench) == {Outcome.STARTED: 1}
    assert len(started()) == 3


def test_one_that_was_parked_or_waits_for_another_attempt_is_not_finished(bench: Bench) -> None:
    put(job_type="sample_again")
    go_to(NOON)
    look(bench)
    pausing.pause(Kind.QUEUE, "default")
    assert bench.run(bench.read(get().job_id(NOON))).status is Status.WAITING
    go_to(NOON + HOUR)
    assert look(bench) == {Outcome.SKIPPED: 1}


# --- what can't be started ------------------------------------------------------------------------


def test_a_job_that_can_t_be_accepted_is_tried_for_an_hour_and_then_given_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(every=86_400, job_type="sample_again")
    job = cast(dict[str, Any], registry().jobs).pop("sample_again")
    midnight = NOON + 12 * HOUR
    tries, met = [], Counter[Outcome]()
    for minute in range(90):
        go_to(midnight + minute * MINUTE)
        found = look(bench)
        tries += [minute] if found else []
        met += found
    assert met == {Outcome.REFUSED: 10, Outcome.FAILED: 1}
    assert tries == [0, 1, 2, 4, 8, 16, 26, 36, 46, 56, 66]
    schedule = get()
    assert (schedule.failed, schedule.last_failed_at, schedule.started) == (1, midnight, 0)
    assert schedule.error["kind"] == "UnknownJobType"
    assert "sample_again" in schedule.error["message"]
    assert not schedule.retrying
    assert schedule.next_at == midnight + DAY
    cast(dict[str, Any], registry().jobs)["sample_again"] = job
    go_to(midnight + DAY)
    assert look(bench) == {Outcome.STARTED: 1}


def test_the_next_one_is_tried_anew(bench: Bench) -> None:
    put(every=1800, job_type="sample_again")
    cast(dict[str, Any], registry().jobs).pop("sample_again")
    tries = []
    for minute in range(58):
        go_to(NOON + minute * MINUTE)
        tries += [minute] if look(bench) else []
    assert tries == [0, 1, 2, 4, 8, 16, 26, 30, 31, 32, 34, 38, 46, 56]
    assert (get().failed, get().last_failed_at, get().next_at) == (1, NOON, NOON + 30 * MINUTE)


def test_what_aws_refuses_is_recorded_as_well(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    put()
    go_to(NOON)

    def refused(*_: Any, **__: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "TransactWriteItems")

    monkeypatch.setattr(dispatch, "accept_job", refused)
    assert look(bench) == {Outcome.REFUSED: 1}
    assert get().error["kind"] == "ClientError"


def test_it_is_started_once_it_can_be_accepted(bench: Bench) -> None:
    put(job_type="sample_again")
    jobs = cast(dict[str, Any], registry().jobs)
    job = jobs.pop("sample_again")
    go_to(NOON)
    assert look(bench) == {Outcome.REFUSED: 1}
    assert get().retrying
    assert get().error["kind"] == "UnknownJobType"
    assert look(bench) == Counter()  # not in the same minute
    jobs["sample_again"] = job
    Time.now += 61 * clock.SECOND
    assert look(bench) == {Outcome.STARTED: 1}
    schedule = get()
    assert (schedule.retrying, schedule.error, schedule.failed) == (False, None, 0)


def test_one_that_failed_until_the_next_came_is_recorded_as_failed(bench: Bench) -> None:
    put(every=300, missed="skip")
    assert get().next_at == NOON - 5 * MINUTE
    jobs = cast(dict[str, Any], registry().jobs)
    job = jobs.pop("sample_once")
    for minute in range(5):
        go_to(NOON + minute * MINUTE)
        look(bench)
    jobs["sample_once"] = job
    go_to(NOON + 5 * MINUTE + 1)
    assert look(bench) == {Outcome.STARTED: 1}
    schedule = get()
    # One was missed before it began.
    assert (schedule.failed, schedule.skipped, schedule.last_failed_at) == (1, 1, NOON)
    assert schedule.error["kind"] == "UnknownJobType"
    assert started() == [NOON + 5 * MINUTE]


@pytest.mark.parametrize(
    ("overlap", "outcome"), [("skip", Outcome.SKIPPED), ("queue", Outcome.WAITING)]
)
def test_deleted_and_put_again_it_does_not_overlap_the_job_of_before(
    bench: Bench, overlap: str, outcome: Outcome
) -> None:
    put(overlap=overlap)
    go_to(NOON)
    look(bench)
    running = bench.claim(bench.read(get().last_job_id or ""))
    schedules.delete("acme", "hourly")
    put(overlap=overlap)
    go_to(NOON + HOUR)
    assert look(bench) == {outcome: 1}
    verbs.succeed(running, None)
    go_to(NOON + 2 * HOUR)
    assert look(bench)[Outcome.STARTED] == 1


def test_a_bad_schedule_keeps_no_other_waiting(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "hourly", "y", "z"):
        put(name)
    clients.client("dynamodb").update_item(
        TableName="coordination",
        Key={"pk": {"S": "schedules#acme"}, "sk": {"S": "b"}},
        UpdateExpression="SET every = :unknown",
        ExpressionAttributeValues={":unknown": {"S": "of a newer deploy"}},
    )
    clients.client("dynamodb").update_item(
        TableName="coordination",
        Key={"pk": {"S": "schedules#acme"}, "sk": {"S": "y"}},
        UpdateExpression="SET cron = :broken REMOVE every",
        ExpressionAttributeValues={":broken": {"S": "* * * * nonsense"}},
    )
    go_to(NOON)
    assert look(bench) == {Outcome.STARTED: 3, Outcome.BROKEN: 2}
    assert look(bench) == Counter()  # they are set aside for an hour


def test_a_job_of_which_this_code_can_read_nothing_keeps_no_other_waiting(bench: Bench) -> None:
    names = [f"hourly {number:02}" for number in range(12)]
    for name in names:
        put(name)
    go_to(NOON)
    look(bench)
    bench.deliver()
    clients.client("dynamodb").update_item(
        TableName="jobs",
        Key={"id": {"S": get(names[3]).last_job_id}},
        UpdateExpression="SET #status = :unknown",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":unknown": {"S": "of a newer deploy"}},
    )
    go_to(NOON + HOUR)
    assert look(bench) == {Outcome.STARTED: 11, Outcome.BROKEN: 1}
    assert [get(name).started for name in names] == [2, 2, 2, 1, *[2] * 8]
    assert get(names[3]).skipped == 0  # nothing is said of it that nobody knows
    assert look(bench) == Counter()  # it is set aside for an hour


def test_so_do_several_that_aws_refuses(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(8):
        put(f"hourly {number}")
    go_to(NOON)
    move_on = store.start_also

    def refused(schedule: Schedule, *given: Any) -> Any:
        if schedule.name < "hourly 5":
            raise ZeroDivisionError(schedule.name)
        return move_on(schedule, *given)

    def unwritable(*_: Any, **__: Any) -> None:
        raise ClientError({"Error": {"Code": "ValidationException"}}, "UpdateItem")

    monkeypatch.setattr(store, "start_also", refused)
    monkeypatch.setattr(store, "note_failing", unwritable)
    with pytest.MonkeyPatch.context() as here:
        here.setattr(store, "set_aside", unwritable)
        assert look(bench) == {Outcome.STARTED: 3}
    assert look(bench) == {Outcome.BROKEN: 5}


def test_a_schedule_of_newer_code_is_left_to_it(bench: Bench) -> None:
    put()
    clients.client("dynamodb").update_item(
        TableName="coordination",
        Key={"pk": {"S": "schedules#acme"}, "sk": {"S": "hourly"}},
        UpdateExpression="SET version = :newer",
        ExpressionAttributeValues={":newer": {"N": "2"}},
    )
    go_to(NOON)
    assert look(bench) == {Outcome.MOVED: 1}
    assert (get().next_at, get().due_at) == (NOON, NOON + MINUTE)
    assert started() == []


def test_where_aws_is_away_everything_stays_due(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(10):
        put(f"hourly {number}")
    go_to(NOON)
    calls = []

    def throttled(*_: Any, **__: Any) -> None:
        calls.append(1)
        answer: Any = {
            "Error": {"Code": "ThrottlingException"},
            "ResponseMetadata": {"HTTPStatusCode": 400},
        }
        raise ClientError(answer, "TransactWriteItems")

    with pytest.MonkeyPatch.context() as here:
        here.setattr(dispatch, "accept_job", throttled)
        assert look(bench) == Counter()
    assert len(calls) == 3
    assert look(bench) == {Outcome.STARTED: 10}


THROTTLED: Any = {
    "Error": {"Code": "ThrottlingException"},
    "ResponseMetadata": {"HTTPStatusCode": 400},
}


@pytest.mark.parametrize("first", [ClientError(THROTTLED, "BatchGetItem"), TypeError("damaged")])
def test_schedules_that_aws_does_not_give_are_left_due(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, first: Exception
) -> None:
    monkeypatch.setattr(recurring, "_BATCH", 2)
    puts = [put(f"hourly {number}") for number in range(10)]
    go_to(NOON)
    calls = []

    def read_many(*_: Any) -> None:
        calls.append(1)
        raise first if len(calls) == 1 else ClientError(THROTTLED, "BatchGetItem")

    with pytest.MonkeyPatch.context() as here:
        here.setattr(store, "read_many", read_many)
        assert look(bench) == Counter()
    assert len(calls) == 3 + isinstance(first, TypeError)
    assert {get(each.name).due_at for each in puts} == {NOON}
    assert look(bench) == {Outcome.STARTED: 10}


def test_an_index_that_is_behind_has_nothing_done_twice_or_too_soon(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, lines: io.StringIO
) -> None:
    put()
    put("refused", job_type="sample_again")
    put("paused")
    go_to(NOON)
    cast(dict[str, Any], registry().jobs).pop("sample_again")
    seen = {shard: store.due(shard, NOON, 10) for shard in store.shards()}
    schedules.pause("acme", "paused")
    assert look(bench) == {Outcome.STARTED: 1, Outcome.REFUSED: 1}
    monkeypatch.setattr(store, "due", lambda shard, *_: seen[shard])
    Time.now += 30 * clock.SECOND
    assert look(bench) == {Outcome.MOVED: 3}
    assert "crashed" not in lines.getvalue()


def test_what_is_left_out_while_somebody_changes_it_is_looked_at_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(missed="skip")
    go_to(NOON + 6 * MINUTE)
    move_on = store.move_on

    def overtaken(*given: Any) -> Schedule:
        monkeypatch.setattr(store, "move_on", move_on)
        put(missed="skip", payload={"number": 4})
        return move_on(*given)

    monkeypatch.setattr(store, "move_on", overtaken)
    assert look(bench) == {Outcome.MOVED: 1}
    assert look(bench) == {Outcome.SKIPPED: 1}


def test_an_occurrence_that_has_a_job_already_is_passed_over(bench: Bench) -> None:
    schedule = put()
    verbs.save(
        job_id=schedule.job_id(NOON),
        job_type="sample_once",
        queue_name="default",
        organization_id="acme",
        payload={},
        max_attempts=1,
    )
    go_to(NOON)
    assert look(bench) == {Outcome.MOVED: 1}
    assert (get().last_at, get().next_at, get().started) == (NOON, NOON + HOUR, 0)
    assert bench.sent == []


def test_a_tick_does_the_rest_when_schedules_can_t_be_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "Query")

    monkeypatch.setattr(schedule_marks, "marks", away)
    row = bench.dispatch()
    Time.now += 61 * clock.SECOND
    assert bench.tick().met
    assert bench.sent_jobs == [row.id]
    with pytest.raises(AWS_ERRORS):
        look(bench)


@pytest.fixture
def unique(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTENSIONS", "sample_work,unique_sample")
    forget()


@pytest.mark.usefixtures("unique")
@pytest.mark.parametrize("job_type", ["unique_return", "unique_refuse"])
def test_an_occurrence_of_unique_work_is_left_out_while_another_job_has_its_place(
    bench: Bench, job_type: str, lines: io.StringIO
) -> None:
    work: dict[str, Any] = {"job_type": job_type, "campaign_id": "spring", "payload": {"lot": "a"}}
    other = bench.dispatch(**work)
    put(**work)
    go_to(NOON)
    assert look(bench) == {Outcome.SKIPPED: 1}
    schedule = get()
    assert schedule.last_skipped_why == "it is unique, and another job has its place"
    assert (schedule.started, schedule.skipped, schedule.last_job_id) == (0, 1, None)
    assert "occurrences left out" in lines.getvalue()
    assert schedule.next_at == NOON + HOUR
    verbs.succeed(bench.claim(other), None)
    go_to(NOON + HOUR)
    assert look(bench) == {Outcome.STARTED: 1}
    assert get().last_job_id == schedule.job_id(NOON + HOUR)


@pytest.mark.usefixtures("unique")
@pytest.mark.parametrize("job_type", ["unique_return", "unique_refuse"])
def test_those_that_were_missed_before_it_are_counted_too(
    bench: Bench, job_type: str, lines: io.StringIO
) -> None:
    work: dict[str, Any] = {"job_type": job_type, "campaign_id": "spring", "payload": {"lot": "a"}}
    bench.dispatch(**work)
    put(**work)
    go_to(NOON + 2 * HOUR)
    assert look(bench) == {Outcome.SKIPPED: 1}
    schedule = get()
    assert (schedule.started, schedule.skipped) == (0, 3)
    assert schedule.last_skipped_at == NOON + 2 * HOUR
    left_out = [each for each in logged(lines) if each["message"] == "occurrences left out"]
    assert [each["number"] for each in left_out] == [3]


@pytest.mark.usefixtures("unique")
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


@pytest.mark.usefixtures("unique")
def test_an_occurrence_that_others_overtake_each_time_is_looked_at_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    work: dict[str, Any] = {"job_type": "unique_replace", "payload": {"lot": "a"}}
    other = bench.dispatch(**work, delay=4 * 3600)
    put(**work)
    go_to(NOON)
    with monkeypatch.context() as patched:
        patched.setattr("store.verbs.replacing.replace", Mock(side_effect=RaceLost))
        assert look(bench) == {Outcome.MOVED: 1}
    schedule = get()
    assert (schedule.skipped, schedule.last_error) == (0, None)
    assert look(bench) == {Outcome.STARTED: 1}
    assert get().last_job_id == other.id


# --- many of them ---------------------------------------------------------------------------------


def test_many_that_are_due_are_shared_out_by_shard(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recurring, "_ALONE", 3)
    monkeypatch.setattr("store.schedules.schedule.SHARDS", 4)
    for number in range(12):
        put(f"hourly {number}")
    go_to(NOON)
    shared: list[str] = []
    met = Counter[Outcome]()

    def share(shard: str) -> None:
        shared.append(shard)
        if len(shared) > 1:  # of the first, the event is lost
            met.update(look(bench, only=[shard]))

    met.update(look(bench, share=share))
    assert met[Outcome.STARTED] == 12
    assert len(shared) == 3
    assert len(set(bench.sent_jobs)) == len(bench.sent_jobs) == 12


def test_what_can_t_be_shared_is_started_here(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recurring, "_ALONE", 3)
    for number in range(8):
        put(f"hourly {number}")
    go_to(NOON)

    def share(shard: str) -> None:
        raise ClientError({"Error": {"Code": "TooManyRequestsException"}}, "Invoke")

    assert look(bench, share=share, threads=2) == {Outcome.STARTED: 8}


def test_who_helps_looks_at_its_shard_alone(bench: Bench, counted: Counter[str]) -> None:
    puts = [put(f"hourly {number}") for number in range(8)]
    go_to(NOON)
    limits.current()  # which a process reads once in ten seconds
    counted.clear()
    mine = sum(schedule.due_shard == "schedules-0" for schedule in puts)
    assert 0 < mine < 8
    assert look(bench, only=["schedules-0"]) == {Outcome.STARTED: mine}
    assert counted["Query"] == 1


def test_few_are_started_by_the_tick_alone(bench: Bench) -> None:
    for number in range(8):
        put(f"hourly {number}")
    go_to(NOON)
    assert look(bench, share=pytest.fail) == {Outcome.STARTED: 8}


def test_nobody_is_asked_to_look_where_nothing_is_due(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recurring, "_ALONE", 1)
    monkeypatch.setattr("store.schedules.schedule.SHARDS", 16)
    shards = {put(f"hourly {number}").due_shard for number in range(4)}
    go_to(NOON)
    shared: list[str] = []
    look(bench, share=shared.append)
    assert len(shared) == len(shards) - 1
    assert set(shared) < shards


def test_where_there_is_one_process_it_starts_all(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, lines: io.StringIO
) -> None:
    monkeypatch.setattr(recurring, "_ALONE", 1)
    for number in range(8):
        put(f"hourly {number}")
    go_to(NOON)
    assert look(bench) == {Outcome.STARTED: 8}
    assert "crashed" not in lines.getvalue()


def test_a_shard_that_can_t_be_read_keeps_no_other_waiting(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    puts = [put(f"hourly {number}") for number in range(8)]
    go_to(NOON)
    due = store.due

    def throttled(shard: str, *given: Any) -> list[Schedule]:
        if shard == "schedules-0":
            raise ClientError({"Error": {"Code": "ThrottlingException"}}, "Query")
        return due(shard, *given)

    monkeypatch.setattr(store, "due", throttled)
    others = sum(schedule.due_shard != "schedules-0" for schedule in puts)
    assert look(bench) == {Outcome.STARTED: others}


def test_a_look_ends_when_its_time_is_over_and_the_next_goes_on(
    bench: Bench, counted: Counter[str]
) -> None:
    for number in range(4):
        put(f"hourly {number}")
    put("each", missed=Each(5), overlap="allow")
    go_to(NOON + 2 * HOUR)
    assert recurring.start_due(bench.send, until=clock.now()) == Counter()
    assert "BatchGetItem" not in counted

    def send(message: Any, delay: float = 0) -> None:
        Time.now += 10 * clock.SECOND

    met = [recurring.start_due(send, until=clock.now() + 15_000) for _ in range(5)]
    assert [each[Outcome.STARTED] for each in met] == [2, 2, 2, 1, 0]


# --- what it costs --------------------------------------------------------------------------------


@pytest.fixture
def counted(bench: Bench) -> Counter[str]:
    calls: Counter[str] = Counter()
    clients.client("dynamodb").meta.events.register(
        "before-call.dynamodb", lambda model, **_: calls.update([model.name])
    )
    return calls


def test_a_stack_without_schedules_pays_one_request_a_tick(
    bench: Bench, counted: Counter[str]
) -> None:
    assert look(bench) == Counter()
    assert counted == {"Query": 1}


def test_a_tick_reads_only_what_is_due(bench: Bench, counted: Counter[str]) -> None:
    for number in range(20):
        put(f"daily {number}", every=86_400)
    put()
    counted.clear()
    assert look(bench) == Counter()
    assert counted == {"Query": 1 + 2}  # whether there are any, and the shards
    counted.clear()
    go_to(NOON)
    assert look(bench) == {Outcome.STARTED: 1}
    # The fourth tells whether any limits were changed: once in ten seconds.
    assert counted == {"Query": 4, "BatchGetItem": 1, "TransactWriteItems": 1}


def test_an_occurrence_is_one_transaction_beside_its_reads(
    bench: Bench, counted: Counter[str]
) -> None:
    for number in range(10):
        put(f"hourly {number}")
    go_to(NOON)
    counted.clear()
    assert look(bench) == {Outcome.STARTED: 10}
    assert counted == {"Query": 4, "BatchGetItem": 1, "TransactWriteItems": 10}
    bench.deliver()
    go_to(NOON + HOUR)
    counted.clear()
    assert look(bench) == {Outcome.STARTED: 10}
    # The other read tells whether those before them have ended.
    assert counted == {"Query": 4, "BatchGetItem": 2, "TransactWriteItems": 10}


def test_nobody_asks_for_the_one_before_it_where_it_may_run_beside_it(
    bench: Bench, counted: Counter[str]
) -> None:
    put(overlap="allow")
    for hour in range(2):
        go_to(NOON + hour * HOUR)
        counted.clear()
        assert look(bench) == {Outcome.STARTED: 1}
        assert counted["BatchGetItem"] == 1


def test_an_occurrence_costs_eight_write_units(bench: Bench) -> None:
    """Four for its job, as in any transaction, and four for its schedule, with the index."""
    put(payload={"number": 3})
    units = Units()
    for hour in range(2):
        go_to(NOON + hour * HOUR)
        assert look(bench) == {Outcome.STARTED: 1}
        assert units.spent() == 8
        bench.deliver()
        units.spent()


def test_what_runs_an_occurrence_is_as_for_any_job(bench: Bench) -> None:
    seen: list[str] = []
    script.job = lambda job, payload: seen.append(job.id)
    put()
    go_to(NOON)
    look(bench)
    bench.deliver()
    assert seen == [get().job_id(NOON)]
    assert bench.read(get().job_id(NOON)).status is Status.SUCCEEDED
