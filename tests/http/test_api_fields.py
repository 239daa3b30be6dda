"""Bodies that are JSON, but not what their route takes; and any bytes at all."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from api_events import call
from refused_bodies import PATHS, kept, refused
from sample_work import script

pytestmark = pytest.mark.usefixtures("aws")


@pytest.fixture(autouse=True)
def samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work")
    script.reset()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "job_type"),
        ({"job_type": 1}, "job_type"),
        ({"job_type": ""}, "job_type"),
        ({"job_type": "x" * 129}, "job_type"),
        ({"job_type": "sample_once", "payload": []}, "payload"),
        ({"job_type": "sample_once", "payload": None}, "payload"),
        ({"job_type": "sample_once", "organization_id": None}, "organization_id"),
        ({"job_type": "sample_once", "organization_id": ["o"]}, "organization_id"),
        ({"job_type": "sample_once", "organization_id": "a#b"}, "organization_id"),
        ({"job_type": "sample_once", "organization_id": ".."}, "organization_id"),
        ({"job_type": "sample_once", "queue_name": "a\nb"}, "queue_name"),
        ({"job_type": "sample_once", "jobtype": "sample_once"}, "jobtype"),
    ],
)
def test_a_job_with_wrong_fields(fields: dict[str, Any], field: str) -> None:
    answer = call("POST", "/jobs", body=fields)
    refused(answer, 422, field)
    assert [each["field"] for each in answer.json["errors"]] == [field]
    assert all(each["why"] for each in answer.json["errors"])


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"payload": {}}, "task_name"),
        ({"task_name": {"a": 1}}, "task_name"),
        ({"task_name": "sample_note", "payload": "text"}, "payload"),
        ({"task_name": "sample_note", "organization_id": "o"}, "organization_id"),
    ],
)
def test_a_task_with_wrong_fields(fields: dict[str, Any], field: str) -> None:
    answer = call("POST", "/tasks", body=fields)
    refused(answer, 422, field)
    assert [each["field"] for each in answer.json["errors"]] == [field]


def test_a_payload_with_wrong_fields_is_refused_field_by_field() -> None:
    payload = {"number": "s3cret", "text": 5, "other": 1}
    names = ({"job_type": "sample_once"}, {"task_name": "sample_note"})
    for path, name in zip(PATHS, names, strict=True):
        answer = call("POST", path, body={**name, "payload": payload})
        refused(answer, 422, "payload.number")
        fields = {each["field"] for each in answer.json["errors"]}
        assert fields == {"payload.number", "payload.text", "payload.other"}
        assert "s3cret" not in answer.text


def test_an_unknown_name_is_answered_with_the_nearest_one() -> None:
    answer = call("POST", "/jobs", body={"job_type": "sample_onec"})
    refused(answer, 422, "Did you mean 'sample_once'?")
    assert answer.json["type"] == "urn:job-runners:unknown-job-type"
    answer = call("POST", "/tasks", body={"task_name": "sample_not"})
    refused(answer, 422, "Did you mean 'sample_note'?")


def test_an_answer_does_not_grow_with_what_is_wrong() -> None:
    bodies: list[tuple[dict[str, Any], str]] = [
        ({"x" * 2_000_000: 1}, "job_type"),
        ({f"field-{n}": 1 for n in range(900)}, "job_type"),
        ({f"field-{n}": 1 for n in range(100_000)}, "values are wrong, too many to list"),
        ({"job_type": "x" * 1_000_000, "task_name": "x" * 1_000_000}, "at most 128 characters"),
    ]
    for body, detail in bodies:
        for path in PATHS:
            answer = call("POST", path, body=body)
            refused(answer, 422, detail if path == "/jobs" else "")
            assert len(answer.text) < 30_000


# --- anything at all ------------------------------------------------------------------------------

names = st.sampled_from(["sample_once", "sample_note", "sample_again", "nope"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
bodies = st.fixed_dictionaries(
    {"job_type": names | json_values, "payload": json_values},
    optional={"organization_id": json_values, "task_name": names, "queue_name": json_values},
)
raw_bodies = (
    st.binary(max_size=200)
    | st.text(max_size=200).map(lambda text: text.encode(errors="surrogatepass"))
    | (bodies | json_values).map(lambda value: json.dumps(value).encode())
    | bodies.map(lambda value: json.dumps(value).encode()[1:-2])
)


@given(path=st.sampled_from(PATHS), raw=raw_bodies)
@hypothesis_settings(
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_bytes_break_the_api_and_what_is_refused_leaves_nothing(path: str, raw: bytes) -> None:
    before = kept()
    answer = call("POST", path, raw=raw)
    assert answer.status in {202, 400, 415, 422}, answer.text
    if answer.status != 202:
        assert answer.headers["content-type"] == "application/problem+json"
        assert kept() == before


@given(name=names, payload=st.dictionaries(st.text(max_size=5), json_values, max_size=3))
@hypothesis_settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_accepted_comes_back_as_it_was_sent(name: str, payload: dict[str, Any]) -> None:
    sent = {"number": len(payload), "text": json.dumps(payload, allow_nan=True)}
    answer = call("POST", "/jobs", body={"job_type": name, "payload": sent})
    if name.startswith("sample_") and name != "sample_note":
        assert call("GET", answer.headers["location"]).json["payload"] == sent
    else:
        assert answer.status == 422
