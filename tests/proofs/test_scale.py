"""What is asked for most costs the same however many rows there are: counted at 100 and at 100,000.

The rows are of one organisation: its partitions are as large as they get.
"""

from collections.abc import Iterator
from functools import cache

import pytest

from fake_lambda import FakeLambda
from job_runners import clock
from job_runners.engine.tick import timer
from job_runners.runners import get_job_runner, lambda_async
from job_runners.store import limits, pauses, queries, verbs
from job_runners.store.job_request import DUE_SHARDS, JobRequest, Lane, Status, due_shard, sort_key
from large_table import LargeTable, Rows
from write_units import Item

pytestmark = pytest.mark.usefixtures("aws")

FEW, MANY = 100, 100_000
NOW = clock.now()  # the rows are made once, and their tests may run minutes apart
DUE = 12  # rows that the timer has to start now, whatever the size of the table


@pytest.fixture(params=[FEW, MANY])
def rows(request: pytest.FixtureRequest) -> Rows:
    return of_size(request.param).copy()


@pytest.fixture
def table(rows: Rows, worker: FakeLambda, monkeypatch: pytest.MonkeyPatch) -> LargeTable:
    monkeypatch.setattr(clock, "now", lambda: NOW)
    get_job_runner()
    pauses.current()  # which a process reads once in 10 s, as it does the limits
    limits.current()
    return LargeTable(monkeypatch, rows)


def test_to_get_a_job_costs_one_read_of_one_unit(table: LargeTable) -> None:
    assert queries.read(numbered(5))
    assert table.costs() == ({"GetItem": 1}, {"read": 1})


@pytest.mark.parametrize("status", [None, Status.FAILED])
def test_to_list_25_jobs_costs_two_requests(table: LargeTable, status: Status | None) -> None:
    assert len(queries.page("acme", limit=25, status=status).jobs) == 25
    # 25 rows, each half a unit, and half a one for their keys.
    assert table.costs() == ({"Query": 1, "BatchGetItem": 1}, {"read": 13})


def test_to_look_for_what_is_not_there_costs_at_most_200_rows(table: LargeTable) -> None:
    assert not queries.page("acme", limit=25, status=Status.CANCELLED).jobs
    requests, units = table.costs()
    assert requests["Query"] == requests["BatchGetItem"] <= 3
    assert units["read"] <= 200 / 2 + 6


def test_a_tick_costs_what_is_due(table: LargeTable) -> None:
    counts = timer.tick(lambda_async.send, until=clock.now() + clock.MINUTE).counts
    assert counts == {timer.Disposition.SENT: DUE}
    requests, units = table.costs()
    # The shards of each of five lanes, of the backlog once more, and of what was sent again.
    queries_of_shards = 7 * DUE_SHARDS
    are_there_schedules = 1  # of the coordination table, half a unit or one
    assert requests == {
        "Query": queries_of_shards + are_there_schedules,
        "GetItem": DUE,
        "UpdateItem": DUE,
    }
    assert units == {"read": queries_of_shards / 2 + DUE, "write": 3 * DUE}


def test_a_claim_costs_one_unit(table: LargeTable, rows: Rows) -> None:
    due = numbered(len(rows) - 1)
    verbs.claim(due, job_type="sample_once", send_id="s", deadline=clock.now() + clock.MINUTE)
    assert table.costs() == ({"UpdateItem": 1}, {"write": 1})


# --- the rows -------------------------------------------------------------------------------------


@cache
def of_size(count: int) -> Rows:
    """Return so many rows: half are to start in an hour, half have ended, of which half failed."""
    rows, now = Rows(), NOW
    row = JobRequest(
        id="",
        job_type="sample_once",
        queue_name="default",
        organization_id="acme",
        status=Status.SCHEDULED,
        created_at=now,
        created_key="",
        updated_at=now,
    ).serialize()
    ended = row | {
        "finished_at": {"N": str(now)},
        "expires_at": {"N": str((now + clock.DAY) // clock.SECOND)},
    }
    succeeded = ended | {"status": {"S": Status.SUCCEEDED}}
    failed = ended | {"status": {"S": Status.FAILED}, "failed_organization": {"S": "acme"}}
    rows.fill(succeeded, each_of(range(count // 4), now))
    rows.fill(failed, each_of(range(count // 4, count // 2), now, failed=True))
    rows.fill(row, each_of(range(count // 2, count - DUE), now, due_at=now + clock.HOUR))
    rows.fill(row, each_of(range(count - DUE, count), now, due_at=now - 1))
    return rows


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
