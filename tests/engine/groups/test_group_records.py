"""What the items of a group say when processes die, answers are lost, and rows expire."""

from typing import Any

import pytest

import moto_items
from bench import Bench
from counted_units import Units
from gathering_job import Gathering
from job_runners.engine.control import caller_actions
from job_runners.store import group_chunks, group_counts, group_failures, groups
from job_runners.store.group_counts import Counts
from job_runners.store.group_members import Reader
from job_runners.store.groups import Group
from job_runners.store.job_request import JobRequest
from stale_reads import catch_up

GROUP = Group("g1", 1)


def expire(row: JobRequest) -> None:
    """Delete a row as TTL does."""
    moto_items.delete("jobs", {"id": {"S": row.id}})


def failed(*numbers: int) -> None:
    """Record that members of the group have failed."""
    for each in numbers:
        groups.note_failed("g1#0", f"member{each}")


# --- the estimate of failures ---------------------------------------------------------------------


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize("number", [0, 1])
def test_an_estimate_that_is_too_high_stops_nothing_and_is_corrected(number: int) -> None:
    failed(*range(number))
    for expected in (1, 2, 3):
        assert group_failures.add_failure(GROUP) == expected
    catch_up()
    units = Units()
    assert not group_failures.is_limit_reached(GROUP, 2)
    assert units.reads == 2  # the estimate, and the failures once
    assert group_failures.add_failure(GROUP) == number + 1


@pytest.mark.usefixtures("aws")
def test_a_limit_that_was_reached_stays_so() -> None:
    failed(0, 1)
    assert group_failures.is_limit_reached(GROUP, 2)
    assert group_failures.add_failure(GROUP) == 0
    catch_up()
    assert group_failures.is_limit_reached(GROUP, 3)


# --- numbers --------------------------------------------------------------------------------------


def test_the_numbers_of_another_group_of_the_job_do_not_count() -> None:
    counts = Counts(total=4, open=3, succeeded=1, failed=0, canceled=0, existing=0, ended_once=1)
    earlier = {"group": "g0", "ended": 3}
    assert group_counts.to_stored(GROUP, counts, earlier)["ended"] == 1
    assert group_counts.to_stored(GROUP, counts, {**earlier, "group": "g1"})["ended"] == 3


def test_only_so_many_rows_of_failures_are_read(bench: Bench) -> None:
    gathering = Gathering(bench, 3)
    gathering.start()
    for number in (0, 1):
        gathering.fails = {number}
        gathering.run_member(number)
        caller_actions.retry_again(gathering.member(number), bench.send)
        gathering.fails = set()
        gathering.run_member(number)
    for most, unknown in ((2, 0), (1, 1), (0, 2)):
        counted = group_counts.count_dispatched(gathering.group, 3, max_rows=most)
        assert (counted.failed, counted.succeeded, counted.open) == (unknown, 2 - unknown, 1)


# --- members --------------------------------------------------------------------------------------


def test_a_member_whose_row_has_expired_has_succeeded(bench: Bench) -> None:
    gathering = Gathering(bench, 2)
    gathering.start()
    expire(gathering.run_member(0))
    members = Reader(gathering.group).page(0, 10).members
    assert [each.outcome for each in members] == ["succeeded", "open"]


def test_members_are_dispatched_up_to_the_end_of_a_chunk_if_the_next_is_not_stored(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, crashes: list[BaseException]
) -> None:
    monkeypatch.setattr(group_chunks, "SIZE", 2)
    put = group_chunks.put

    def die_at_the_second(group_id: str, chunk: int, keys: list[str]) -> Any:
        return put(group_id, chunk, keys) if chunk == 0 else 1 / 0

    with monkeypatch.context() as killed:
        killed.setattr(group_chunks, "put", die_at_the_second)
        gathering = Gathering(bench, 3)
        gathering.start()
    crashes.clear()
    reader = Reader(gathering.group)
    assert (reader.count_dispatched(), reader.is_complete) == (2, False)


def test_no_member_is_read_once_all_are_dispatched(bench: Bench) -> None:
    gathering = Gathering(bench, 2)
    gathering.start()
    reader, units = Reader(gathering.group), Units()
    assert (reader.count_dispatched(), units.reads) == (2, 0)


# --- markers --------------------------------------------------------------------------------------


def test_a_retry_replaces_any_marker_but_that_of_another_retry(bench: Bench) -> None:
    gathering = Gathering(bench, 2)
    gathering.start()
    member = gathering.member(0)
    dispatched = groups.put_marker(str(member.member_of), member.id)  # a second time
    mark = groups.renew_marker(member)
    assert mark != dispatched
    found = groups.find_marker(member)
    assert found is not None
    assert found.mark == mark
    assert groups.renew_marker(member) == mark


def test_a_retry_has_its_mark_even_if_the_other_marker_has_just_gone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering = Gathering(bench, 2)
    gathering.start()
    member = gathering.member(0)
    other = groups.renew_marker(member)
    monkeypatch.setattr(groups, "find_marker", lambda _: None)
    assert groups.renew_marker(member) not in (other, member.member_mark)
