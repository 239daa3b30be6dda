"""Internal jobs, whose payloads are trusted: no caller and no other job dispatches one."""

import json
from collections.abc import Callable
from typing import Any

import pytest

import follow_up_sample
from api_events import Answer, call
from fake_lambda import FakeLambda
from job_runners import clock, errors, runners
from job_runners.aws import bucket
from job_runners.engine.job_data import JobData
from job_runners.engine.registry.registry import registry
from job_runners.engine.schedules.schedules import definition_of
from job_runners.engine.tick import timer
from job_runners.settings import settings
from job_runners.shipped.jobs import outputs, post_webhook
from job_runners.shipped.webhooks.pinned_https import ResponseHead as Posted
from job_runners.store import blobs, schedules
from job_runners.store.job_request import JobRequest
from job_runners.testing import moto_direct
from job_runners.work import Job, Member, Recurring
from job_runners.work.definitions import InternalJob
from sample_work import once, script

OURS = {"sub": "olga", "roles": "operator", "organization_id": "acme"}
KEY = {"content-type": "application/json", "Idempotency-Key": "k"}
SAMPLE = {"job_type": "sample_once", "payload": {"number": 1}}
FILE = "uploads/acme/members.jsonl"
WEBHOOK = {"url": "https://hooks.example.com/jobs", "secret": "acme/main"}

END = {
    "job_id": "f" * 32,
    "job_type": "payroll",
    "status": "succeeded",
    "error": None,
    "attempts": 1,
    "created_at": "2026-05-04T09:30:00.000Z",
    "started_at": None,
    "finished_at": "2026-05-04T09:31:00.000Z",
    "organization_id": "beta",
}
PAYLOADS: dict[str, dict[str, Any]] = {
    "announce": END,
    "batch": {"total": 1, "members": [SAMPLE]},
    "deliver_webhook": {"webhook": "crm", "body": {"type": "job.succeeded", "data": END}},
}


@pytest.fixture(autouse=True)
def _app(worker: FakeLambda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,follow_up_sample")
    monkeypatch.setenv("ACCESS_MODE", "jwt")
    settings.cache_clear()  # and not the clients, whose calls the worker takes
    registry.cache_clear()


def ask(method: str, path: str, body: Any = None, **parts: Any) -> Answer:
    return call(method, path, body=body, claims=OURS, **parts)


def rows(**fields: Any) -> list[dict[str, Any]]:
    found = moto_direct.rows("jobs")
    return [row for row in found if all(row.get(name) == each for name, each in fields.items())]


def in_file(job: Any) -> Answer:
    bucket.put_bytes(FILE, json.dumps(job).encode())
    return ask("POST", "/batches", {"members_file": FILE}, headers=KEY)


def batch(**body: Any) -> Answer:
    return ask("POST", "/batches", body, headers=KEY)


DOORS: dict[str, Callable[[Any], Answer]] = {
    "job": lambda job: ask("POST", "/jobs", job),
    "later": lambda job: ask("POST", "/jobs", job | {"delay": 60}),
    "bulk": lambda job: ask("POST", "/jobs/bulk", {"jobs": [SAMPLE, job]}, headers=KEY),
    "member": lambda job: batch(members=[SAMPLE, job]),
    "line of a file": in_file,
    "then": lambda job: batch(members=[SAMPLE], then=job),
    "schedule": lambda job: ask("PUT", "/schedules/nightly", job | {"every": 3600}),
    "on_end": lambda job: ask("POST", "/jobs", SAMPLE | {"on_end": job["job_type"]}),
    "on_failure": lambda job: ask("POST", "/jobs", SAMPLE | {"on_failure": job["job_type"]}),
}


def test_these_types_are_internal() -> None:
    found = {name for name, job in registry().jobs.items() if isinstance(job, InternalJob)}
    assert found == PAYLOADS.keys()
    listed = {each["name"]: each["internal"] for each in ask("GET", "/job-types").json["jobs"]}
    assert {name for name, internal in listed.items() if internal} == found


@pytest.mark.parametrize("job_type", PAYLOADS)
@pytest.mark.parametrize("door", DOORS)
def test_an_operator_dispatches_none_by_any_door(
    worker: FakeLambda, job_type: str, door: str
) -> None:
    refused = DOORS[door]({"job_type": job_type, "payload": PAYLOADS[job_type]})
    assert refused.status == 422
    assert f"The job type '{job_type}' is internal" in refused.text
    assert rows() == worker.events == []


@pytest.mark.parametrize("job_type", PAYLOADS)
def test_a_service_and_a_program_are_refused_too(worker: FakeLambda, job_type: str) -> None:
    job: Any = {"job_type": job_type, "payload": PAYLOADS[job_type]}
    refused = call("POST", "/jobs", body=job, claims={"roles": "service", "sub": "s"})
    assert (refused.status, refused.json["type"]) == (422, "urn:job-runners:unknown-job-type")
    with pytest.raises(errors.InternalJobType):
        runners.get_job_runner().dispatch_job(JobData(**job))
    assert rows() == worker.events == []


@pytest.mark.parametrize("job_type", PAYLOADS)
@pytest.mark.parametrize("way", ["dispatch", "dispatch_many", "gather"])
def test_a_job_dispatches_none_that_is_not_its_own(
    worker: FakeLambda, job_type: str, way: str
) -> None:
    """A job may take the type of its children from its own payload."""
    payload = PAYLOADS[job_type]

    def parent(job: Any, _: Any) -> None:
        if way == "dispatch":
            job.dispatch(job_type, payload, key="a")
        elif way == "dispatch_many":
            job.dispatch_many(job_type, [("a", payload)])
        else:
            job.gather("group", [Member(job_type, payload)])

    script.job = parent
    answer = ask("POST", "/jobs", SAMPLE)
    worker.deliver()
    found = ask("GET", f"/jobs/{answer.json['id']}").json
    assert (found["status"], found["error"]["kind"]) == ("failed", "InternalJobType")
    assert len(rows()) == 1


def test_a_schedule_that_the_table_has_starts_none(worker: FakeLambda) -> None:
    recurring = Recurring("announce", every=3600, organization_id="acme", payload=END)
    assert ask("PUT", "/schedules/nightly", SAMPLE | {"every": 3600}).status == 201
    now, before = clock.now(), schedules.read("acme", "nightly")
    definition = definition_of(recurring)
    schedules.put(
        before, "acme", "nightly", definition, origin="api", next_at=now, since=now, by=None
    )
    assert ask("POST", "/schedules/nightly/run").status == 422
    send = runners.sender()
    assert send is not None
    timer.tick(send, until=clock.now() + clock.MINUTE)
    assert "is internal" in ask("GET", "/schedules/nightly").text
    assert rows() == worker.events == []


def test_the_code_declares_none(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = {
        "nightly": Recurring("batch", every=3600, organization_id="acme", payload=PAYLOADS["batch"])
    }
    with monkeypatch.context() as patch:
        patch.setattr(follow_up_sample, "RECURRING", declared, raising=False)
        registry.cache_clear()
        with pytest.raises(errors.InvalidDefinition, match="is internal"):
            registry().resolve_all()
    monkeypatch.setitem(follow_up_sample.JOBS, "told", Job(once, on_end="announce"))
    registry.cache_clear()
    with pytest.raises(errors.InvalidDefinition, match="is internal"):
        registry().resolve_all()


# --- what has ended -------------------------------------------------------------------------------


def no_luck(*_: Any) -> None:
    raise errors.DoNotRetry("no luck")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the events on the stack's bus."""
    found: list[Any] = []
    monkeypatch.setenv("EVENT_BUS_NAME", "outcomes")
    settings.cache_clear()
    monkeypatch.setattr(outputs, "put_event", lambda _, event: found.append(event))
    return found


def run_sample(worker: FakeLambda) -> str:
    job_id: str = ask("POST", "/jobs", SAMPLE).json["id"]
    worker.deliver()
    return job_id


def failed_announcement(worker: FakeLambda, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Return the ids of a job and of its announcement, which has failed."""
    with monkeypatch.context() as patch:
        patch.setattr(outputs, "put_event", no_luck)
        job_id = run_sample(worker)
    (row,) = rows(job_type="announce")
    assert row["status"] == "failed"
    return job_id, row["id"]


def test_an_operator_retries_an_announcement_that_failed(
    worker: FakeLambda, told: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, announcement = failed_announcement(worker, monkeypatch)
    assert ask("POST", f"/jobs/{announcement}/retry").status == 202
    worker.deliver()
    ((event_id, data),) = [(event["id"], event["data"]) for event in told]
    assert event_id == announcement
    assert (data["job_id"], data["organization_id"]) == (job_id, "acme")


@pytest.mark.parametrize("action", ["retry", "rerun"])
def test_it_is_not_retried_with_another_payload_and_not_rerun(
    worker: FakeLambda, told: list[Any], monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    _, announcement = failed_announcement(worker, monkeypatch)
    body = {"payload": END} if action == "retry" else None
    refused = ask("POST", f"/jobs/{announcement}/{action}", body)
    assert refused.status == 422
    assert "retry it without a payload" in refused.json["detail"]
    worker.deliver()
    assert (told, len(rows())) == ([], 2)


def queued_announcement(worker: FakeLambda, announcement: str) -> JobRequest:
    """Return the row of a failed announcement, which is queued again."""
    assert ask("POST", f"/jobs/{announcement}/retry").status == 202
    return JobRequest.get(announcement, consistent_read=True)


def test_an_announcement_names_what_its_own_row_names(
    worker: FakeLambda, told: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if another organization's job got into its payload in an unknown way."""
    job_id, announcement = failed_announcement(worker, monkeypatch)
    row = queued_announcement(worker, announcement)
    forged = blobs.compressed(blobs.compact_json(END))
    row.update([JobRequest.payload.set(forged)])
    worker.deliver()
    (data,) = [event["data"] for event in told]
    named = [data[name] for name in ("organization_id", "job_id")]
    assert named == ["acme", job_id]


def test_an_announcement_that_follows_up_no_job_announces_nothing(
    worker: FakeLambda, told: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, announcement = failed_announcement(worker, monkeypatch)
    queued_announcement(worker, announcement).update([JobRequest.follow_up_of.remove()])
    worker.deliver()
    found = ask("GET", f"/jobs/{announcement}").json
    assert (found["status"], found["error"]["kind"], told) == ("failed", "DoNotRetry", [])


@pytest.fixture
def _subscribed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_SUBSCRIPTIONS", "true")
    settings.cache_clear()
    assert ask("PUT", "/webhooks/crm", WEBHOOK).status == 201


@pytest.mark.usefixtures("_subscribed")
def test_an_operator_retries_a_delivery_that_failed(
    worker: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(post_webhook, "post_event", lambda *_: Posted(410, None))
        job_id = run_sample(worker)
    (delivery,) = rows(job_type="deliver_webhook")
    assert delivery["status"] == "failed"
    posted: list[Any] = []

    def post(sent: Any, _: str) -> Posted:
        posted.append(sent.body["data"]["job_id"])
        return Posted(200, None)

    monkeypatch.setattr(post_webhook, "post_event", post)
    assert ask("POST", f"/jobs/{delivery['id']}/rerun").status == 422
    assert ask("POST", f"/jobs/{delivery['id']}/retry").status == 202
    worker.deliver()
    assert posted == [job_id]
    assert len(rows(job_type="deliver_webhook", status="succeeded")) == 1


@pytest.mark.usefixtures("_subscribed")
def test_a_delivery_about_another_organization_is_not_made(
    worker: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if the event got into its payload in an unknown way."""
    posted: list[Any] = []
    monkeypatch.setattr(post_webhook, "post_event", lambda *given: posted.append(given))
    delivery = ask("POST", "/webhooks/crm/test").json["id"]
    forged = blobs.compressed(blobs.compact_json(PAYLOADS["deliver_webhook"]))
    JobRequest(id=delivery).update([JobRequest.payload.set(forged)])
    worker.deliver()
    found = ask("GET", f"/jobs/{delivery}").json
    assert (found["status"], found["error"]["kind"], posted) == ("failed", "DoNotRetry", [])
