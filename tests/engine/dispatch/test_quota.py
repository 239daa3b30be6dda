"""A quota of unfinished jobs for each organisation: off unless it is set, and never adrift."""

from collections.abc import Callable
from typing import Any

import pytest

import job_rows
import moto_items
from api_events import call
from bench import Bench
from counted_units import Units
from job_runners.aws import clients
from job_runners.engine.control import caller_actions
from job_runners.engine.dispatch import quota
from job_runners.errors import InvalidSetting, QuotaReached
from job_runners.settings import settings
from job_runners.store import caller_transitions, limits, pauses, transitions
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.queries import count_unfinished
from job_runners.testing import moto_direct
from job_runners.testing.aws import forget
from job_runners.testing.plain_clients import full_client
from outage import Outage
from sample_work import script


@pytest.fixture
def most(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> int:
    """Have a quota of so many."""
    monkeypatch.setenv("MAX_UNFINISHED_JOBS", "3")
    forget()
    return 3


def counted(organization_id: str = "acme") -> int:
    return count_unfinished(organization_id, 100)


def test_it_is_refused_to_who_has_so_many_and_to_nobody_else(bench: Bench, most: int) -> None:
    rows = [bench.dispatch() for _ in range(most)]
    with pytest.raises(
        QuotaReached, match="Organization 'acme' has reached its quota of 3 unfinished jobs"
    ):
        bench.dispatch()
    assert len(moto_direct.rows("jobs")) == most
    bench.dispatch(organization_id="other")
    bench.run(rows[0])
    bench.advance(10)
    bench.dispatch()
    assert counted() == most


def test_over_http_it_is_429_with_a_time_to_come_back(bench: Bench, most: int) -> None:
    for _ in range(most):
        bench.dispatch()
    answer = call("POST", "/jobs", body={"job_type": "sample_once", "organization_id": "acme"})
    assert (answer.status, answer.headers["retry-after"]) == (429, "10")
    assert answer.json["type"] == "urn:job-runners:quota-reached"


def test_what_is_there_already_is_not_refused(bench: Bench, most: int) -> None:
    first = bench.dispatch(idempotency_key="may")
    for _ in range(most - 1):
        bench.dispatch()
    assert bench.dispatch(idempotency_key="may").id == first.id
    with pytest.raises(QuotaReached):
        bench.dispatch(idempotency_key="june")


@pytest.mark.parametrize("job_type", ["sample_once", "unique_return", "unique_replace"])
def test_the_same_request_again_is_counted_once(
    bench: Bench, most: int, monkeypatch: pytest.MonkeyPatch, job_type: str
) -> None:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,unique_sample")
    forget()
    for _ in range(most + 1):
        bench.dispatch(job_type, payload={}, idempotency_key="may")
        bench.advance(0.001)  # a request in the same millisecond would look like the first
    for _ in range(most - 1):
        bench.dispatch()
    with pytest.raises(QuotaReached):
        bench.dispatch()


def test_a_child_is_counted_and_not_refused(bench: Bench, most: int) -> None:
    """Its parent was accepted, and would fail halfway."""

    def work(job: Any, payload: object) -> None:
        for number in range(most):
            job.dispatch("sample_again", {"number": number}, key=str(number))

    script.job = work
    assert bench.run(bench.dispatch("sample_once")).status is Status.SUCCEEDED
    assert counted() == most


def test_another_process_is_refused_within_ten_seconds(bench: Bench, most: int) -> None:
    """It has counted none just before."""
    quota.refuse_if_reached("acme")
    before = dict(quota._counts)
    for _ in range(most):
        bench.dispatch()
    quota._counts.clear()
    quota._counts.update(before)
    quota.refuse_if_reached("acme")
    bench.advance(10)
    with pytest.raises(QuotaReached):
        quota.refuse_if_reached("acme")


def test_without_a_quota_nothing_is_counted(bench: Bench, outage: Outage) -> None:
    outage.begin("throttled", only="Query")
    quota.refuse_if_reached("acme")
    assert outage.calls == []
    assert quota._counts == {}


def test_it_counts_once_in_ten_seconds(bench: Bench, most: int, outage: Outage) -> None:
    outage.begin("throttled", seconds=1000, only="Query")
    for _ in range(5):
        quota.refuse_if_reached("acme")
    assert outage.calls == ["Query"]
    bench.advance(10)
    quota.refuse_if_reached("acme")
    assert outage.calls == ["Query", "Query"]


def test_where_it_is_not_reached_a_count_is_one_query(bench: Bench, most: int) -> None:
    for _ in range(most - 1):
        bench.dispatch()
    bench.advance(10)
    queries: list[str] = []
    clients.client("dynamodb").meta.events.register(
        "before-call.dynamodb.Query", lambda **_: queries.append("Query")
    )
    quota.refuse_if_reached("acme")
    assert len(queries) == 1


def test_a_job_that_is_accepted_makes_no_count_last_longer(bench: Bench, most: int) -> None:
    rows = [bench.dispatch() for _ in range(most - 1)]
    bench.advance(9)
    rows.append(bench.dispatch())
    for row in rows:
        bench.run(row)
    bench.advance(1)
    bench.dispatch()


def test_what_it_remembers_is_bounded(
    bench: Bench, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quota, "_MAX_CACHED", 3)
    remembered = []
    for number in range(7):
        quota.refuse_if_reached(f"organisation-{number}")
        quota.note_saved(JobRequest(unfinished_organization="of another"))
        remembered.append(len(quota._counts))
    assert remembered == [1, 2, 3, 1, 2, 3, 1]


def test_what_cannot_be_counted_is_no_reason_to_refuse(
    bench: Bench, most: int, outage: Outage
) -> None:
    for _ in range(most):
        bench.dispatch()
    bench.advance(10)
    outage.begin("throttled", only="Query")
    row = bench.dispatch()
    outage.end()
    assert counted() == most + 1
    assert bench.run(row).status is Status.SUCCEEDED


def test_without_its_index_nobody_is_refused(bench: Bench, most: int) -> None:
    """While a rollback goes on, the index is gone before the functions are the older ones."""
    for _ in range(most):
        bench.dispatch()
    full_client("dynamodb").update_table(
        TableName="jobs", GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "unfinished"}}]
    )
    bench.advance(10)
    assert bench.run(bench.dispatch()).status is Status.SUCCEEDED


# --- it never drifts: the row and what is counted are one write -----------------------------------


def failed(bench: Bench, row: JobRequest) -> None:
    transitions.fail(bench.claim(row), job_rows.ERROR)


def expired(bench: Bench, row: JobRequest) -> None:
    transitions.expire(row, job_rows.ERROR)


def stopped(bench: Bench, row: JobRequest) -> None:
    transitions.stop(caller_transitions.request_cancel(bench.claim(row)).after)


ENDS: dict[str, Callable[[Bench, JobRequest], Any]] = {
    "succeeded": lambda bench, row: bench.run(row),
    "failed": failed,
    "expired": expired,
    "canceled": lambda bench, row: caller_transitions.cancel(row).after,
    "stopped": stopped,
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_however_a_job_ends_it_is_counted_until_then(
    bench: Bench, most: int, end: Callable[[Bench, JobRequest], Any]
) -> None:
    row = bench.dispatch()
    assert counted() == 1
    end(bench, row)
    assert bench.read(row).status.finished
    assert counted() == 0


def test_it_is_counted_while_it_is_scheduled_runs_and_is_tried_again(
    bench: Bench, most: int
) -> None:
    row = bench.dispatch(delay=60)
    assert counted() == 1
    bench.advance(60)
    row = bench.claim(row)
    assert counted() == 1
    job_rows.retry(row)
    assert counted() == 1


def test_one_whose_worker_was_killed_is_counted_until_that_is_known(
    bench: Bench, most: int
) -> None:
    row = bench.dispatch("sample_once")
    bench.claim(row)
    bench.advance(900 + 60 + 1)
    assert counted() == 1
    bench.tick()
    assert bench.read(row).status is Status.FAILED
    assert counted() == 0


def test_one_that_is_done_again_manually_is_counted_again(bench: Bench, most: int) -> None:
    row = bench.dispatch()
    caller_actions.cancel(row)
    assert counted() == 0
    caller_actions.retry_again(bench.read(row), bench.send)
    assert counted() == 1
    bench.run(row)
    assert counted() == 0


def test_switched_off_what_was_counted_still_ends(
    bench: Bench, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = bench.dispatch()
    monkeypatch.delenv("MAX_UNFINISHED_JOBS")
    forget()
    bench.dispatch()
    assert counted() == 1
    bench.run(row)
    assert counted() == 0


def test_switched_off_a_job_that_is_retried_manually_is_not_counted(bench: Bench) -> None:
    caller_actions.retry_again(caller_actions.cancel(bench.dispatch()), bench.send)
    assert counted() == 0


# --- costs ----------------------------------------------------------------------------------------


def units_of_a_life(bench: Bench) -> int:
    limits.current()
    pauses.current()
    units = Units()
    assert bench.run(bench.dispatch("sample_once")).status is Status.SUCCEEDED
    return units.spent()


def test_off_it_costs_nothing(bench: Bench) -> None:
    assert units_of_a_life(bench) == 6
    row = moto_items.row("jobs", {"id": {"S": bench.dispatch().id}})
    assert "unfinished_organization" not in row


def test_on_it_costs_two_write_units(bench: Bench, most: int) -> None:
    assert units_of_a_life(bench) == 6 + 2


def test_a_number_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_UNFINISHED_JOBS", "-1")
    forget()
    with pytest.raises(InvalidSetting, match="MAX_UNFINISHED_JOBS"):
        settings()
    monkeypatch.setenv("MAX_UNFINISHED_JOBS", "0")
    forget()
    assert settings().max_unfinished_jobs == 0
