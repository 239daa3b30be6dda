"""A group whose members are canceled after some failures: how these are counted, and the cost."""

from collections.abc import Callable
from typing import Any

import pytest

from bench import Bench
from counted_units import Units
from gathering_job import Gathering, items
from job_runners.aws import clients
from job_runners.engine.control import caller_actions
from job_runners.engine.dispatch import bulk
from job_runners.engine.settling import group_ends
from job_runners.store import group_chunks, group_failures, groups, limits, pauses
from job_runners.store.job_request import JobRequest, Status
from job_runners.testing import moto_direct

MINUTE = 60


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count in one thread, and see calls in their order."""
    monkeypatch.setattr(bulk, "THREADS", 1)
    monkeypatch.setattr(group_ends, "_THREADS", 1)


def failing(bench: Bench, number: int, stop_after: int) -> Gathering:
    """Return a job that waits for members, of which each fails."""
    gathering = Gathering(bench, number, stop_after_failures=stop_after)
    gathering.fails = set(range(number))
    gathering.start()
    bench.sent.clear()
    return gathering


def statuses(gathering: Gathering, *numbers: int) -> set[Status]:
    return {gathering.member(number).status for number in numbers}


def items_read() -> list[int]:
    """Return a list that gets the number of items that each Query reads."""
    found: list[int] = []
    clients.client("dynamodb").meta.events.register(
        "after-call.dynamodb.Query", lambda parsed, **_: found.append(parsed["ScannedCount"])
    )
    return found


@pytest.mark.parametrize("tick", [False, True])
def test_a_member_that_a_person_retries_after_the_stop_is_not_canceled_again(
    bench: Bench, tick: bool
) -> None:
    gathering = failing(bench, 4, 1)
    running = bench.claim(gathering.member(3))  # so the job still waits
    gathering.run_member(0)
    assert statuses(gathering, 1, 2) == {Status.CANCELED}
    for number in (0, 1):
        caller_actions.retry_again(gathering.member(number), bench.send)
    if tick:
        bench.advance(MINUTE)
        bench.tick()
    gathering.run_member(0)  # it fails again
    assert gathering.member(1).status is Status.QUEUED
    gathering.fails = set()
    assert gathering.run_member(1).status is Status.SUCCEEDED
    assert bench.read(running).status is Status.RUNNING


def test_a_retried_member_is_canceled_with_its_job(bench: Bench) -> None:
    gathering = failing(bench, 3, 1)
    bench.claim(gathering.member(2))
    gathering.run_member(0)
    caller_actions.retry_again(gathering.member(1), bench.send)
    caller_actions.cancel_with_members(gathering.read(), bench.send)
    assert gathering.member(1).status is Status.CANCELED


@pytest.mark.parametrize("shards", [1, 8])
def test_each_failure_reads_a_few_items(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, shards: int
) -> None:
    """Together, 60 failures would read 1,770 items if each counted those before it."""
    if shards > 1:
        monkeypatch.setattr(group_chunks, "SIZE", 50)
    gathering = failing(bench, 62, 60)
    read = items_read()
    for number in range(60):
        assert gathering.member(61).status is Status.QUEUED
        gathering.run_member(number)
    assert sum(read) <= 60 + 60 + 10  # one marker at each end, and each failure once
    assert gathering.member(61).status is Status.CANCELED


def test_failures_after_the_stop_read_no_other_member(bench: Bench) -> None:
    gathering = failing(bench, 40, 1)
    running = [bench.claim(gathering.member(number), seconds=60) for number in range(20)]
    gathering.run_member(20)
    assert statuses(gathering, *range(21, 40)) == {Status.CANCELED}
    read = items_read()
    bench.advance(3 * MINUTE)
    bench.tick()  # their leases are over
    assert {bench.read(row).status for row in running} == {Status.FAILED}
    assert sum(read) <= 20 + 70  # and a look of the timer


def test_a_failure_costs_one_unit_more_where_failures_are_counted(still: Bench) -> None:
    spent = []
    for stop_after in (None, 9):
        gathering = Gathering(still, 6, stop_after_failures=stop_after)
        gathering.fails = set(range(6))
        gathering.start()
        gathering.run_member(0)
        pauses.current()
        limits.current()
        units = Units()
        for number in range(1, 4):
            gathering.run_member(number)
        spent.append(units.spent())
    assert spent[1] - spent[0] == 3


def repeated(monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    """Let the answers to the first raises of the estimate be lost, so that they are repeated."""
    update, left = group_failures._update, [calls]

    def unanswered(*arguments: Any, **more: Any) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            update(*arguments, **more)
        return update(*arguments, **more)

    monkeypatch.setattr(group_failures, "_update", unanswered)


def dying(monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    """Let the first processes die between the record of a failure and the estimate."""
    note, left = group_failures.add_failure, [calls]

    def killed(*arguments: Any) -> int:
        left[0] -= 1
        return 0 if left[0] >= 0 else note(*arguments)

    monkeypatch.setattr(group_failures, "add_failure", killed)


@pytest.mark.parametrize("calls", [1, 2, 3])
def test_a_lost_answer_does_not_count_a_failure_twice(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    gathering = failing(bench, 6, 3)
    repeated(monkeypatch, calls)
    for number in range(2):
        gathering.run_member(number)
        assert gathering.member(5).status is Status.QUEUED
    gathering.run_member(2)
    assert gathering.member(5).status is Status.CANCELED


def test_a_member_that_fails_twice_counts_once(bench: Bench) -> None:
    gathering = failing(bench, 6, 3)
    for _ in range(3):
        gathering.run_member(0)
        caller_actions.retry_again(gathering.member(0), bench.send)
    gathering.run_member(1)
    assert gathering.member(5).status is Status.QUEUED
    gathering.run_member(2)
    assert gathering.member(5).status is Status.CANCELED


def test_failures_that_were_not_counted_are_found_by_the_timer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering = failing(bench, 6, 3)
    dying(monkeypatch, 3)
    for number in range(2):
        gathering.run_member(number)
    bench.advance(MINUTE)
    bench.tick()  # corrects the estimate
    gathering.run_member(2)
    assert gathering.member(5).status is Status.QUEUED
    bench.advance(2 * MINUTE)
    bench.tick()
    assert gathering.member(5).status is Status.CANCELED


def test_a_failure_while_the_estimate_is_corrected_is_not_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timer has counted one failure. Then two more come, and it must not write one."""
    gathering = failing(bench, 6, 3)
    dying(monkeypatch, 1)
    gathering.run_member(0)
    count = groups.count_failed

    def others_fail(*arguments: Any) -> int:
        monkeypatch.setattr(groups, "count_failed", count)
        found = count(*arguments)
        for number in (1, 2):
            gathering.run_member(number)
        return found

    monkeypatch.setattr(groups, "count_failed", others_fail)
    bench.advance(MINUTE)
    bench.tick()
    assert gathering.member(5).status is Status.CANCELED


def test_the_timer_does_what_a_process_that_dies_at_the_stop_did_not(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, crashes: list[BaseException]
) -> None:
    gathering = failing(bench, 4, 1)
    with monkeypatch.context() as killed:
        killed.setattr(group_ends, "_cancel_members", lambda *_: 1 / 0)
        gathering.run_member(0)
    crashes.clear()
    assert statuses(gathering, 1, 2, 3) == {Status.QUEUED}
    bench.advance(MINUTE)
    bench.tick()
    assert statuses(gathering, 1, 2, 3) == {Status.CANCELED}


def other_group(gathering: Gathering) -> None:
    """Let the job wait for another group."""
    caller_actions.cancel(gathering.read(), gathering.bench.send)
    payload = {"text": "parent", "number": 2}
    caller_actions.retry_again(gathering.read(), gathering.bench.send, payload)
    assert gathering.bench.run(gathering.row).status is Status.WAITING


def with_members(gathering: Gathering) -> None:
    """Let the job be canceled with its members."""
    JobRequest(id=gathering.row.id).update([JobRequest.cancel_members.set(True)])


@pytest.mark.parametrize("happens", [other_group, with_members])
def test_a_failure_counts_only_in_the_group_that_the_job_waits_for(
    bench: Bench, happens: Callable[[Gathering], None]
) -> None:
    gathering = failing(bench, 3, 1)
    member = gathering.member(0)
    happens(gathering)
    assert bench.run(member).status is Status.FAILED
    assert [row for row in moto_direct.rows("coordination") if row["sk"] == "failures"] == []


def test_a_deleted_job_leaves_no_count_of_failures(bench: Bench) -> None:
    gathering = failing(bench, 2, 1)
    gathering.run_member(0)
    bench.deliver()
    assert gathering.read().status is Status.SUCCEEDED
    caller_actions.delete(gathering.read())
    assert items("") == []
