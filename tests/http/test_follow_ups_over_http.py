"""Follow-ups over HTTP: how a request names them, and what a job shows of them."""

from typing import Any

import pytest

from api_events import Answer, call
from fake_lambda import FakeLambda
from job_runners.engine.registry.registry import registry
from job_runners.settings import settings
from job_runners.store.job_request import JobRequest
from sample_work import script


@pytest.fixture(autouse=True)
def follow_ups(worker: FakeLambda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJECT_PACKAGES", "sample_work,follow_up_sample")
    settings.cache_clear()  # and not the clients, whose calls the worker takes
    registry.cache_clear()


def post(**fields: Any) -> Answer:
    body = {"job_type": "sample_once", "organization_id": "acme", "payload": {"number": 1}}
    return call("POST", "/jobs", body=body | fields)


def get(job_id: str) -> Any:
    return call("GET", f"/jobs/{job_id}").json


def test_a_job_names_its_follow_ups_and_each_names_its_job(worker: FakeLambda) -> None:
    def no_luck(job: object, payload: object) -> None:
        raise ValueError("no luck")

    script.job = no_luck
    job = post(on_end="note_end", on_failure="note_failure").json
    assert (job["on_end"], job["on_failure"]) == ("note_end", "note_failure")
    assert get(job["id"])["follow_ups"] == []
    worker.deliver()
    saved = get(job["id"])["follow_ups"]
    types = [(each["kind"], each["job_type"]) for each in saved]
    assert types == [("on_end", "note_end"), ("on_failure", "note_failure")]
    for each in saved:
        follow_up = get(each["id"])
        assert (follow_up["follow_up_of"], follow_up["status"]) == (job["id"], "succeeded")
        assert (follow_up["on_end"], follow_up["job_type"]) == (None, each["job_type"])
        assert follow_up["payload"]["job_id"] == job["id"]


def test_a_job_that_succeeded_shows_none_for_a_failure(worker: FakeLambda) -> None:
    job = post(on_failure="note_failure").json
    worker.deliver()
    assert get(job["id"])["follow_ups"] == []


def test_an_end_that_older_code_has_recorded_shows_none(worker: FakeLambda) -> None:
    """Older code leaves what the end before it has stored."""
    job = post(on_end="note_end").json
    worker.deliver()
    row = JobRequest.get(job["id"], consistent_read=True)
    row.update([JobRequest.finished_at.set((row.finished_at or 0) + 1)])
    assert get(job["id"])["follow_ups"] == []


def test_one_that_could_not_run_is_refused_with_its_field() -> None:
    refused = post(on_end="note_wish")
    assert (refused.status, refused.json["type"]) == (422, "urn:job-runners:invalid-follow-up")
    assert refused.json["errors"][0]["field"] == "on_end"
    assert "payload.wish" in refused.json["errors"][0]["why"]


def test_jobs_of_one_request_name_their_own(worker: FakeLambda) -> None:
    jobs = [{"job_type": "sample_once", "on_end": name} for name in ("note_end", "note_wish")]
    key = {"Idempotency-Key": "k"}
    refused = call("POST", "/jobs/bulk", body={"jobs": jobs}, headers=key)
    assert [each["field"] for each in refused.json["errors"]] == ["jobs.1.on_end"]
    accepted = call("POST", "/jobs/bulk", body={"jobs": jobs[:1]}, headers=key)
    worker.deliver()
    (job,) = accepted.json["jobs"]
    assert get(job["job"]["id"])["follow_ups"][0]["job_type"] == "note_end"


def test_the_same_key_with_another_follow_up_is_another_request() -> None:
    assert post(idempotency_key="k", on_end="note_end").status == 202
    assert post(idempotency_key="k", on_end="note_failure").status == 409
    assert post(idempotency_key="k", on_end="note_end").status == 202


def test_a_rerun_has_the_same_ones_if_the_code_has_them(
    worker: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = post(on_end="note_end", on_failure="note_failure").json
    worker.deliver()
    monkeypatch.delitem(registry().jobs, "note_failure")
    again = call("POST", f"/jobs/{job['id']}/rerun")
    assert again.status == 202, again.text
    assert (again.json["on_end"], again.json["on_failure"]) == ("note_end", None)


WEBHOOK = {"webhook": "https://hooks.example.com/secret-path", "secret": "acme/main"}


def test_a_webhook_is_named_and_shown_only_as_its_job_type(worker: FakeLambda) -> None:
    """Its URL may be a secret."""
    answer = post(on_end=WEBHOOK, on_failure="note_failure")
    assert answer.status == 202
    assert (answer.json["on_end"], answer.json["on_failure"]) == ("announce", "note_failure")
    assert "secret-path" not in call("GET", f"/jobs/{answer.json['id']}").text


def test_a_rerun_tells_the_same_webhook(worker: FakeLambda) -> None:
    job = post(on_end=WEBHOOK).json
    worker.deliver()
    copy = call("POST", f"/jobs/{job['id']}/rerun").json
    found = [JobRequest.get(each["id"], consistent_read=True).on_end for each in (job, copy)]
    assert found[0] == found[1]
    assert found[0]["webhook"] == {"url": WEBHOOK["webhook"], "secret": "acme/main"}


@pytest.mark.parametrize(
    ("webhook", "field"),
    [
        ({**WEBHOOK, "webhook": "http://hooks.example.com"}, "on_end.webhook"),
        ({**WEBHOOK, "webhook": "https://localhost/in"}, "on_end.webhook"),
        ({"webhook": "https://hooks.example.com"}, "on_end.secret"),
        ({**WEBHOOK, "secret": "other/main"}, "body"),
        ([WEBHOOK], "on_end"),
    ],
)
def test_a_webhook_that_could_not_be_told_is_refused(
    worker: FakeLambda, webhook: Any, field: str
) -> None:
    answer = post(on_end=webhook)
    assert (answer.status, answer.json["type"]) == (422, "urn:job-runners:invalid-request")
    assert [each["field"] for each in answer.json["errors"]] == [field]
