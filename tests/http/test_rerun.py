"""A new job like one that has ended."""

import random
from typing import Any

import pytest

from api_events import Answer, call
from fake_lambda import FakeLambda
from job_runners.aws import bucket
from job_runners.store import queries
from job_runners.store.job_request import JobRequest, Status
from job_runners.testing.aws import forget
from sample_work import script

pytestmark = pytest.mark.usefixtures("worker")

ASKED = {
    "job_type": "sample_once",
    "organization_id": "acme",
    "campaign_id": "spring",
    "queue_name": "slow",
    "payload": {"number": 7, "text": "a"},
}
LARGE = {"text": random.Random(0).randbytes(20_000).hex()}


def job(worker: FakeLambda, **fields: Any) -> str:
    """Return the id of a job that has been run."""
    answer = call("POST", "/jobs", body=ASKED | fields)
    assert answer.status == 202, answer.text
    worker.deliver()
    job_id: str = answer.json["id"]
    return job_id


def rerun(job_id: str, **parts: Any) -> Answer:
    return call("POST", f"/jobs/{job_id}/rerun", **parts)


def row_of(job_id: str) -> JobRequest:
    row = queries.read(job_id)
    assert row is not None
    return row


@pytest.mark.parametrize("payload", [ASKED["payload"], LARGE], ids=["small", "large"])
def test_a_job_that_succeeded_is_run_again_as_a_new_one(worker: FakeLambda, payload: Any) -> None:
    old = job(worker, payload=payload)
    before = row_of(old).attribute_values
    answer = rerun(old)
    assert answer.status == 202, answer.text
    new = answer.json["id"]
    assert new != old
    assert answer.headers["location"] == f"/jobs/{new}"
    worker.deliver()
    done = call("GET", f"/jobs/{new}").json
    assert done["status"] == "succeeded"
    assert {name: done[name] for name in ASKED} == ASKED | {"payload": payload}
    assert row_of(old).attribute_values == before


def test_one_that_failed_begins_anew_and_stays_failed(worker: FakeLambda) -> None:
    script.job = lambda job, payload: 1 / 0
    old = job(worker)
    assert rerun(old).json["attempt"] == 1
    assert row_of(old).status is Status.FAILED


def test_the_same_request_twice_is_one_new_job(worker: FakeLambda) -> None:
    old = job(worker)
    headers = {"idempotency-key": "pressed twice"}
    first, second = (rerun(old, headers=headers) for _ in range(2))
    assert first.json["id"] == second.json["id"]
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    other = job(worker, payload={"number": 8})
    assert rerun(other, headers=headers).status == 409


def test_a_job_that_has_not_ended_is_not_run_again(worker: FakeLambda) -> None:
    waiting = call("POST", "/jobs", body=ASKED).json["id"]
    answer = rerun(waiting)
    assert (answer.status, answer.json["type"]) == (409, "urn:job-runners:wrong-state")
    assert "is queued. Only a job that has ended can be rerun." in answer.json["detail"]


def test_one_whose_payload_is_gone_is_refused(worker: FakeLambda) -> None:
    old = job(worker, payload=LARGE)
    bucket.delete_all(f"payloads/{row_of(old).created_key}")
    answer = rerun(old)
    assert (answer.status, answer.json["type"]) == (409, "urn:job-runners:payload-gone")


def test_one_whose_type_is_gone_is_refused(
    worker: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = job(worker, payload={"number": 7})
    monkeypatch.setenv("PROJECT_PACKAGES", "")
    forget()
    answer = rerun(old)
    assert (answer.status, answer.json["type"]) == (422, "urn:job-runners:unknown-job-type")
