"""What a group costs, counted at the boundary in write units and reads."""

import pytest

from bench import Bench
from counted_units import Units
from gathering_job import Gathering
from job_runners import clock
from job_runners.engine.control import caller_actions
from job_runners.engine.dispatch import bulk
from job_runners.engine.settling import group_ends
from job_runners.store import group_chunks, limits, pauses
from job_runners.store.job_request import Status


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The count isn't made for several threads."""
    monkeypatch.setattr(bulk, "THREADS", 1)


def counted(bench: Bench) -> Units:
    """Return a count of what follows, without what a process reads once in 10 seconds."""
    pauses.current()
    limits.current()
    return Units()


def units_of(bench: Bench, number: int) -> tuple[int, int, int]:
    """Return the write units of a gather with this number of members.

    They are those of its first invocation, of its members' runs, and of its last invocation.
    """
    gathering = Gathering(bench, number)
    units = counted(bench)
    gathering.start()
    first = units.spent()
    for each in range(number):
        gathering.run_member(each)
    members = units.spent()
    bench.run(gathering.row)
    assert gathering.read().status is Status.SUCCEEDED
    return first, members, units.spent()


def test_a_member_costs_two_units_more_than_a_job(still: Bench) -> None:
    units = counted(still)
    still.run(still.dispatch("sample_once", payload={"number": 1}))
    job = units.spent()
    one, four = units_of(still, 1), units_of(still, 4)
    assert sum(four) - sum(one) == 3 * (job + 2)


def test_a_gather_costs_ten_units_more_than_a_job(still: Bench) -> None:
    units = counted(still)
    still.run(still.dispatch("sample_once", payload={"number": 1}))
    job = units.spent()
    assert sum(units_of(still, 1)) - (job + 2) == job + 10


def test_a_member_is_added_without_a_read(still: Bench) -> None:
    reads = []
    for number in (1, 4):
        gathering = Gathering(still, number)
        units = counted(still)
        gathering.start()
        reads.append(units.reads)
    assert reads == [5, 5]


def test_a_chunk_costs_two_units(still: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    first = []
    for size in (6, 3, 2):
        monkeypatch.setattr(group_chunks, "SIZE", size)
        first.append(units_of(still, 6)[0])
    assert first == [first[0], first[0] + 2, first[0] + 4]


def test_each_end_reads_its_shard_once(still: Bench) -> None:
    gathering = Gathering(still, 2)
    gathering.start()
    member, alone = gathering.member(0), still.dispatch("sample_once", payload={"number": 9})
    units = counted(still)
    still.run(alone)
    job = units.reads
    still.run(member)
    assert units.reads - job == job + 1


def test_a_member_that_fails_or_is_canceled_costs_one_unit_more(still: Bench) -> None:
    gathering = Gathering(still, 2)
    gathering.start()
    member, alone = gathering.member(0), still.dispatch("sample_once", payload={"number": 9})
    units = counted(still)
    caller_actions.cancel(alone, still.send)
    job = units.spent()
    caller_actions.cancel(member, still.send)
    assert units.spent() == job + 2  # of these, one is its marker


def test_a_retry_in_time_costs_seven_units_more(still: Bench) -> None:
    """One for the marker, two for its check, two for the parent's row, and two because the member's
    own row is larger than 1 KB."""
    gathering = Gathering(still, 2)
    gathering.fails = {0}
    gathering.start()
    failed = gathering.run_member(0)
    alone = still.run(still.dispatch("sample_once", payload={"number": 0}))
    assert alone.status is Status.FAILED
    units = counted(still)
    caller_actions.retry_again(alone, still.send)
    plain = units.spent()
    caller_actions.retry_again(failed, still.send)
    assert units.spent() - plain == 7


def test_a_cancel_with_members_costs_two_units_more_for_each_that_waits(
    still: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_ends, "_THREADS", 1)
    alone = still.dispatch("sample_once", payload={"number": 9})
    units = counted(still)
    caller_actions.cancel(alone, still.send)
    job, spent = units.spent(), []
    for number in (1, 4):
        gathering = Gathering(still, number)
        gathering.start()
        units.spent()
        caller_actions.cancel_with_members(gathering.read(), still.send)
        assert gathering.read().status is Status.CANCELED
        spent.append(units.spent())
    assert spent == [3 + job + 2, 3 + 4 * (job + 2)]


def test_a_look_of_the_timer_costs_three_units(still: Bench) -> None:
    gathering = Gathering(still, 2)
    gathering.start()
    for number in range(2):
        still.claim(gathering.member(number), seconds=3600)
    still.advance(60)
    still.tick()  # it looks at the members too, and then not before the ends of their leases
    still.advance(60)
    units = counted(still)
    still.tick()
    assert (gathering.read().due_at or 0) - clock.now() == 2 * clock.MINUTE
    assert units.spent() == 3
