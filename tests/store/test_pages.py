"""Pages of an organisation's jobs: what is on each, whether another follows, and what it costs."""

import json
from typing import Any

import pytest

from bench import Bench
from job_runners import clock
from job_runners.aws import clients
from job_runners.errors import DoNotRetry
from job_runners.store import queries, transitions
from job_runners.store.job_request import JobRequest, Status
from job_runners.testing.aws import forget
from sample_work import script


@pytest.fixture
def jobs(bench: Bench) -> list[JobRequest]:
    """Five, newest first."""
    made = []
    for _ in range(5):
        bench.advance(1)
        made.append(bench.dispatch())
    bench.advance(2)  # pages may lag behind
    return made[::-1]


@pytest.fixture
def asked(jobs: list[JobRequest]) -> list[tuple[str, int]]:
    """Return what DynamoDB is asked for: the operation, and how many rows."""
    made: list[tuple[str, int]] = []

    def note(model: Any, params: Any, **_: Any) -> None:
        body = json.loads(params["body"])
        made.append((model.name, body.get("Limit") or len(body["RequestItems"]["jobs"]["Keys"])))

    for operation in ("Query", "BatchGetItem"):
        clients.client("dynamodb").meta.events.register(f"before-call.dynamodb.{operation}", note)
    return made


def ids(rows: list[JobRequest]) -> list[str]:
    return [row.id for row in rows]


def test_a_plain_page_reads_no_row_that_it_does_not_show(
    jobs: list[JobRequest], asked: list[tuple[str, int]]
) -> None:
    page = queries.page("acme", limit=2)
    assert ids(page.jobs) == ids(jobs[:2])
    assert asked == [("Query", 3), ("BatchGetItem", 2)]


def test_a_page_that_holds_the_last_job_has_no_cursor(jobs: list[JobRequest]) -> None:
    page = queries.page("acme", limit=5)
    assert (ids(page.jobs), page.cursor) == (ids(jobs), None)
    page = queries.page("acme", limit=3, cursor=queries.page("acme", limit=2).cursor)
    assert (ids(page.jobs), page.cursor) == (ids(jobs[2:]), None)


def test_failed_jobs_come_by_when_they_failed(jobs: list[JobRequest], bench: Bench) -> None:
    def fail(job: object, payload: object) -> None:
        raise DoNotRetry("no")

    script.job = fail
    for row in jobs:  # the newest fails first
        bench.advance(1)
        bench.run(row)
    bench.advance(2)
    page = queries.page("acme", limit=5, status=Status.FAILED)
    assert ids(page.jobs) == ids(jobs[::-1])


def test_a_filtered_page_reads_on_in_large_pieces(
    jobs: list[JobRequest], asked: list[tuple[str, int]]
) -> None:
    page = queries.page("acme", limit=1, matches=lambda row: row.id == jobs[4].id)
    assert ids(page.jobs) == ids(jobs[4:])
    assert [what for what, _ in asked] == ["Query", "BatchGetItem"] * 2


def test_a_filtered_page_is_full_in_the_midst_of_what_was_read(jobs: list[JobRequest]) -> None:
    wanted = ids([jobs[1], jobs[3], jobs[4]])
    page = queries.page("acme", limit=1, matches=lambda row: row.id in wanted)
    assert ids(page.jobs) == wanted[:1]
    page = queries.page("acme", limit=5, matches=lambda row: row.id in wanted, cursor=page.cursor)
    assert ids(page.jobs) == wanted[1:]


@pytest.mark.views
def test_a_job_that_is_deleted_while_the_page_is_made_is_not_on_it(
    jobs: list[JobRequest],
) -> None:
    """The index was read before."""

    def delete(**_: Any) -> None:
        jobs[1].delete()

    clients.client("dynamodb").meta.events.register("before-call.dynamodb.BatchGetItem", delete)
    assert ids(queries.page("acme", limit=5).jobs) == ids([jobs[0], *jobs[2:]])


def test_a_job_that_has_expired_is_on_no_page(bench: Bench, jobs: list[JobRequest]) -> None:
    transitions.succeed(bench.claim(jobs[1]), "done")
    bench.advance(40 * clock.DAY / clock.SECOND)
    assert ids(queries.page("acme", limit=5).jobs) == ids([jobs[0], *jobs[2:]])


def test_of_jobs_asked_for_by_their_ids_those_that_there_are_come(
    bench: Bench, jobs: list[JobRequest]
) -> None:
    transitions.succeed(bench.claim(jobs[1]), "done")
    bench.advance(40 * clock.DAY / clock.SECOND)  # it has expired
    there = queries.read_many([*ids(jobs), "unknown"])
    assert there.keys() == set(ids([jobs[0], *jobs[2:]]))


def test_a_count_goes_on_where_dynamodb_ends_a_page_of_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it does after a megabyte of what is counted."""
    monkeypatch.setenv("MAX_UNFINISHED_JOBS", "100")
    forget()
    for _ in range(5):
        bench.dispatch()
    clients.client("dynamodb").meta.events.register(
        "before-parameter-build.dynamodb.Query", lambda params, **_: params.update(Limit=2)
    )
    assert queries.count_unfinished("acme", 100) == 5
