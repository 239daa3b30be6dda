"""The API's routes: what each takes, and what it answers."""

import os
import subprocess
import sys
from typing import Any

import pytest
from aws_lambda_powertools.utilities.data_classes.common import BaseProxyEvent

from api_events import Logged, call, request, send
from job_runners import clock
from job_runners.store import queries
from sample_work import script
from stale_reads import catch_up

pytestmark = pytest.mark.usefixtures("aws")

ID = "0123456789abcdef" * 2


@pytest.fixture(autouse=True)
def samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work")
    script.reset()


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Logged:
    return Logged(monkeypatch)


def accepted(**fields: Any) -> str:
    answer = call("POST", "/jobs", body={"job_type": "sample_once", **fields})
    assert answer.status == 202, answer.text
    job_id: str = answer.json["id"]
    return job_id


# --- what is dispatched ---------------------------------------------------------------------------


def test_a_job_is_accepted_with_the_place_to_ask_for_it() -> None:
    answer = call("POST", "/jobs", body={"job_type": "sample_once", "payload": {"number": 3}})
    assert answer.status == 202
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["location"] == f"/jobs/{answer.json['id']}"
    assert answer.headers["retry-after"] == "1"
    assert (answer.json["status"], answer.json["organization_id"]) == ("queued", "default")


def test_a_job_that_ran_is_read_with_payload_and_result() -> None:
    job = call("GET", f"/jobs/{accepted(payload={'number': 3})}")
    assert job.status == 200
    assert job.json["payload"] == {"number": 3}
    assert job.json["result"] == {"number": 1}
    assert (job.json["status"], job.json["progress"], job.json["notes"]) == ("succeeded", 100, [])


def test_a_task_is_sent() -> None:
    answer = call("POST", "/tasks", body={"task_name": "sample_note", "payload": {"text": "hé"}})
    assert answer.status == 202
    assert [each.text for each in script.tasks_run] == ["hé"]


def test_work_carries_the_id_of_the_request_that_asked_for_it() -> None:
    event = request("POST", "/jobs", body={"job_type": "sample_once"})
    row = queries.read(send(event).json["id"])
    assert row is not None
    assert row.request_id == event["requestContext"]["requestId"]


def test_the_body_is_parsed_by_us_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def parsed(event: BaseProxyEvent) -> None:
        raise AssertionError("the framework has parsed the body")

    monkeypatch.setattr(BaseProxyEvent, "json_body", property(parsed))
    monkeypatch.setattr(BaseProxyEvent, "decoded_body", property(parsed))
    assert accepted()
    assert call("POST", "/tasks", body={"task_name": "sample_note"}).status == 202


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/json; charset=utf-8"},
        {"CONTENT-TYPE": "application/x-www-form-urlencoded"},  # what `curl -d` says
        {"content-type": "text/plain"},
        {"x-other": "no content type"},
    ],
)
def test_json_is_taken_whatever_its_content_type(headers: dict[str, str]) -> None:
    assert call("POST", "/jobs", body={"job_type": "sample_once"}, headers=headers).status == 202


def test_a_body_in_base64_is_taken() -> None:
    assert call("POST", "/jobs", raw=b'{"job_type": "sample_once"}').status == 202


def test_a_byte_order_mark_before_the_body_is_no_part_of_it() -> None:
    assert call("POST", "/jobs", raw=b'\xef\xbb\xbf{"job_type": "sample_once"}').status == 202


# --- what is read ---------------------------------------------------------------------------------


def test_a_list_has_the_newest_first_and_a_cursor_to_the_rest() -> None:
    ids = [accepted(organization_id="o", payload={"number": n}) for n in range(5)]
    catch_up()
    first = call("GET", "/jobs", query={"organization_id": "o", "limit": "3"}).json
    rest = call(
        "GET", "/jobs", query={"organization_id": "o", "limit": "3", "cursor": first["cursor"]}
    ).json
    listed = [job["id"] for job in first["jobs"] + rest["jobs"]]
    assert sorted(listed) == sorted(ids)
    created = [job["created_at"] for job in first["jobs"] + rest["jobs"]]
    assert created == sorted(created, reverse=True)
    assert rest["cursor"] is None


def test_a_list_is_filtered_by_status_type_and_queue() -> None:
    script.job = lambda job, payload: 1 / payload.number
    failed = accepted(organization_id="o", payload={"number": 0}, queue_name="slow")
    done = accepted(organization_id="o", payload={"number": 1})
    other = call("POST", "/jobs", body={"job_type": "sample_again", "organization_id": "o"}).json

    def listed(**query: str) -> set[str]:
        catch_up()
        answer = call("GET", "/jobs", query={"organization_id": "o", **query})
        return {job["id"] for job in answer.json["jobs"]}

    assert listed() == {failed, done, other["id"]}
    assert listed(status="failed") == {failed}
    assert listed(status="succeeded", job_type="sample_once") == {done}
    assert listed(job_type="sample_again") == {other["id"]}
    assert listed(queue_name="slow") == {failed}
    assert listed(queue_name="none") == set()


def test_a_name_with_a_comma_and_one_with_an_umlaut_are_found() -> None:
    for name in ("a,b", "Mütter & Söhne"):
        job_id = accepted(organization_id=name)
        catch_up()
        jobs = call("GET", "/jobs", query={"organization_id": name}).json["jobs"]
        assert [job["id"] for job in jobs] == [job_id]


def test_job_types_tell_all_that_can_be_dispatched() -> None:
    answer = call("GET", "/job-types")
    assert answer.status == 200
    jobs = {job["name"]: job for job in answer.json["jobs"]}
    tasks = {task["name"]: task for task in answer.json["tasks"]}
    assert {"post_webhook", "sample_again", "sample_once"} <= jobs.keys()
    assert jobs["sample_once"]["description"] == "Do work that never runs twice."
    assert jobs["sample_once"]["retry"] is None
    assert jobs["sample_again"]["retry"] == {
        "max_attempts": 3,
        "base": 2,
        "cap": 60,
        "interrupted": True,
    }
    assert jobs["sample_once"]["payload_schema"]["properties"]["number"]["maximum"] == 1000
    assert tasks["sample_note_again"]["retry"]["max_attempts"] == 3
    assert "\n" not in jobs["post_webhook"]["description"]


def test_health_answers_without_any_store() -> None:
    assert call("GET", "/health").json == {"status": "ok"}


# --- paths and methods ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/tasks", "POST"),
        ("PUT", "/jobs", "GET, POST"),
        ("PUT", f"/jobs/{ID}", "DELETE, GET"),
        ("GET", f"/jobs/{ID}/cancel", "POST"),
        ("GET", f"/jobs/{ID}/retry", "POST"),
        ("POST", "/paused", "GET"),
        ("GET", "/paused/queue/default", "DELETE, PUT"),
        ("POST", "/health", "GET"),
        ("OPTIONS", "/jobs", "GET, POST"),
        ("HEAD", "/job-types", "GET"),
    ],
)
def test_a_method_that_a_path_does_not_take_is_refused(
    method: str, path: str, allowed: str
) -> None:
    answer = call(method, path, body={"job_type": "sample_once"})
    assert answer.status == 405
    assert answer.headers["allow"] == allowed
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/job", "/jobs/", f"/jobs/{ID}/x", "/jobs/a/b", "/é", "/%00"])
def test_a_path_that_leads_nowhere_is_not_found(path: str) -> None:
    answer = call("GET", path)
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["type"] == "urn:job-runners:path-not-found"


@pytest.mark.parametrize("prefixed", [True, False])
def test_a_named_stage_is_no_part_of_the_path(prefixed: bool) -> None:
    prefix = "/production" if prefixed else ""  # without: a domain of its own maps the stage
    event = request("POST", f"{prefix}/jobs", body={"job_type": "sample_once"}, stage="production")
    answer = send(event)
    assert answer.status == 202
    assert answer.headers["location"] == f"{prefix}/jobs/{answer.json['id']}"
    location = request("GET", answer.headers["location"], stage="production")
    assert send(location).json["id"] == answer.json["id"]


def test_a_percent_encoded_path_is_the_same_path() -> None:
    job_id = accepted()
    encoded = "".join(f"%{ord(each):02x}" for each in job_id)
    assert call("GET", f"/%6Aobs/{encoded}").json["id"] == job_id


# --- what the operator sees -----------------------------------------------------------------------


def test_each_request_leaves_one_line_with_no_data_of_the_caller(logged: Logged) -> None:
    secret = "s3cret"
    sent = [
        request("POST", "/jobs", body={"job_type": "sample_once", "payload": {"text": secret}}),
        request("POST", "/jobs", body={"job_type": secret, "payload": {secret: secret}}),
        request("GET", "/jobs", query={"organization_id": secret, "queue_name": secret}),
        request("GET", f"/jobs/{secret}"),
        request("DELETE", f"/jobs/{secret}"),
        request("POST", f"/jobs/{secret}/cancel"),
        request("PUT", "/paused/queue/default"),
        request("GET", f"/{secret}"),
    ]
    for event in sent:
        send(event)
    lines = logged.lines("answered")
    assert [(line["method"], line["route"], line["status"]) for line in lines] == [
        ("POST", "/jobs", 202),
        ("POST", "/jobs", 422),
        ("GET", "/jobs", 200),
        ("GET", "/jobs/{job_id}", 404),
        ("DELETE", "/jobs/{job_id}", 404),
        ("POST", "/jobs/{job_id}/cancel", 404),
        ("PUT", "/paused/{kind}/{name}", 200),
        ("GET", "none", 404),
    ]
    assert [line["request_id"] for line in lines] == [
        event["requestContext"]["requestId"] for event in sent
    ]
    assert all(line["ms"] >= 0 for line in lines)
    assert secret not in logged.text


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("JOB_RUNNER", "nope", "JOB_RUNNER='nope' is not a runner"),
        ("JOBS_TABLE_NAME", "", "JOBS_TABLE_NAME is not set"),
    ],
)
def test_a_function_that_can_not_work_says_so_at_its_start(
    variable: str, value: str, complaint: str
) -> None:
    started = subprocess.run(
        [sys.executable, "-c", "import job_runners.handlers.api"],
        env={**os.environ, variable: value},
        capture_output=True,
        text=True,
        check=False,
    )
    assert started.returncode != 0
    assert complaint in started.stderr.splitlines()[-1]


def test_an_expired_job_is_gone_for_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = accepted()
    much_later = clock.now() + 31 * clock.DAY
    monkeypatch.setattr(clock, "now", lambda: much_later)
    assert call("GET", f"/jobs/{job_id}").status == 404
