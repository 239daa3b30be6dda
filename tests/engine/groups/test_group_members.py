"""What is shown of a group: its members by outcome, and how many have ended."""

from collections import Counter
from itertools import chain
from typing import Any

import pytest

from bench import Bench
from gathering_job import Gathering
from job_runners.aws import clients
from job_runners.engine.control import caller_actions
from job_runners.engine.groups import progress
from job_runners.store import group_chunks, group_counts, group_members, groups
from job_runners.store.group_members import Reader
from job_runners.store.job_request import Status
from job_runners.store.member_outcomes import OUTCOMES
from job_runners.work import Member
from sample_work import Sample, script

OUTCOME_OF = {
    "succeeds": "succeeded",
    "fails": "failed",
    "canceled": "canceled",
    "runs": "open",
    "exists": "existing",
    "refused": "failed",
    "failed and deleted": "failed",
    "succeeded and deleted": "succeeded",
    "waits": "open",
}


def all_kinds(bench: Bench) -> Gathering:
    """Return a job that waits for a group with a member of each kind."""
    bench.dispatch("unique_return", payload={"lot": "a"})
    bench.dispatch("unique_refuse", payload={"lot": "a"})
    types = {"exists": "unique_return", "refused": "unique_refuse"}
    members = [Member(types.get(key, "sample_once"), {}, key=key) for key in OUTCOME_OF]
    gathering = Gathering(bench, members)
    gathering.start()
    for key in ("succeeds", "fails", "failed and deleted", "succeeded and deleted"):
        gathering.fails = {1} if "fail" in key else set()
        row = bench.run(bench.read(gathering.group.member_id(key)))
        if "deleted" in key:
            caller_actions.delete(row)
    caller_actions.cancel(bench.read(gathering.group.member_id("canceled")), bench.send)
    bench.claim(bench.read(gathering.group.member_id("runs")))
    return gathering


def pages(reader: Reader, outcome: str | None, limit: int) -> list[list[str]]:
    """Return the keys of each page of the members with an outcome."""
    found, start = [], 0
    while True:
        page = reader.page(start, limit, outcome)
        found.append([each.key for each in page.members])
        assert len(found[-1]) <= limit
        assert {each.outcome for each in page.members} <= ({outcome} if outcome else {*OUTCOMES})
        if page.next is None:
            return found
        start = page.next


@pytest.mark.parametrize("size", [3, 100])
def test_each_member_is_listed_under_its_outcome(
    unique: Bench, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(group_chunks, "SIZE", size)
    gathering = all_kinds(unique)
    reader = Reader(gathering.group)
    for limit in (1, 2, 100):
        assert [*chain(*pages(reader, None, limit))] == [*OUTCOME_OF]
        for outcome in OUTCOMES:
            expected = [key for key, its in OUTCOME_OF.items() if its == outcome]
            assert [*chain(*pages(reader, outcome, limit))] == expected
    numbers = Counter(OUTCOME_OF.values())
    assert reader.count().by_outcome == numbers
    counted = group_counts.count_dispatched(gathering.group, len(OUTCOME_OF), max_rows=100)
    assert counted.by_outcome == numbers


@pytest.mark.parametrize("outcome", ["failed", "existing"])
def test_a_page_of_a_large_group_reads_only_members_that_may_have_the_outcome(
    unique: Bench, monkeypatch: pytest.MonkeyPatch, outcome: str
) -> None:
    monkeypatch.setattr(group_chunks, "SIZE", 3)
    monkeypatch.setattr(group_members, "MAX_EXAMINED", 1)
    reader = Reader(all_kinds(unique).group)
    assert len(pages(reader, outcome, 1)[0]) == 1
    assert pages(reader, "open", 1)[0] == []


@pytest.mark.parametrize("outcome", ["failed", "existing"])
def test_a_page_does_not_list_all_failures_of_a_group_with_many(
    unique: Bench, monkeypatch: pytest.MonkeyPatch, outcome: str
) -> None:
    monkeypatch.setattr(group_chunks, "SIZE", 3)
    gathering = all_kinds(unique)
    expected = [key for key, its in OUTCOME_OF.items() if its == outcome]
    found: list[int] = []
    clients.client("dynamodb").meta.events.register(
        "after-call.dynamodb.Query", lambda parsed, **_: found.append(parsed["Count"])
    )
    for most in (100, len(expected), 0):
        monkeypatch.setattr(group_members, "MAX_CANDIDATES", most)
        reader = Reader(gathering.group)
        found.clear()
        assert [*chain(*pages(reader, outcome, 100))] == expected
        assert sum(found) <= most + 1


def test_members_that_are_not_dispatched_yet_are_open(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, crashes: list[BaseException]
) -> None:
    monkeypatch.setattr(group_chunks, "SIZE", 2)
    gathering = Gathering(bench, 3)
    with monkeypatch.context() as killed:
        killed.setattr(groups, "put_marker", lambda *_: 1 / 0)
        assert gathering.start().status is Status.FAILED
    crashes.clear()
    reader = Reader(gathering.group)
    assert pages(reader, "open", 100) == [["000000", "000001"]]
    assert reader.dispatched == 0
    bench.advance(2)  # the list of groups may lag behind
    seen = progress.of_groups(gathering.read())["all"]
    assert (seen.counts.open, seen.progress) == (0, 0)


def test_a_small_group_is_counted_again_after_the_job_has_its_results(bench: Bench) -> None:
    gathering = Gathering(bench, 2)
    gathering.fails = {0}
    gathering.start()
    gathering.run_member(0)
    gathering.run_member(1)
    bench.deliver()
    gathering.fails = set()
    caller_actions.retry_again(gathering.member(0), bench.send)
    bench.deliver()
    bench.advance(2)  # the list of groups may lag behind
    counts = progress.of_groups(gathering.read())["all"].counts
    assert (counts.by_outcome["succeeded"], counts.by_outcome["failed"]) == (2, 0)


def test_the_numbers_of_a_small_group_are_not_stored(bench: Bench) -> None:
    gathering = Gathering(bench, 3)
    gathering.start()
    bench.advance(60)
    bench.tick()
    assert gathering.read().member_counts is None


def test_the_progress_of_a_large_group_does_not_go_back_while_a_member_is_retried(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_chunks, "SIZE", 2)
    gathering = Gathering(bench, 4)
    gathering.fails = {0}
    gathering.start()
    failed = gathering.run_member(0)
    bench.advance(60)
    bench.tick()
    groups.put_marker(str(failed.member_of), failed.id)  # as if a retry began
    parent = gathering.read()
    parent.update(progress.actions_that_store_counts(parent))
    seen = progress.of_groups(parent)["all"]
    assert (seen.counts.open, seen.progress) == (4, 25)


def test_each_large_group_of_a_job_has_its_own_numbers(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_chunks, "SIZE", 2)

    def work(job: Any, payload: Sample) -> Any:
        if payload.text == "parent":
            for name, number in (("first", 3), ("second", 4)):
                job.gather(name, [Member("sample_once") for _ in range(number)])
        return None

    script.job = work
    row = bench.dispatch("sample_once", payload={"text": "parent"})
    bench.run(row)
    first, *rest = bench.sent
    bench.run_message(first[0])
    bench.advance(60)
    bench.tick()
    bench.sent = rest
    while len(shown := progress.of_groups(bench.read(row))) < 2:
        bench.run_message(bench.sent.pop(0)[0])
        bench.advance(2)  # the list of groups may lag behind
    assert (shown["first"].counts.succeeded, shown["first"].progress) == (3, 100)
    assert (shown["second"].counts.open, shown["second"].progress) == (4, 0)
    assert shown["second"].at is None  # counted now, because the timer has not looked
    bench.run_out()
    assert bench.read(row).status is Status.SUCCEEDED
