"""What is asked for most costs the same however many rows there are: counted at 100 and at 10,000.

With CHAOS set in the environment (make chaos), at 100,000.

The rows are of one organisation: its partitions are as large as they get.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from counted_units import Units
from fake_lambda import FakeLambda
from job_runners import clock
from job_runners.engine.tick import timer
from job_runners.fake_dynamodb.behind_moto import database
from job_runners.runners import get_job_runner, lambda_async
from job_runners.store import limits, pauses, queries, transitions
from job_runners.store.job_request import DUE_SHARDS, JobRequest, Lane, Status, due_shard, sort_key
from sizes import by_size

Item = dict[str, Any]

pytestmark = pytest.mark.usefixtures("aws")

FEW, MANY = 100, by_size(10_000, 10_000, chaos=100_000)
NOW = clock.now()
DUE = 12  # rows that the timer has to start now, whatever the size of the table


@pytest.fixture(params=[FEW, MANY])
def count(request: pytest.FixtureRequest, aws: None) -> int:
    """Store so many rows."""
    store(request.param)
    size: int = request.param
    return size


@pytest.fixture
def table(count: int, worker: FakeLambda, monkeypatch: pytest.MonkeyPatch) -> Units:
    monkeypatch.setattr(clock, "now", lambda: NOW)
    get_job_runner()
    pauses.current()  # which a process reads once in 10 s, as it does the limits
    limits.current()
    return Units()


def test_to_get_a_job_costs_one_read_of_one_unit(table: Units) -> None:
    assert queries.read(numbered(5))
    assert table.costs() == ({"GetItem": 1}, {"read": 1})


@pytest.mark.views
@pytest.mark.parametrize("status", [None, Status.FAILED])
def test_to_list_25_jobs_costs_two_requests(table: Units, status: Status | None) -> None:
    assert len(queries.page("acme", limit=25, status=status).jobs) == 25
    # 25 rows, each half a unit, and half a one for their keys.
    assert table.costs() == ({"Query": 1, "BatchGetItem": 1}, {"read": 13})


def test_to_look_for_what_is_not_there_costs_at_most_200_rows(table: Units) -> None:
    assert not queries.page("acme", limit=25, status=Status.CANCELED).jobs
    requests, units = table.costs()
    assert requests["Query"] == requests["BatchGetItem"] <= 3
    assert units["read"] <= 200 / 2 + 6


def test_a_tick_costs_what_is_due(table: Units) -> None:
    counts = timer.tick(lambda_async.send, until=clock.now() + clock.MINUTE).counts
    assert counts == {timer.Disposition.SENT: DUE}
    requests, units = table.costs()
    # The shards of each of five lanes, of the backlog once more, and of what was sent again.
    queries_of_shards = 7 * DUE_SHARDS
    are_there_schedules = 1  # a consistent read of the coordination table
    assert requests == {
        "Query": queries_of_shards + are_there_schedules,
        "GetItem": DUE,
        "UpdateItem": DUE,
    }
    reads = queries_of_shards / 2 + are_there_schedules + DUE
    assert units == {"read": reads, "write": 3 * DUE}


def test_a_claim_costs_one_unit(table: Units, count: int) -> None:
    due = numbered(count - 1)
    transitions.claim(due, job_type="sample_once", send_id="s", deadline=clock.now() + clock.MINUTE)
    assert table.costs() == ({"UpdateItem": 1}, {"write": 1})


# --- the rows -------------------------------------------------------------------------------------


def store(count: int) -> None:
    """Store so many rows: half are to start in an hour, half have ended, of which half failed."""
    row = JobRequest(
        id="",
        job_type="sample_once",
        queue_name="default",
        organization_id="acme",
        status=Status.SCHEDULED,
        created_at=NOW,
        created_key="",
        updated_at=NOW,
    ).serialize()
    ended = row | {
        "finished_at": {"N": str(NOW)},
        "expires_at": {"N": str((NOW + clock.DAY) // clock.SECOND)},
    }
    succeeded = ended | {"status": {"S": Status.SUCCEEDED}}
    failed = ended | {"status": {"S": Status.FAILED}, "failed_organization": {"S": "acme"}}
    put(succeeded, each_of(range(count // 4), NOW))
    put(failed, each_of(range(count // 4, count // 2), NOW, failed=True))
    put(row, each_of(range(count // 2, count - DUE), NOW, due_at=NOW + clock.HOUR))
    put(row, each_of(range(count - DUE, count), NOW, due_at=NOW - 1))


def put(alike: Item, changes: Iterator[Item]) -> None:
    """Store rows that differ from one in these attributes."""
    table = database().find_table("jobs")
    for own in changes:
        database().store(table, (own["id"]["S"],), {**alike, **own})


def each_of(
    numbers: range, now: int, *, failed: bool = False, due_at: int | None = None
) -> Iterator[Item]:
    """Yield what these rows have of their own."""
    for number in numbers:
        job_id = numbered(number)
        key = {"S": sort_key(now - clock.DAY + number, job_id)}
        own = {"id": {"S": job_id}, "created_key": key}
        if failed:
            own["failed_key"] = key
        if due_at is not None:
            at = {"N": str(due_at)}
            shard = {"S": due_shard(job_id, Lane.PROMPT)}
            own |= {"due_at": at, "run_at": at, "due_shard": shard}
        yield own


def numbered(number: int) -> str:
    """Return the id of a row."""
    return f"{number:032x}"
