"""A job that gathers is canceled with its members: it waits until all have ended."""

from contextlib import suppress
from typing import Any

import pytest

from bench import Bench
from gathering_job import Gathering, items
from job_runners import clock
from job_runners.engine.control import caller_actions
from job_runners.engine.dispatch import bulk
from job_runners.engine.running import execution
from job_runners.engine.settling import group_ends
from job_runners.engine.wire.messages import JobMessage
from job_runners.errors import PreconditionFailed
from job_runners.store import group_chunks, transitions
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.transitions import group_waits
from job_runners.work import Member
from sample_work import Sample, script


def stop(gathering: Gathering) -> JobRequest:
    return caller_actions.cancel_with_members(gathering.read(), gathering.bench.send)


def statuses(gathering: Gathering, count: int) -> list[str]:
    return [str(gathering.member(number).status) for number in range(count)]


def test_the_members_and_then_the_job_are_canceled_at_once(bench: Bench) -> None:
    gathering = Gathering(bench, 3)
    gathering.start()
    gathering.run_member(0)
    assert stop(gathering).status is Status.CANCELED
    assert statuses(gathering, 3) == ["succeeded", "canceled", "canceled"]
    bench.deliver()
    assert (gathering.got, gathering.begun, items("open#")) == ([], [0], [])


def test_a_running_member_is_asked_to_stop_and_the_job_is_canceled_after_it(
    bench: Bench,
) -> None:
    gathering = Gathering(bench, 2)
    gathering.start()
    running = bench.claim(gathering.member(0))
    waiting = stop(gathering)
    assert (waiting.status, waiting.cancel_members) == (Status.WAITING, True)
    assert waiting.due_at is not None
    assert waiting.due_at <= clock.now() + clock.MINUTE
    assert statuses(gathering, 2) == ["running", "canceled"]
    assert gathering.member(0).cancel_requested
    assert stop(gathering).status is Status.WAITING  # asking twice changes nothing
    bench.advance(3600)
    bench.tick()  # the member's lease is over: it is canceled, and so is its parent
    assert bench.read(running).status is Status.CANCELED
    assert gathering.read().status is Status.CANCELED


def test_what_one_process_has_no_time_for_is_left_to_the_timer(
    bench: Bench,
) -> None:
    gathering = Gathering(bench, 3)
    gathering.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group_ends, "_CANCEL_TIME", 0)
        assert stop(gathering).status is Status.WAITING
    assert statuses(gathering, 3) == ["queued"] * 3
    bench.advance(60)
    bench.tick()
    assert gathering.read().status is Status.CANCELED


def test_the_timer_cancels_more_members_each_minute(bench: Bench) -> None:
    gathering = Gathering(bench, 3)
    gathering.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group_ends, "_CANCEL_TIME", 0)
        stop(gathering)
        for _ in range(5):
            bench.advance(60)
            bench.tick()
    assert gathering.read().status is Status.WAITING
    bench.advance(60)
    bench.tick()
    assert gathering.read().status is Status.CANCELED


def test_a_job_that_dispatches_its_members_stops_that_and_waits_for_them(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_chunks, "SIZE", 2)
    monkeypatch.setattr(bulk, "THREADS", 1)
    gathering = Gathering(bench, [])

    def members() -> Any:
        for number in range(8):
            if number == 5:  # the first two chunks are dispatched
                assert stop(gathering).status is Status.RUNNING
                bench.advance(10)  # the next checkpoint is written
            yield Member("sample_once", {"number": number})

    def work(job: Any, payload: Sample) -> Any:
        job.gather("all", members())

    script.job = work
    assert gathering.start().status is Status.CANCELED
    assert statuses(gathering, 4) == ["canceled"] * 4
    assert len(items("failed#")) == 4


@pytest.mark.parametrize("begun", [False, True])
def test_a_job_without_an_open_group_is_canceled_as_any(bench: Bench, begun: bool) -> None:
    gathering = Gathering(bench, 1)
    if begun:
        gathering.start()
        gathering.run_member(0)
        assert gathering.read().status is Status.QUEUED
    assert stop(gathering).status is Status.CANCELED


def test_a_cancel_before_the_first_member_is_dispatched_leaves_none(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering = Gathering(bench, 1)
    begin, asked = group_waits.begin_gather, []

    def ask_first(*arguments: Any) -> Change:
        asked.append(stop(gathering))
        return begin(*arguments)

    monkeypatch.setattr(group_waits, "begin_gather", ask_first)
    assert gathering.start().status is Status.CANCELED
    assert (asked[0].status, asked[0].cancel_requested) == (Status.RUNNING, True)
    assert asked[0].cancel_members is None
    assert items("open#") == []


def test_a_cancel_before_the_group_begins_is_noticed_without_a_checkpoint(
    still: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job has just written one, and writes the next only seconds later. It can't catch this."""
    gathering = Gathering(still, 1)
    begin = group_waits.begin_gather

    def ask_first(*arguments: Any) -> Change:
        stop(gathering)
        return begin(*arguments)

    def work(job: Any, payload: Sample) -> Any:
        job.checkpoint(durable=True)
        with suppress(Exception):
            job.gather("all", gathering.members)

    script.job = work
    monkeypatch.setattr(group_waits, "begin_gather", ask_first)
    assert gathering.start().status is Status.CANCELED
    assert items("chunk#") == items("open#") == []


def test_a_job_that_begins_a_group_in_between_is_asked_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise, it would be stopped, and the members that it has just dispatched would go on."""
    gathering = Gathering(bench, 1)
    begin, asked = group_waits.begin_gather, []

    def ask_after_a_stale_read(*arguments: Any) -> Change:
        seen = gathering.read()
        begun = begin(*arguments)
        asked.append(caller_actions.cancel_with_members(seen, bench.send))
        return begun

    monkeypatch.setattr(group_waits, "begin_gather", ask_after_a_stale_read)
    assert gathering.start().status is Status.CANCELED
    assert (asked[0].cancel_members, asked[0].cancel_requested) == (True, None)
    assert items("open#") == []


def test_a_cancel_between_the_markers_and_the_admission_is_noticed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering = Gathering(bench, 1)
    gathering.start()
    finish = group_waits.finish_group

    def ask_first(parent: JobRequest) -> Change:
        monkeypatch.setattr(group_waits, "finish_group", finish)
        group_waits.cancel_members(gathering.read(), by=None)  # then the request's process dies
        return finish(parent)

    monkeypatch.setattr(group_waits, "finish_group", ask_first)
    gathering.run_member(0)
    bench.advance(60)
    bench.tick()
    bench.deliver()
    assert (gathering.read().status, gathering.counts) == (Status.CANCELED, [])


@pytest.mark.parametrize(
    ("open_group", "transition"), [(True, "cancel_members"), (False, "request_cancel")]
)
def test_a_cancel_with_members_that_is_refused_names_its_transition(
    bench: Bench, open_group: bool, transition: str
) -> None:
    gathering = Gathering(bench, 1)
    seen = gathering.start() if open_group else bench.claim(gathering.row)
    if open_group:
        gathering.run_member(0)
    else:
        transitions.succeed(seen, None)
    with pytest.raises(PreconditionFailed, match=f"The write '{transition}' was refused"):
        group_waits.cancel_members(seen, by=None)


def test_a_retry_continues_with_the_same_members(bench: Bench) -> None:
    gathering = Gathering(bench, 2)
    gathering.start()
    gathering.run_member(0)
    stop(gathering)
    caller_actions.retry_again(gathering.read(), bench.send)
    assert gathering.read().cancel_members is None
    bench.deliver()
    assert [each[1] for each in gathering.got[0]] == ["succeeded", "canceled"]


def test_a_member_that_is_retried_before_the_last_write_keeps_its_parent_waiting(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering = Gathering(bench, 1)
    gathering.start()
    real = group_waits.cancel_parent

    def retried_first(parent: JobRequest) -> Change:
        monkeypatch.setattr(group_waits, "cancel_parent", real)
        caller_actions.retry_again(gathering.member(0), bench.send)
        return real(parent)

    monkeypatch.setattr(group_waits, "cancel_parent", retried_first)
    assert stop(gathering).status is Status.WAITING
    assert statuses(gathering, 1) == ["queued"]
    bench.advance(60)
    bench.tick()  # the member is canceled again
    assert gathering.read().status is Status.CANCELED


def test_a_job_that_begins_to_wait_in_between_is_asked_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering = Gathering(bench, 2)
    seen = bench.claim(gathering.row)  # what the request has read
    monkeypatch.setattr(execution, "claim", lambda *_: seen)
    execution.run(JobMessage.about(seen), deadline=clock.now() + 900_000, send=bench.send)
    assert gathering.read().status is Status.WAITING
    stopped = caller_actions.cancel_with_members(seen, bench.send)
    assert stopped.status is Status.CANCELED
    assert statuses(gathering, 2) == ["canceled"] * 2


def test_a_canceled_parent_that_is_a_member_itself_is_noted_in_its_group(bench: Bench) -> None:
    gathering = Gathering(bench, 0)

    def work(job: Any, payload: Sample) -> Any:
        if payload.text == "parent":
            inner = Member("sample_once", {"text": "inner"})
            return [each.status for each in job.gather("all", [inner])]
        if payload.text == "inner":
            job.gather("all", [Member("sample_once", {"number": 3})])
        return None

    script.job = work
    gathering.start()
    inner = bench.run(gathering.member(0))
    assert inner.status is Status.WAITING
    assert caller_actions.cancel_with_members(inner, bench.send).status is Status.CANCELED
    bench.deliver()
    assert gathering.read().status is Status.SUCCEEDED
