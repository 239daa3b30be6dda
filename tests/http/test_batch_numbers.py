"""The numbers of a batch's members: while they are dispatched, as they end, and after a cancel."""

from collections.abc import Callable
from typing import Any, cast

import pytest

import job_runners.handlers.worker
from api_events import Answer, call
from fake_lambda import FakeLambda
from job_runners import clock
from job_runners.engine.control import caller_actions
from job_runners.engine.dispatch import bulk, members
from job_runners.engine.settling import group_ends
from job_runners.engine.tick import timer
from job_runners.runners import lambda_async
from job_runners.settings import forget
from job_runners.store import group_chunks, queries, transitions
from job_runners.testing.lambda_context import Context
from job_runners.testing.movable_clock import MovableClock
from sample_work import Sample, script


@pytest.fixture(autouse=True)
def _app(worker: FakeLambda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,batch_sample")
    monkeypatch.setattr(bulk, "THREADS", 1)  # so that members are sent in their order
    forget()


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> MovableClock:
    """Return a clock that is moved."""
    time = MovableClock()
    monkeypatch.setattr(clock, "now", time.now)
    return time


def post(count: int, **more: Any) -> Answer:
    listed = [{"job_type": "sample_once", "payload": {"number": each}} for each in range(count)]
    headers = {"content-type": "application/json", "Idempotency-Key": "may"}
    batch = call("POST", "/batches", body={"members": listed, **more}, headers=headers)
    assert batch.status == 202, batch.text
    return batch


def show(batch: Answer) -> dict[str, Any]:
    shown: dict[str, Any] = call("GET", f"/batches/{batch.json['id']}").json
    return shown


def counts(batch: Answer) -> dict[str, int]:
    """Return the numbers that aren't 0."""
    shown = show(batch)
    names = ("open", "succeeded", "failed", "canceled", "existing")
    assert sum(shown[each] for each in names) == shown["total"]
    return {each: shown[each] for each in names if shown[each]}


def cancel(batch: Answer, *, members: bool) -> Answer:
    query = "members=true" if members else ""
    return call("POST", f"/jobs/{batch.json['id']}/cancel", query=query)


def deliver(worker: FakeLambda, number: int = 1) -> None:
    """Run the first events."""
    for _ in range(number):
        job_runners.handlers.worker.handler(worker.events.pop(0), cast(Any, Context()))


def tick(time: MovableClock) -> None:
    time.advance(100)
    timer.tick(lambda_async.send, until=clock.now() + clock.MINUTE)


def fail(*numbers: int) -> None:
    def work(job: Any, payload: Sample) -> Any:
        if payload.number in numbers:
            raise ValueError(f"no luck with {payload.number}")

    script.job = work


def after_each_part(monkeypatch: pytest.MonkeyPatch, happens: Callable[[int], object]) -> None:
    """Let something happen after some members were dispatched, with the number of such calls."""
    dispatch, calls = members.dispatch, []

    def dispatched(*arguments: Any, **more: Any) -> set[str]:
        keys = dispatch(*arguments, **more)
        calls.append(keys)
        happens(len(calls))
        return keys

    monkeypatch.setattr(members, "dispatch", dispatched)


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("with_members", [False, True])
def test_a_batch_that_is_canceled_before_its_members_are_dispatched_has_no_open_ones(
    monkeypatch: pytest.MonkeyPatch, large: bool, with_members: bool
) -> None:
    monkeypatch.setattr(group_chunks, "SIZE", 4 if large else 1_000)
    batch = post(6)
    assert counts(batch) == {"open": 6}
    assert cancel(batch, members=with_members).status == 200
    assert counts(batch) == {"canceled": 6}


@pytest.mark.parametrize("size", [4, 1_000])
@pytest.mark.parametrize("with_members", [False, True])
def test_a_canceled_batch_shows_how_its_members_go_on(
    worker: FakeLambda, monkeypatch: pytest.MonkeyPatch, size: int, with_members: bool
) -> None:
    monkeypatch.setattr(group_chunks, "SIZE", size)
    fail(1, 4)
    batch = post(7)
    deliver(worker, 3)
    assert counts(batch) == {"open": 5, "succeeded": 1, "failed": 1}
    cancel(batch, members=with_members)
    left = {"canceled": 5} if with_members else {"open": 5}
    assert counts(batch) == {"succeeded": 1, "failed": 1, **left}
    worker.deliver()
    if with_members:
        assert counts(batch) == {"succeeded": 1, "failed": 1, "canceled": 5}
        assert show(batch)["progress"] == 100
    else:
        assert counts(batch) == {"succeeded": 5, "failed": 2}


@pytest.mark.parametrize("size", [10, 1_000])
def test_a_batch_that_is_canceled_while_it_dispatches_counts_the_others_as_canceled(
    worker: FakeLambda, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(group_chunks, "SIZE", size)
    monkeypatch.setattr("job_runners.work.gathering._BATCH_SIZE", 3)
    batch = post(14)
    seen: list[dict[str, int]] = []

    def cancel_second(calls: int) -> None:
        if calls == 2:
            cancel(batch, members=False)
            seen.append(counts(batch))

    after_each_part(monkeypatch, cancel_second)
    monkeypatch.setattr("job_runners.work.running_job._INITIAL_WRITE_GAP", -1)
    deliver(worker)
    assert show(batch)["state"] == "canceled"
    assert counts(batch) == {"open": 6, "canceled": 8}
    worker.deliver()
    assert counts(batch) == {"succeeded": 6, "canceled": 8}
    assert show(batch)["progress"] == 42
    assert seen == [{"open": 14}]


def test_members_of_a_canceled_batch_beyond_those_whose_rows_are_read_count_as_canceled(
    worker: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_chunks, "SIZE", 4)
    monkeypatch.setattr("job_runners.store.group_counts._MAX_ROWS_READ", 1)
    fail(0)
    batch = post(6)
    deliver(worker, 2)
    cancel(batch, members=True)
    assert counts(batch) == {"failed": 1, "canceled": 5}


@pytest.mark.parametrize(
    ("seconds", "second"), [((70, 100, 300), True), ((70, 30, 300), False), ((40, 40, 300), True)]
)
def test_a_large_batch_shows_numbers_while_it_dispatches_and_before_the_first_look(
    worker: FakeLambda,
    monkeypatch: pytest.MonkeyPatch,
    time: MovableClock,
    seconds: tuple[int, int, int],
    second: bool,
) -> None:
    monkeypatch.setattr(group_chunks, "SIZE", 4)
    batch = post(12)
    seen: list[tuple[dict[str, int], int]] = []

    def slowly(calls: int) -> None:
        for _ in range(3):
            deliver(worker)
        time.advance(seconds[calls - 1])
        seen.append((counts(batch), show(batch)["progress"]))

    after_each_part(monkeypatch, slowly)
    deliver(worker)
    # Each chunk is counted after its last part, so that the next one shows it. There are counts
    # after a minute, and then after as long as the first one took.
    none, first, then = (
        ({"open": 12}, 0),
        ({"open": 9, "succeeded": 3}, 25),
        ({"open": 6, "succeeded": 6}, 50),
    )
    assert seen == [none, first if seconds[0] >= 60 else none, then if second else first]
    assert counts(batch) == {"open": 3, "succeeded": 9}


def test_a_large_batch_that_stops_dispatching_is_counted_at_a_request_until_the_timer_has_looked(
    worker: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_chunks, "SIZE", 4)
    monkeypatch.setattr("job_runners.work.running_job._INITIAL_WRITE_GAP", -1)
    batch = post(12)

    def cancel_second(calls: int) -> None:
        if calls == 2:
            member = worker.events[0]["id"]  # it runs, so the batch waits for it
            deadline = clock.now() + clock.MINUTE
            transitions.claim(member, job_type="sample_once", send_id="s", deadline=deadline)
            cancel(batch, members=True)

    after_each_part(monkeypatch, cancel_second)
    deliver(worker)
    assert show(batch)["state"] == "waiting"
    assert counts(batch) == {"open": 5, "canceled": 7}


def test_a_large_batch_is_counted_at_a_request_until_the_timer_has_looked(
    worker: FakeLambda, monkeypatch: pytest.MonkeyPatch, time: MovableClock
) -> None:
    monkeypatch.setattr(group_chunks, "SIZE", 4)
    batch = post(8)
    deliver(worker)
    seen = []
    for _ in range(8):
        seen.append(show(batch)["progress"])
        deliver(worker)
    assert seen == [0, 12, 25, 37, 50, 62, 75, 87]
    assert (show(batch)["state"], show(batch)["progress"]) == ("queued", 100)
    deliver(worker)
    assert (show(batch)["state"], counts(batch)) == ("succeeded", {"succeeded": 8})


@pytest.mark.parametrize("size", [4, 1_000])
def test_progress_does_not_fall_if_a_member_is_retried_whose_failure_was_not_recorded(
    worker: FakeLambda, monkeypatch: pytest.MonkeyPatch, size: int, time: MovableClock
) -> None:
    """Its worker was killed just after it had failed."""
    monkeypatch.setattr(group_chunks, "SIZE", size)
    fail(0)
    batch = post(8)
    deliver(worker)
    with monkeypatch.context() as killed:
        killed.setattr(group_ends, "record_member_end", lambda *_: None)
        failed = worker.events[0]["id"]
        deliver(worker)
    deliver(worker)
    if size < 8:
        tick(time)
    assert show(batch)["progress"] == 25
    row = queries.read(failed)
    assert row is not None
    caller_actions.retry_again(row, lambda_async.send)
    assert show(batch)["progress"] == 25
    if size < 8:
        tick(time)
        assert show(batch)["progress"] == 25


def test_a_member_that_was_deleted_while_others_are_dispatched_has_ended(
    worker: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("job_runners.work.gathering._BATCH_SIZE", 2)
    batch = post(4)
    seen: list[int] = []

    def look(calls: int) -> None:
        if calls == 1:
            row = queries.read(worker.events[0]["id"])
            deliver(worker)
            seen.append(show(batch)["progress"])
            assert row is not None
            assert call("DELETE", f"/jobs/{row.id}").status == 204
            seen.append(show(batch)["progress"])

    after_each_part(monkeypatch, look)
    worker.deliver()
    assert seen == [25, 25]
    assert counts(batch) == {"succeeded": 4}


def test_the_markers_of_a_canceled_large_batch_are_counted_with_what_its_rows_say(
    worker: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_chunks, "SIZE", 4)
    fail(0)
    batch = post(6)
    deliver(worker, 2)
    cancel(batch, members=False)
    failed = call("GET", f"/batches/{batch.json['id']}/members").json["members"][0]["id"]
    script.job = lambda job, payload: None
    assert call("POST", f"/jobs/{failed}/retry").status == 202
    assert counts(batch) == {"open": 6}
    worker.deliver()
    assert counts(batch) == {"succeeded": 6}
