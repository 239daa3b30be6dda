"""The most attempts of one job: a dispatch may ask for fewer than its job type allows."""

import sys
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel

from api_events import Answer, call
from bench import Bench
from job_runners.settings import forget
from job_runners.store import queries
from job_runners.store.job_request import JobRequest, Status
from job_runners.work import Job, Retry, RunningJob, Unique


class Down(Exception):
    """What the job below always raises."""


class Lot(BaseModel):
    """The payload. One of the jobs is unique by it."""

    lot: str = "a"


def fails(job: RunningJob, payload: Lot) -> None:
    raise Down


@pytest.fixture(autouse=True)
def jobs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("limited")
    retry = Retry(max_attempts=4)
    unique = Unique(by=("lot",), on_conflict="replace")
    module.JOBS = {  # type: ignore[attr-defined]
        "up_to_four": Job(fails, retry=retry),
        "only_one": Job(fails),
        "replaced": Job(fails, retry=retry, unique=unique),
    }
    monkeypatch.setitem(sys.modules, "limited", module)
    monkeypatch.setenv("JOBS_PACKAGES", "limited")
    forget()


def dispatch(job_type: str, **fields: Any) -> Answer:
    return call("POST", "/jobs", body={"job_type": job_type, **fields})


def row_of(answer: Answer) -> JobRequest:
    assert answer.status == 202, answer.text
    row = queries.read(answer.json["id"])
    assert row is not None
    return row


def run_to_its_end(bench: Bench, row: JobRequest) -> JobRequest:
    while not row.status.finished:
        bench.advance(3600)
        row = bench.run(row)
    return row


@pytest.mark.parametrize(
    ("job_type", "asked", "attempts"),
    [
        ("up_to_four", {}, 4),
        ("up_to_four", {"max_attempts": 1}, 1),
        ("up_to_four", {"max_attempts": 2}, 2),
        ("up_to_four", {"max_attempts": 9}, 4),
        ("only_one", {"max_attempts": 9}, 1),
    ],
)
def test_a_job_has_the_attempts_it_asked_for_up_to_those_of_its_type(
    bench: Bench, job_type: str, asked: dict[str, int], attempts: int
) -> None:
    answer = dispatch(job_type, **asked)
    assert answer.json["max_attempts"] == attempts
    row = run_to_its_end(bench, row_of(answer))
    assert (row.status, row.attempt) == (Status.FAILED, attempts)


@pytest.mark.parametrize(("asked", "attempts"), [({}, 4), ({"max_attempts": 2}, 2)])
def test_retried_or_rerun_it_has_the_same_attempts(
    bench: Bench, asked: dict[str, int], attempts: int
) -> None:
    first = run_to_its_end(bench, row_of(dispatch("up_to_four", **asked)))
    again = call("POST", f"/jobs/{first.id}/retry")
    assert run_to_its_end(bench, row_of(again)).attempt == attempts
    copy = call("POST", f"/jobs/{first.id}/rerun")
    assert copy.json["id"] != first.id
    assert run_to_its_end(bench, row_of(copy)).attempt == attempts


def test_a_replaced_job_has_the_limit_of_its_last_request(bench: Bench) -> None:
    assert dispatch("replaced", delay=60, max_attempts=2).json["max_attempts"] == 2
    row = row_of(dispatch("replaced", delay=60, max_attempts=3, payload={}))
    ended = run_to_its_end(bench, row)
    assert ended.attempt == 3
    assert run_to_its_end(bench, row_of(call("POST", f"/jobs/{row.id}/retry"))).attempt == 3


@pytest.mark.parametrize("asked", [0, -1, 1001, 1.5, "2", True])
def test_a_limit_that_is_no_number_of_attempts_is_refused(asked: Any) -> None:
    answer = dispatch("up_to_four", max_attempts=asked)
    assert answer.status == 422
    assert [each["field"] for each in answer.json["errors"]] == ["max_attempts"]


def test_many_jobs_may_each_have_a_limit() -> None:
    jobs = [{"job_type": "up_to_four", "max_attempts": number} for number in (1, 3)]
    answer = call("POST", "/jobs/bulk", body={"jobs": jobs, "idempotency_key": "k"})
    assert [each["job"]["max_attempts"] for each in answer.json["jobs"]] == [1, 3]
