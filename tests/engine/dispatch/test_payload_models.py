"""Fields that a payload's model does not have: refused at dispatch, ignored in the worker."""

import sys
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from api_events import call
from bench import Bench
from job_runners.engine.wire.messages import TaskMessage
from job_runners.settings import forget
from job_runners.store import transitions
from job_runners.store.job_request import JobRequest, Status
from job_runners.testing.plain_clients import every_row
from job_runners.work.definitions import Job, Task
from job_runners.work.running_job import RunningJob

ran: list[BaseModel] = []


class Part(BaseModel):
    colour: str = "red"


class Plain(BaseModel):
    """A model as anybody writes one: it says nothing of fields that it does not have."""

    words: list[str] = []
    part: Part = Part()
    limit: int = 10


class Forbidding(BaseModel):
    model_config = ConfigDict(extra="forbid")

    part: Part = Part()
    limit: int = 10


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    limit: int = 10


class Ignoring(BaseModel):
    model_config = ConfigDict(extra="ignore")

    limit: int = 10


def plain(job: RunningJob, payload: Plain) -> None:
    ran.append(payload)


def forbidding(job: RunningJob, payload: Forbidding) -> None:
    ran.append(payload)


def ignoring(job: RunningJob, payload: Ignoring) -> None:
    ran.append(payload)


def open_to_all(job: RunningJob, payload: Open) -> None:
    ran.append(payload)


def task(payload: Plain) -> None:
    ran.append(payload)


@pytest.fixture(autouse=True)
def models(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("models")
    module.JOBS = {  # type: ignore[attr-defined]
        "plain": Job(plain),
        "forbidding": Job(forbidding),
        "ignoring": Job(ignoring),
        "open": Job(open_to_all),
    }
    module.TASKS = {"plain_task": Task(task)}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "models", module)
    monkeypatch.setenv("JOBS_PACKAGES", "models")
    forget()
    ran.clear()


def saved(job_type: str, payload: dict[str, Any]) -> JobRequest:
    """Return a row as a newer API has saved it, whose model has a field more."""
    return transitions.save(
        transitions.NewJob(
            job_type=job_type,
            queue_name="default",
            organization_id="acme",
            payload=payload,
            max_attempts=1,
        )
    ).after


@pytest.mark.parametrize("name", ["plain", "forbidding"])
@pytest.mark.parametrize(
    ("payload", "field"),
    [({"limt": 3}, "payload.limt"), ({"part": {"color": "blue"}}, "payload.part.color")],
)
def test_a_typo_in_the_name_of_an_optional_field_is_refused(
    name: str, payload: dict[str, Any], field: str
) -> None:
    answer = call("POST", "/jobs", body={"job_type": name, "payload": payload})
    assert answer.status == 422, answer.text
    assert [each["field"] for each in answer.json["errors"]] == [field]
    assert every_row(JobRequest) == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"payload": {"words": [1] * 1001}}, "payload"),
        ({f"field {number}": 1 for number in range(1001)}, "body"),
    ],
)
def test_what_is_wrong_in_too_many_places_is_counted(body: dict[str, Any], field: str) -> None:
    answer = call("POST", "/jobs", body={"job_type": "plain", **body})
    why = "1,001 values are wrong, too many to list"
    assert (answer.status, answer.json["errors"]) == (422, [{"field": field, "why": why}])


def test_a_typo_in_a_task_and_in_another_payload_for_a_retry_is_refused(bench: Bench) -> None:
    answer = call("POST", "/tasks", body={"task_name": "plain_task", "payload": {"limt": 3}})
    assert answer.status == 422
    job_id = call("POST", "/jobs", body={"job_type": "plain"}).json["id"]
    call("POST", f"/jobs/{job_id}/cancel")
    answer = call("POST", f"/jobs/{job_id}/retry", body={"payload": {"limt": 3}})
    assert answer.status == 422
    assert bench.read(job_id).status is Status.CANCELED


def test_a_model_that_is_open_stays_open_on_both_sides(bench: Bench) -> None:
    answer = call("POST", "/jobs", body={"job_type": "open", "payload": {"limt": 3}})
    assert answer.status == 202
    assert bench.run(bench.read(answer.json["id"])).status is Status.SUCCEEDED
    assert ran[0].model_extra == {"limt": 3}


def test_a_model_that_says_so_itself_ignores_them_at_dispatch_too(bench: Bench) -> None:
    answer = call("POST", "/jobs", body={"job_type": "ignoring", "payload": {"limt": 3}})
    assert answer.status == 202
    bench.run(bench.read(answer.json["id"]))
    assert [each.model_dump() for each in ran] == [{"limit": 10}]


@pytest.mark.parametrize("name", ["plain", "forbidding"])
def test_a_newer_apis_field_does_not_fail_a_job_in_flight(name: str, bench: Bench) -> None:
    row = bench.run(saved(name, {"limit": 3, "newer": True, "part": {"newer": 1}}))
    assert row.status is Status.SUCCEEDED, row.error
    assert ran[0].model_dump(exclude={"words"}) == {"limit": 3, "part": {"colour": "red"}}


def test_a_newer_apis_field_does_not_fail_a_task(bench: Bench) -> None:
    bench.send(TaskMessage(id="t", name="plain_task", payload={"limit": 3, "newer": True}))
    bench.deliver()
    assert [each.model_dump()["limit"] for each in ran] == [3]


def test_what_else_is_wrong_in_the_worker_is_still_told_and_nothing_of_it_is_repeated(
    bench: Bench,
) -> None:
    row = saved("forbidding", {"limit": "s3cret", "newer": True})
    bench.advance(2 * 60 * 60)  # so long a newer deploy might have taken it
    row = bench.run(row)
    assert row.status is Status.FAILED
    assert "payload.limit" in row.error["message"]
    assert "newer" not in row.error["message"]
    assert "s3cret" not in row.error["message"]


def test_the_catalogue_says_that_it_takes_no_other_field() -> None:
    answer = call("GET", "/job-types")
    schemas = {each["name"]: each["payload_schema"] for each in answer.json["jobs"]}
    assert schemas["plain"]["additionalProperties"] is False
    assert schemas["plain"]["$defs"]["Part"]["additionalProperties"] is False
    assert schemas["open"]["additionalProperties"] is True
    found = call("GET", "/openapi.json").json["components"]["schemas"]
    assert found["payload.Plain"]["additionalProperties"] is False
