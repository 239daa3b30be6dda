"""The job that was dispatched under an idempotency key, found by it."""

from typing import Any

import pytest

import moto_items
from api_events import Answer, call
from api_rows import saved
from job_runners.aws import clients
from job_runners.engine.registry.registry import registry
from job_runners.settings import settings

pytestmark = pytest.mark.usefixtures("worker")


def dispatched(key: str, organization_id: str = "acme") -> str:
    body = {
        "job_type": "sample_once",
        "organization_id": organization_id,
        "idempotency_key": key,
    }
    answer = call("POST", "/jobs", body=body)
    assert answer.status == 202, answer.text
    return str(answer.json["id"])


def found(key: str, **query: str) -> Answer:
    return call("GET", "/jobs", query={"organization_id": "acme", "idempotency_key": key, **query})


@pytest.mark.parametrize("key", ["order-17", 'a "b"', "naïve & co=1+1", "\u00a0" * 255])
def test_a_job_is_found_by_the_key_it_was_dispatched_under(key: str) -> None:
    job_id = dispatched(key)
    saved()
    answer = found(key)
    assert answer.status == 200, answer.text
    assert [each["id"] for each in answer.json["jobs"]] == [job_id]
    assert answer.json["cursor"] is None


def test_it_costs_one_consistent_read_and_another_where_no_job_has_the_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dispatched("k")
    read: list[dict[str, Any]] = []
    clients.client("dynamodb").meta.events.register(
        "provide-client-params.dynamodb.*",
        lambda params, model, **_: read.append({"operation": model.name, **params}),
    )
    found("k")
    assert [each["operation"] for each in read] == ["GetItem"]
    found("unknown")
    assert [each["operation"] for each in read] == ["GetItem"] * 2
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,unique_sample")
    settings.cache_clear()  # and not the clients, whose calls are recorded
    registry.cache_clear()
    found("unknown")  # it may have been answered with the job of another request
    assert [each["operation"] for each in read] == ["GetItem"] * 4
    assert all(each["ConsistentRead"] for each in read)


def test_a_key_that_was_not_used_or_whose_job_is_gone_finds_nothing() -> None:
    moto_items.delete("jobs", {"id": {"S": dispatched("gone")}})
    for key in ("gone", "never used"):
        assert found(key).status == 200
        assert found(key).json == {"jobs": [], "cursor": None}


def test_a_key_finds_no_job_of_another_organisation() -> None:
    dispatched("k", organization_id="theirs")
    assert found("k").json["jobs"] == []
    assert call("GET", "/jobs", query="idempotency_key=k").status == 400  # no organisation named


@pytest.mark.parametrize(
    "other",
    [
        {"status": "failed"},
        {"job_type": "sample_once"},
        {"queue_name": "default"},
        {"search": "a"},
        {"limit": "5"},
        {"cursor": "abc"},
    ],
)
def test_a_key_stands_alone(other: dict[str, str]) -> None:
    answer = found("k", **other)
    assert answer.status == 400
    assert answer.json["type"] == "urn:job-runners:invalid-query"
    assert f"{next(iter(other))} can't be combined with idempotency_key" in answer.json["detail"]


@pytest.mark.parametrize("key", ["", "k" * 256, "a\nb", "\u202eabc"])
def test_what_can_be_no_key_is_refused(key: str) -> None:
    answer = found(key)
    assert answer.status == 400
    assert "idempotency_key must be 1 to 255" in answer.json["detail"]
