"""Error groups over HTTP: listed, opened, noted and resolved, each organization's own."""

from typing import Any

import pytest

from api_events import Answer, call
from fake_lambda import FakeLambda
from job_runners.engine.registry.registry import registry
from job_runners.settings import settings
from stale_reads import catch_up

ACME = {"organization_id": "acme"}


@pytest.fixture(autouse=True)
def failing(worker: FakeLambda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,failing_work")
    settings.cache_clear()  # and not the clients, whose calls the worker takes
    registry.cache_clear()


def fail(worker: FakeLambda, where: str = "here", organization_id: str = "acme") -> str:
    body = {"job_type": "failing", "payload": {"where": where}, "organization_id": organization_id}
    job_id: str = call("POST", "/jobs", body=body).json["id"]
    worker.deliver()
    return job_id


def failures(**query: str) -> list[dict[str, Any]]:
    catch_up()
    found: list[dict[str, Any]] = call("GET", "/error-groups", query=ACME | query).json[
        "error_groups"
    ]
    return found


def change(error_group_id: str, body: Any, **query: str) -> Answer:
    return call("PUT", f"/error-groups/{error_group_id}", body=body, query=ACME | query)


def test_the_failures_of_an_organization_are_listed(worker: FakeLambda) -> None:
    first, other = fail(worker), fail(worker, "kind")
    fail(worker, organization_id="other")
    catch_up()
    answer = call("GET", "/error-groups", query=ACME).json
    assert answer["complete"]
    of_kind, of_value = answer["error_groups"]  # most recently seen first
    assert of_kind["sample_job_id"] == other
    assert of_value["sample_job_id"] == first
    assert of_value == of_value | {
        "job_type": "failing",
        "error_kind": "ValueError",
        "frame": "failing_work:fail_here",
        "state": "new",
        "failures": 1,
        "first_build": "unknown",
        "note": None,
        "resolved_at": None,
        "regressed_at": None,
    }


def test_the_jobs_of_a_failure_are_listed_page_by_page(worker: FakeLambda) -> None:
    ids = [fail(worker), fail(worker, "read"), fail(worker)]
    group = next(each for each in failures() if each["error_kind"] == "ValueError")
    query = ACME | {"error_group": group["id"], "limit": "1"}
    first = call("GET", "/jobs", query=query).json
    second = call("GET", "/jobs", query=query | {"cursor": first["cursor"]}).json
    assert [each["id"] for each in first["jobs"] + second["jobs"]] == [ids[2], ids[0]]
    other = call("GET", "/jobs", query=query | {"organization_id": "other"})
    assert (other.status, other.json["type"]) == (404, "urn:job-runners:error-group-not-found")
    queued = call("GET", "/jobs", query=query | {"status": "queued"})
    assert (queued.status, queued.json["type"]) == (400, "urn:job-runners:invalid-query")


def test_a_failure_is_noted_and_resolved(worker: FakeLambda) -> None:
    fail(worker)
    (group,) = failures()
    noted = change(group["id"], {"note": "ask ada"}).json
    assert (noted["note"], noted["state"]) == ("ask ada", "new")
    resolved = change(group["id"], {"resolved": True}).json
    assert (resolved["note"], resolved["state"]) == ("ask ada", "resolved")
    assert resolved["resolved_by"].startswith("service:")
    assert failures() == [resolved]
    cleared = change(group["id"], {"note": ""}).json
    assert (cleared["note"], cleared["state"]) == (None, "resolved")
    again = change(group["id"], {"resolved": False, "note": None}).json
    assert (again["note"], again["state"], again["resolved_by"]) == (None, "new", None)


@pytest.mark.parametrize(
    ("error_group_id", "body", "status"),
    [
        (None, {}, 422),
        (None, {"resolved": "yes"}, 422),
        (None, {"note": "x" * 501}, 422),
        ("0" * 32, {"resolved": True}, 404),
    ],
)
def test_a_wrong_change_is_refused(
    worker: FakeLambda, error_group_id: str | None, body: Any, status: int
) -> None:
    fail(worker)
    (group,) = failures()
    assert change(error_group_id or group["id"], body).status == status
    assert failures() == [group]


def test_another_organization_cannot_change_a_failure(worker: FakeLambda) -> None:
    fail(worker)
    (group,) = failures()
    assert change(group["id"], {"resolved": True}, organization_id="other").status == 404
    assert failures() == [group]
