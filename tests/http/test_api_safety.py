"""What the API takes from nobody, and what no answer is without."""

from typing import Any

import pytest

from api_events import call, request, send
from every_route import EVERY_ROUTE, Entry
from job_runners.settings import forget
from job_runners.store.job_request import JobRequest
from job_runners.store.pauses import Pause
from job_runners.testing.plain_clients import every_row
from sample_work import script

pytestmark = pytest.mark.usefixtures("aws")

# Of each kind: C1, where CSI starts a terminal's commands; bidirectional; a line of its own.
STEERING = ["\x85", "\x9b", "\u061c", "\u200f", "\u202e", "\u2066", "\u2028", "\x7f"]


@pytest.fixture(autouse=True)
def work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work")
    monkeypatch.setenv("JOBS_SAME_PROCESS", "false")
    forget()
    script.reset()


# --- an event that nobody has verified ------------------------------------------------------------


@pytest.mark.parametrize("authorizer", [None, {}, {"iam": None}, {"iam": {}}, {"lambda": {"a": 1}}])
@pytest.mark.parametrize("entry", [each for each in EVERY_ROUTE.values() if each.least], ids=str)
def test_a_request_that_no_authorizer_has_let_in_is_refused(
    entry: Entry, authorizer: dict[str, Any] | None
) -> None:
    method, path, parts = entry.takes.parts(ours="0" * 32, theirs="f" * 32)
    event = request(method, path, **parts)
    event["requestContext"]["authorizer"] = authorizer
    if authorizer is None:
        del event["requestContext"]["authorizer"]
    answer = send(event)
    assert answer.status == 403, answer.text
    assert "AWS_IAM" in answer.json["detail"]
    assert every_row(JobRequest) == []
    assert script.tasks_run == []


def test_under_sam_local_which_has_no_authorizer_it_is_a_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_SAM_LOCAL", "true")
    forget()
    event = request("POST", "/jobs", body={"job_type": "sample_once"})
    del event["requestContext"]["authorizer"]
    assert send(event).status == 202
    token = {"roles": "service", "organization_id": "ours"}
    assert call("GET", "/job-types", claims=token).status == 403


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("character", STEERING, ids=ascii)
def test_no_name_has_a_character_that_steers_a_terminal_or_turns_text_around(
    character: str,
) -> None:
    name = f"spring{character}2026"
    for field in ("organization_id", "queue_name", "idempotency_key"):
        body = {"job_type": "sample_once", field: name}
        answer = call("POST", "/jobs", body=body)
        assert answer.status == 422, (field, answer.text)
    assert call("PUT", f"/paused/queue/{name}").status == 422
    assert every_row(JobRequest) == []
    assert every_row(Pause) == []


@pytest.mark.parametrize("character", STEERING, ids=ascii)
def test_no_token_speaks_for_an_organisation_of_such_a_name(
    character: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCESS_MODE", "jwt")
    forget()
    claims = {"roles": "operator", "organization_id": f"ours{character}"}
    assert call("GET", "/jobs", claims=claims).status == 403


@pytest.mark.parametrize("name", ["Zürich Süd", "a b", "50%", "a%41", "日本", "a&b=c;d?e"])
def test_any_other_name_is_one_and_its_path_is_decoded_once(name: str) -> None:
    assert call("POST", "/jobs", body={"job_type": "sample_once", "queue_name": name}).status == 202
    event = request("PUT", "/paused/queue/x")
    event["rawPath"] = f"/paused/queue/{name}"  # as API Gateway has decoded it
    answer = send(event)
    assert (answer.status, answer.json["name"]) == (200, name)


def test_the_percent_sign_that_the_local_aws_leaves_encoded_is_decoded() -> None:
    event = request("PUT", "/paused/queue/x")
    event["rawPath"] = "/paused/queue/a%2541"
    assert send(event).json["name"] == "a%41"


# --- the key of a request -------------------------------------------------------------------------


def test_a_key_is_the_same_in_the_header_and_in_the_body() -> None:
    body = {"job_type": "sample_once"}
    first = call("POST", "/jobs", body=body, headers={"idempotency-key": '"may"'})
    second = call("POST", "/jobs", body={**body, "idempotency_key": '"may"'})
    assert [each.status for each in (first, second)] == [202, 202]
    assert first.json["id"] == second.json["id"]
    assert second.headers["idempotent-replayed"] == "true"


# --- every answer ---------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", EVERY_ROUTE.values(), ids=str)
def test_no_answer_lets_a_browser_guess_what_it_is(entry: Entry) -> None:
    method, path, parts = entry.takes.parts(ours="0" * 32, theirs="f" * 32)
    answers = [
        call(method, path, **parts),
        call("PATCH", path),
        call("GET", "/nothing/there"),
        call("POST", "/jobs", raw="{"),
    ]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_documents_small_print_is_true() -> None:
    paths = call("GET", "/openapi.json").json["paths"]
    resumed = paths["/paused/{kind}/{name}"]["delete"]["responses"]["422"]
    assert "unknown-job-type" not in str(resumed)
    assert call("DELETE", "/paused/job_type/nosuch").status == 204
