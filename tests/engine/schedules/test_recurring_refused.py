"""Recurring work that can't be started: what is tried again, given up or set aside."""

import io
from collections import Counter
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from bench import Bench
from hourly import DAY, HOUR, MINUTE, NOON, Time, get, go_to, look, put, started
from job_runners import clock
from job_runners.aws import clients
from job_runners.aws.errors import AWS_ERRORS
from job_runners.engine.control import caller_actions
from job_runners.engine.dispatch import dispatch
from job_runners.engine.registry.registry import registry
from job_runners.engine.schedules import recurring, schedules
from job_runners.engine.schedules.recurring import Outcome
from job_runners.store import schedule_marks, transitions
from job_runners.store import schedules as store
from job_runners.store.schedule import Schedule, shards

pytestmark = pytest.mark.usefixtures("at_noon")


def test_a_job_that_can_t_be_accepted_is_tried_for_an_hour_and_then_given_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(every=86_400, job_type="sample_again")
    job = cast(dict[str, Any], registry().jobs).pop("sample_again")
    midnight = NOON + 12 * HOUR
    tries, counts = [], Counter[Outcome]()
    for minute in range(90):
        go_to(midnight + minute * MINUTE)
        found = look(bench)
        tries += [minute] if found else []
        counts += found
    assert counts == {Outcome.REFUSED: 10, Outcome.FAILED: 1}
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


def test_what_is_left_out_while_a_refused_one_waits_has_not_failed(bench: Bench) -> None:
    put(overlap="queue")
    go_to(NOON)
    look(bench)
    previous = bench.read(get().job_id(NOON))
    go_to(NOON + HOUR)
    assert look(bench) == {Outcome.WAITING: 1}
    caller_actions.cancel(previous)
    jobs = cast(dict[str, Any], registry().jobs)
    job = jobs.pop("sample_once")
    Time.now += 61 * clock.SECOND
    assert look(bench) == {Outcome.REFUSED: 1}
    jobs["sample_once"] = job
    go_to(NOON + 2 * HOUR + MINUTE)
    assert look(bench) == {Outcome.STARTED: 1}
    assert (get().failed, get().skipped, get().last_skipped_at) == (0, 1, NOON + 2 * HOUR)


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
    transitions.succeed(running, None)
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
    advance = store.start_write

    def refused(schedule: Schedule, *given: Any) -> Any:
        if schedule.name < "hourly 5":
            raise ZeroDivisionError(schedule.name)
        return advance(schedule, *given)

    def unwritable(*_: Any, **__: Any) -> None:
        raise ClientError({"Error": {"Code": "ValidationException"}}, "UpdateItem")

    monkeypatch.setattr(store, "start_write", refused)
    monkeypatch.setattr(store, "record_failed_start", unwritable)
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
    monkeypatch.setattr(recurring, "_BATCH_SIZE", 2)
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
    seen = {shard: store.due(shard, NOON, 10) for shard in shards()}
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
    advance = store.advance

    def overtaken(*given: Any) -> Schedule:
        monkeypatch.setattr(store, "advance", advance)
        put(missed="skip", payload={"number": 4})
        return advance(*given)

    monkeypatch.setattr(store, "advance", overtaken)
    assert look(bench) == {Outcome.MOVED: 1}
    assert look(bench) == {Outcome.SKIPPED: 1}


def test_an_occurrence_that_has_a_job_already_is_passed_over(bench: Bench) -> None:
    schedule = put()
    transitions.save(
        transitions.NewJob(
            job_id=schedule.job_id(NOON),
            job_type="sample_once",
            queue_name="default",
            organization_id="acme",
            payload={},
            max_attempts=1,
        )
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
    assert bench.tick().counts
    assert bench.sent_jobs == [row.id]
    with pytest.raises(AWS_ERRORS):
        look(bench)
