"""A job that gathers: what it gets, when it continues, and what its members cost."""

from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from pydantic import BaseModel

import moto_items
from bench import Bench
from counted_units import Units
from gathering_job import Gathering, items
from job_runners import clock
from job_runners.engine.control import caller_actions, positions
from job_runners.engine.dispatch import bulk, dispatch, members
from job_runners.engine.groups import progress
from job_runners.engine.running import execution
from job_runners.engine.wire.messages import JobMessage
from job_runners.engine.wire.sending import CANNOT_SEND
from job_runners.errors import RunnerCannotResend
from job_runners.store import blobs, group_chunks, groups, transitions
from job_runners.store.group_members import Reader
from job_runners.store.job_request import Lane, Status, due_shard
from job_runners.testing import moto_direct
from job_runners.work import Member, gathering
from sample_work import Sample, script


def test_a_job_waits_for_its_members_and_gets_their_results_in_order(bench: Bench) -> None:
    gathering = Gathering(bench, 3)
    row = gathering.start()
    assert (row.status, row.slot, row.counted_invocations) == (Status.WAITING, None, 0)
    assert row.due_shard == due_shard(row.id, Lane.WAITS)
    found = positions.wait_reason(row)
    assert found is not None
    assert (found.kind, found.name) == ("group", "all")
    assert len(items("open#")) == 3
    assert bench.deliver() == 4  # the last one that ends sends the parent
    assert gathering.got == [[(f"{n:06d}", "succeeded", {"twice": 2 * n}) for n in range(3)]]
    assert gathering.counts == [(3, 0)]
    row = gathering.read()
    assert (row.status, row.wait_count, row.counted_invocations) == (Status.SUCCEEDED, 1, 1)
    assert items("open#") == []
    child = gathering.member(1)
    assert (child.parent_id, child.group_of) == (row.id, "all")


def test_a_member_that_fails_is_listed_and_does_not_keep_the_job_waiting(bench: Bench) -> None:
    gathering = Gathering(bench, 4)
    gathering.fails = {1, 2}
    gathering.start()
    caller_actions.cancel(gathering.member(3), bench.send)
    bench.deliver()
    statuses = [status for _, status, _ in gathering.got[0]]
    assert statuses == ["succeeded", "failed", "failed", "canceled"]
    assert gathering.counts == [(4, 3)]


def test_a_member_that_is_tried_again_keeps_the_job_waiting(bench: Bench) -> None:
    gathering = Gathering(bench, [Member("sample_again", {"number": 0})])
    gathering.fails = {0}
    gathering.start()
    assert gathering.run_member(0).status is Status.RETRYABLE
    assert gathering.read().status is Status.WAITING
    gathering.fails.clear()
    bench.deliver()
    assert gathering.counts == [(1, 0)]


def test_results_are_the_same_in_later_invocations_and_the_members_are_not_asked_for(
    bench: Bench,
) -> None:
    gathering = Gathering(bench, 2)
    gathering.fails = {1}
    asked: list[int] = []

    def members() -> Iterator[Member]:
        for number in range(2):
            asked.append(number)
            yield Member("sample_once", {"number": number})

    def work(job: Any, payload: Sample) -> Any:
        if payload.text != "parent":
            return gathering.work(job, payload)
        results = job.gather("all", members())
        gathering.counts.append((results.total, results.failed))
        job.sleep("a while", 3600)
        errors = [each.error for each in results]
        return [error and [error.kind, error.message, str(error)] for error in errors]

    script.job = work
    gathering.start()
    bench.run_out()
    assert asked == [0, 1]
    assert gathering.counts == [(2, 1), (2, 1)]
    row = gathering.read()
    assert blobs.get(row.result, row.result_key) == [
        None,
        ["ValueError", "no luck with 1", "ValueError: no luck with 1"],
    ]


def test_a_job_gathers_again_and_keeps_its_earlier_results(bench: Bench) -> None:
    gathering = Gathering(bench, 0)
    got: list[list[Any]] = []

    def work(job: Any, payload: Sample) -> Any:
        if payload.text != "parent":
            return gathering.work(job, payload)
        for name, numbers in (("first", (1, 2)), ("second", (3,))):
            members = (Member("sample_once", {"number": each}) for each in numbers)
            results = job.gather(name, members)
            got.append([name, *(each.value["twice"] for each in results)])
        return None

    script.job = work
    gathering.start()
    bench.run_out()
    assert gathering.read().status is Status.SUCCEEDED
    assert got == [["first", 2, 4], ["first", 2, 4], ["second", 6]]


def test_a_member_that_was_deleted_is_counted_and_named(bench: Bench) -> None:
    gathering = Gathering(bench, 3)
    gathering.fails = {0}
    gathering.start()
    for number in range(2):
        caller_actions.delete(gathering.run_member(number))
    bench.deliver()
    assert [status for _, status, _ in gathering.got[0]] == ["deleted", "deleted", "succeeded"]
    assert gathering.counts == [(3, 1)]


def test_no_members_need_no_wait(bench: Bench) -> None:
    gathering = Gathering(bench, 0)
    row = gathering.start()
    assert row.status is Status.SUCCEEDED
    assert gathering.counts == [(0, 0)]
    bench.advance(2)  # the list of groups may lag behind
    seen = progress.of_groups(row)["all"]
    assert (seen.counts.total, seen.progress) == (0, 100)


class Day(BaseModel):
    """A payload that only JSON makes one of the sample job."""

    text: date


def test_members_have_their_own_keys_queues_and_types(bench: Bench) -> None:
    members = [
        Member("sample_once", Sample(number=5), key="five", queue_name="sample_slots"),
        Member("sample_again", {"number": 6}, key="six"),
        Member("sample_once", Day(text=date(2026, 11, 29)), key="day"),
    ]
    gathering = Gathering(bench, members)
    gathering.start()
    assert bench.read(gathering.group.member_id("five")).queue_name == "sample_slots"
    bench.deliver()
    assert [(key, value) for key, _, value in gathering.got[0]] == [
        ("five", {"twice": 10}),
        ("six", {"twice": 12}),
        ("day", {"twice": 2}),
    ]


def test_members_are_dispatched_at_300_a_second_at_most(still: Bench) -> None:
    gathering = Gathering(still, 301)
    gathering.start()
    assert still.moved == 3 * 333  # milliseconds, before the last member


def test_an_invocation_ends_in_time_and_the_next_one_adds_the_members_that_are_missing(
    still: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "_BATCH_SIZE", 10)
    monkeypatch.setattr(gathering, "_ROWS_PER_SECOND", 3)  # because real time passes too
    sixty = Gathering(still, 60)
    invocations = 0
    while sixty.read().status is Status.QUEUED:
        still.run(sixty.row, seconds=15)
        invocations += 1
    assert (sixty.read().status, invocations) == (Status.WAITING, 2)
    assert len(items("open#")) == 60
    still.deliver()
    assert sorted(sixty.begun) == [*range(60)]


@pytest.mark.parametrize(("not_reached", "status"), [(3, Status.WAITING), (9999, Status.FAILED)])
def test_members_that_were_not_reached_are_tried_again_until_the_time_is_over(
    still: Bench, monkeypatch: pytest.MonkeyPatch, not_reached: int, status: Status
) -> None:
    dispatch_members, calls = members.dispatch, []

    def dispatched(*arguments: Any, **more: Any) -> set[str]:
        calls.append(clock.now())
        return set() if len(calls) <= not_reached else dispatch_members(*arguments, **more)

    monkeypatch.setattr(members, "dispatch", dispatched)
    gathering = Gathering(still, 1)
    assert still.run(gathering.row, seconds=60).status is status
    assert {after - call for call, after in pairwise(calls)} == {100}


@pytest.mark.parametrize("deleted", [False, True])
def test_a_member_that_was_saved_without_an_answer_is_not_dispatched_again(
    still: Bench, monkeypatch: pytest.MonkeyPatch, deleted: bool
) -> None:
    dispatch_members, answers = members.dispatch, [set[str]()]
    gathering = Gathering(still, 2)

    def dispatched(*arguments: Any, **more: Any) -> set[str]:
        saved = dispatch_members(*arguments, **more)
        if answers and deleted:
            caller_actions.delete(gathering.run_member(0))
        return answers.pop() if answers else saved

    monkeypatch.setattr(members, "dispatch", dispatched)
    gathering.start()
    for number in range(deleted, 2):
        gathering.run_member(number)
    assert gathering.read().status is Status.QUEUED  # their markers are still their own
    assert gathering.begun == [0, 1]


# --- what goes wrong while members are added ------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ([Member("sample_once", key="a"), Member("sample_once", key="a")], "DuplicateMember"),
        ([Member("sample_once", key="x" * 129)], "NameTooLong"),
        ([Member("sample_once", key="")], "NameTooLong"),
        ([Member("sample_once", key="\ud800")], "NameNotText"),
        ([Member("sample_once"), Member("sample_once", {"number": -1})], "InvalidPayload"),
        ([Member("no such type")], "UnknownJobType"),
    ],
)
def test_invalid_members_are_refused_before_any_is_dispatched(
    bench: Bench, members: list[Member], error: str
) -> None:
    gathering = Gathering(bench, members)
    row = gathering.start()
    assert (row.status, row.error["kind"]) == (Status.FAILED, error)
    assert len(moto_direct.rows("jobs")) == 1
    assert items("open#") == []


def test_too_many_members_are_refused_before_any_is_dispatched(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from job_runners.work import member_keys

    monkeypatch.setattr(member_keys, "MAX_MEMBERS", 2)
    gathering = Gathering(bench, 3)
    assert gathering.start().error["kind"] == "TooManyMembers"
    assert len(moto_direct.rows("jobs")) == 1


def test_a_runner_that_cannot_resend_cannot_gather(bench: Bench) -> None:
    gathering = Gathering(bench, 1)
    deadline = clock.now() + 900_000
    execution.run(JobMessage.about(gathering.row), deadline=deadline, send=CANNOT_SEND)
    assert gathering.read().error["kind"] == RunnerCannotResend.__name__


def test_other_keys_in_the_next_invocation_fail_the_job(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering = Gathering(bench, 2, job_type="sample_again")
    with monkeypatch.context() as killed:
        killed.setattr(execution, "_end", lambda invocation, ending: None)
        kill_after(killed, group_chunks, "put", 1)
        bench.run(gathering.row)
    gathering.members = [Member("sample_once", key="other"), Member("sample_once")]
    bench.advance(1000)
    bench.tick()
    bench.run_out()
    assert gathering.read().error["kind"] == "GatherChanged"


@pytest.mark.parametrize(
    ("number", "size", "last"),
    [
        *((number, 3, (groups, "put_marker", 4)) for number in (1, 3, 4, 5)),
        (6, 2, (group_chunks, "record_dispatched", 1)),
    ],
)
def test_another_number_of_members_in_the_next_invocation_fails_the_job(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    size: int,
    last: tuple[Any, str, int],
) -> None:
    """Chunks of another size, as those of another release, fail it too."""
    monkeypatch.setattr(group_chunks, "SIZE", 3)
    monkeypatch.setattr(bulk, "THREADS", 1)
    gathering = Gathering(bench, 6, job_type="sample_again")
    with monkeypatch.context() as killed:
        killed.setattr(execution, "_end", lambda invocation, ending: None)
        kill_after(killed, *last)  # the first chunk is done
        bench.run(gathering.row)
    monkeypatch.setattr(group_chunks, "SIZE", size)
    gathering.members = gathering.members[:number]
    bench.advance(1000)
    bench.tick()
    bench.run_out()
    assert gathering.read().error["kind"] == "GatherChanged"


class Killed(BaseException):
    """The process is gone."""


def kill_after(killed: pytest.MonkeyPatch, module: Any, name: str, calls: int) -> None:
    """Let a function end the process after its call of this number."""
    original, left = getattr(module, name), [calls]

    def call(*arguments: Any, **more: Any) -> Any:
        answer = original(*arguments, **more)
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        return answer

    killed.setattr(module, name, call)


def test_an_invocation_that_continues_leaves_the_markers_of_saved_members(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise, only the timer would notice the end of the last member."""
    monkeypatch.setattr(bulk, "THREADS", 1)
    gathering = Gathering(bench, 3, job_type="sample_again")
    with monkeypatch.context() as killed:
        killed.setattr(execution, "_end", lambda invocation, ending: None)
        kill_after(killed, groups, "put_marker", 3)  # two members are saved
        bench.run(gathering.row)
    rescued = transitions.retry(
        gathering.read(), {}, run_at=clock.now(), due_at=clock.now() + 60_000
    ).after
    assert bench.run(rescued).status is Status.WAITING
    for number in range(3):
        gathering.run_member(number)
    assert gathering.read().status is Status.QUEUED


def test_results_are_read_from_rows_alone_where_there_are_rows(bench: Bench) -> None:
    gathering = Gathering(bench, 3)
    gathering.start()
    for number in range(3):
        gathering.run_member(number)
    units = Units()
    bench.run(gathering.read())
    assert len(gathering.got[0]) == 3
    assert units.costs()[0]["BatchGetItem"] == 1


def test_an_invocation_reads_rows_only_of_members_that_an_earlier_invocation_may_have_saved(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering = Gathering(bench, 3, job_type="sample_again")
    units = Units()
    with monkeypatch.context() as killed:
        killed.setattr(execution, "_end", lambda invocation, ending: None)
        killed.setattr(group_chunks, "record_dispatched", lambda *_: 1 / 0)
        bench.run(gathering.row)
    rescued = transitions.retry(
        gathering.read(), {}, run_at=clock.now(), due_at=clock.now() + 60_000
    ).after
    assert "BatchGetItem" not in units.costs()[0]
    assert bench.run(rescued).status is Status.WAITING
    assert units.costs()[0]["BatchGetItem"] == 1  # of rows, and none of why a row is missing


def test_the_members_of_a_small_group_that_are_dispatched_slowly_are_not_counted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    dispatch_members = members.dispatch

    def slowly(*arguments: Any, **more: Any) -> set[str]:
        dispatched = dispatch_members(*arguments, **more)
        bench.advance(120)
        return dispatched

    monkeypatch.setattr(members, "dispatch", slowly)
    gathering = Gathering(bench, 2)
    assert gathering.start().status is Status.WAITING
    assert gathering.read().member_counts is None


def test_a_member_that_was_saved_without_an_answer_keeps_its_marker(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, calls = dispatch.save_checked, []

    def unanswered(*arguments: Any) -> Any:
        row = save(*arguments)
        calls.append(row)
        if len(calls) == 1:
            raise EndpointConnectionError(endpoint_url="https://dynamodb")
        return row

    monkeypatch.setattr(members, "save_checked", unanswered)
    gathering = Gathering(bench, 1)
    gathering.start()
    assert len(calls) == 1
    gathering.run_member(0)
    assert gathering.read().status is Status.QUEUED


def test_a_member_whose_first_try_wrote_no_row_gets_it_with_the_next(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, tries = dispatch.save_checked, []

    def refused_once(*arguments: Any) -> Any:
        tries.append(arguments)
        if len(tries) == 1:
            raise EndpointConnectionError(endpoint_url="https://dynamodb")
        return save(*arguments)

    monkeypatch.setattr(members, "save_checked", refused_once)
    gathering = Gathering(bench, 1)
    gathering.start()
    assert (len(tries), len(items("open#"))) == (2, 1)
    gathering.run_member(0)
    assert gathering.read().status is Status.QUEUED


def half_dispatched(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Gathering:
    """Return a job whose worker is gone, after it has dispatched two of four members."""
    monkeypatch.setattr(bulk, "THREADS", 1)
    gathering = Gathering(bench, 4, job_type="sample_again")
    with monkeypatch.context() as killed:
        killed.setattr(execution, "_end", lambda invocation, ending: None)
        kill_after(killed, groups, "put_marker", 3)  # two members are saved
        bench.run(gathering.row)
    return gathering


def rescue(gathering: Gathering) -> None:
    """Run the job, and what it sends, until it has ended."""
    for _ in range(4):
        gathering.bench.advance(1000)
        gathering.bench.tick()
        gathering.bench.run_out()


@pytest.mark.parametrize("fails", [False, True])
def test_a_member_that_was_deleted_before_all_are_dispatched_is_not_dispatched_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    gathering = half_dispatched(bench, monkeypatch)
    gathering.fails = {0} if fails else set()
    caller_actions.delete(gathering.run_member(0))
    (shown,) = Reader(gathering.group).page(0, 1).members
    assert shown.outcome == ("failed" if fails else "succeeded")
    rescue(gathering)
    assert sorted(gathering.begun) == [0, 1, 2, 3]
    statuses = [status for _, status, _ in gathering.got[0]]
    assert statuses == ["deleted", "succeeded", "succeeded", "succeeded"]


@pytest.mark.parametrize("days", [28, 40])
def test_a_job_does_not_dispatch_members_again_whose_rows_have_expired(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    gathering = half_dispatched(bench, monkeypatch)
    gathering.run_member(0)
    bench.advance(days * 24 * 3600)  # a pause, after which DynamoDB has deleted the expired row
    if days > 30:
        moto_items.delete("jobs", {"id": {"S": gathering.group.member_id("000000")}})
    rescue(gathering)
    row = gathering.read()
    assert gathering.begun.count(0) == 1
    if days > 30:
        assert (row.status, row.error["kind"]) == (Status.FAILED, "GroupExpired")
        assert gathering.begun == [0]
    else:
        assert row.status is Status.SUCCEEDED


@pytest.mark.parametrize(
    ("module", "name", "calls"),
    [
        (group_chunks, "put", 1),
        (groups, "put_marker", 1),
        (groups, "put_marker", 3),
        (group_chunks, "record_dispatched", 1),
        (group_chunks, "record_dispatched", 2),
    ],
)
def test_an_invocation_that_is_killed_while_it_adds_is_continued_by_the_next_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, calls: int
) -> None:
    monkeypatch.setattr(group_chunks, "SIZE", 3)
    monkeypatch.setattr(bulk, "THREADS", 1)
    gathering = Gathering(bench, 5, job_type="sample_again")
    with monkeypatch.context() as killed:
        killed.setattr(execution, "_end", lambda invocation, ending: None)
        kill_after(killed, module, name, calls)
        assert bench.run(gathering.row).status is Status.RUNNING
    while gathering.read().status is not Status.SUCCEEDED:
        bench.advance(120)
        bench.tick()
        bench.run_out()
    assert gathering.counts == [(5, 0)]
    assert sorted(gathering.begun) == [0, 1, 2, 3, 4]
    assert items("open#") == []
