"""Markers that a killed process has left: they don't keep the job waiting once its members end."""

import json
from typing import Any

import pytest

from bench import Bench
from gathering_job import Gathering, items, look
from job_runners import clock
from job_runners.engine.groups import markers
from job_runners.engine.running import failure_records
from job_runners.engine.settling import group_ends
from job_runners.engine.settling.settle import settle
from job_runners.engine.wire.messages import JobMessage, encode
from job_runners.store import transitions
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import JobRequest, Status

MINUTE = 60


@pytest.fixture
def waiting(bench: Bench) -> Gathering:
    """Return a job that waits for 30 members."""
    gathering = Gathering(bench, 30)
    gathering.start()
    bench.sent.clear()
    return gathering


def in_order(gathering: Gathering, number: int = 30) -> list[JobRequest]:
    """Return the members in the order of their markers."""
    return sorted((gathering.member(each) for each in range(number)), key=lambda row: row.id)


def run_killed(bench: Bench, member: JobRequest) -> JobRequest:
    """Run a member. Its worker is killed right after it has recorded the member's end."""
    with pytest.MonkeyPatch.context() as killed:
        killed.setattr(group_ends, "record_member_end", lambda *_: None)
        return bench.run(member)


def record(row: JobRequest) -> dict[str, Any]:
    """Return Lambda's record about the invocation that ran a job."""
    message = json.loads(encode(JobMessage.about(row)))
    return {"requestPayload": message | {"send_id": row.send_id}}


@pytest.mark.parametrize("page", [25, 10])
def test_the_timer_deletes_leftover_markers_behind_those_of_unfinished_members(
    waiting: Gathering, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    """Otherwise, the end of the last member would find them, and the job would wait."""
    monkeypatch.setattr(markers, "_PAGE_SIZE", page)
    bench, members = waiting.bench, in_order(waiting)
    *others, killed, last = members
    for each in (*others[:3], killed):
        run_killed(bench, each)
    live = bench.claim(last, seconds=5 * MINUTE)
    bench.advance(MINUTE)
    bench.tick()  # members are running
    assert len(items("open#")) == 26
    for each in others[3:]:
        bench.run(each)
    transitions.succeed(live, 1)
    settle(Change.unknown(bench.read(live)), bench.send)
    assert waiting.read().status is Status.QUEUED  # without the timer


def test_a_look_reads_a_thousand_markers_of_a_shard_at_most(
    waiting: Gathering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(markers, "_PAGE_SIZE", 2)
    last = in_order(waiting)[-1]
    run_killed(waiting.bench, last)
    look(waiting.read(), waiting.bench.send)
    assert len(items("open#")) == 30
    assert markers._MAX_PAGES * 100 == 1_000


def test_the_failures_function_records_the_end_of_a_member_whose_worker_was_killed(
    bench: Bench,
) -> None:
    gathering = Gathering(bench, 2)
    gathering.fails = {1}
    gathering.start()
    gathering.run_member(0)
    ended = run_killed(bench, gathering.member(1))
    assert gathering.read().status is Status.WAITING
    failure_records.handle_record(record(ended), bench.send)
    assert gathering.read().status is Status.QUEUED
    assert len(items("failed#")) == 1


def test_a_record_of_another_invocation_changes_nothing_in_the_group(bench: Bench) -> None:
    gathering = Gathering(bench, 1)
    gathering.start()
    ended = run_killed(bench, gathering.member(0))
    ended.send_id = "of another one"
    failure_records.handle_record(record(ended), bench.send)
    assert len(items("open#")) == 1


def test_a_member_whose_worker_was_killed_as_it_ran_is_recorded_in_its_group_at_once(
    bench: Bench,
) -> None:
    """The record settles the member, so it also continues the job."""
    gathering = Gathering(bench, 1)
    gathering.start()
    message = JobMessage.about(gathering.member(0))
    claimed = transitions.claim(
        message.id,
        job_type="sample_once",
        send_id=message.send_id,
        deadline=clock.now() + 15 * MINUTE * clock.SECOND,
    ).after
    failure_records.handle_record(record(claimed), bench.send)
    assert bench.read(claimed).status is Status.FAILED
    assert gathering.read().status is Status.QUEUED
