"""Which queue a caller may ask for: those that the author of the job has named, or any, as a
service."""

from typing import Any

import pytest

import sample_work
from api_events import Answer, call
from job_runners.errors import InvalidDefinition
from job_runners.runners import get_job_runner
from job_runners.runners.base import JobData
from job_runners.settings import forget
from job_runners.work import Job

pytestmark = pytest.mark.usefixtures("worker")

OURS = {"organization_id": "ours", "roles": "operator", "sub": "user-1"}


@pytest.fixture(autouse=True)
def allowed(worker: object, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(sample_work.once, queue_name="texts", queues=("urgent", "texts"))
    monkeypatch.setitem(sample_work.JOBS, "sample_once", job)


def with_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCESS_MODE", "jwt")
    forget()


def dispatch(claims: dict[str, Any] | None = None, **fields: Any) -> Answer:
    body = {"job_type": "sample_once"} | fields
    return call("POST", "/jobs", body=body, claims=claims)


@pytest.mark.parametrize(("wish", "queue"), [({}, "texts"), ({"queue_name": "texts"}, "texts")])
def test_the_jobs_own_queue_needs_no_wish(
    wish: dict[str, str], queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_token(monkeypatch)
    assert dispatch(OURS, **wish).json["queue_name"] == queue


def test_a_caller_may_ask_for_a_queue_that_the_author_has_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_token(monkeypatch)
    assert dispatch(OURS, queue_name="urgent").json["queue_name"] == "urgent"


def test_each_queue_that_a_caller_may_ask_for_is_listed() -> None:
    listed = {each["name"] for each in call("GET", "/queues").json["queues"]}
    assert {"texts", "urgent"} <= listed


def test_a_caller_may_ask_for_no_other_and_is_told_which(monkeypatch: pytest.MonkeyPatch) -> None:
    with_token(monkeypatch)
    answer = dispatch(OURS, queue_name="default")
    assert (answer.status, answer.json["type"]) == (422, "urn:job-runners:invalid-request")
    why = "must be 'texts', 'urgent' for a job 'sample_once'; only services may use other queues"
    assert answer.json["errors"] == [{"field": "queue_name", "why": why}]
    assert call("GET", "/jobs", claims=OURS).json["jobs"] == []


def test_a_wish_for_a_job_that_there_is_not_names_the_nearest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_token(monkeypatch)
    answer = dispatch(OURS, job_type="sample_onc", queue_name="default")
    assert answer.json["type"] == "urn:job-runners:unknown-job-type"


def test_a_service_may_ask_for_any(monkeypatch: pytest.MonkeyPatch) -> None:
    assert dispatch(queue_name="default").json["queue_name"] == "default"
    with_token(monkeypatch)
    answer = dispatch({"roles": "service", "sub": "ops"}, queue_name="default")
    assert (answer.status, answer.json["queue_name"]) == (202, "default")


def test_code_may_ask_for_any() -> None:
    row = get_job_runner().dispatch_job(JobData(job_type="sample_once", queue_name="default"))
    assert row.row.queue_name == "default"


def test_who_has_a_job_run_again_leaves_it_in_its_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not a wish of theirs: a service has put it there."""
    job_id = dispatch(organization_id="ours", queue_name="default").json["id"]
    call("POST", f"/jobs/{job_id}/cancel")
    with_token(monkeypatch)
    answer = call("POST", f"/jobs/{job_id}/rerun", claims=OURS)
    assert (answer.status, answer.json["queue_name"]) == (202, "default")


def test_what_may_be_asked_for_is_listed_with_the_jobs() -> None:
    [entry] = [
        each for each in call("GET", "/job-types").json["jobs"] if each["name"] == "sample_once"
    ]
    assert (entry["queue_name"], entry["queues"]) == ("texts", ["texts", "urgent"])


@pytest.mark.parametrize("queues", ["urgent", ("a#b",), (3,)])
def test_names_that_no_queue_can_have_are_refused_where_they_are_written(queues: Any) -> None:
    with pytest.raises(InvalidDefinition, match=r"Job\(queues="):
        Job(sample_work.once, queues=queues)
