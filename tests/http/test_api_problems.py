"""Errors as callers and operators see them, when something other than the body is wrong."""

import base64
import io
import json
import sys
from types import ModuleType
from typing import Any

import pytest
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError

from api_events import Answer, Logged, call, request, send
from api_worker import send_to_lambda
from fake_lambda import FakeLambda
from job_runners.aws import clients
from job_runners.runners import legacy
from job_runners.store import queries
from job_runners.testing import moto_direct
from job_runners.testing.aws import forget
from sample_work import script

pytestmark = pytest.mark.usefixtures("aws")

JOB = {"job_type": "sample_once", "organization_id": "acme"}
TASK = {"task_name": "sample_note"}


@pytest.fixture(autouse=True)
def samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work")
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # botocore's, between its tries
    script.reset()


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Logged:
    return Logged(monkeypatch)


@pytest.fixture
def broken_lambda(monkeypatch: pytest.MonkeyPatch) -> FakeLambda:
    """Return a worker that can't be invoked."""
    send_to_lambda(monkeypatch)
    fake = FakeLambda()
    fake.refuse = 403
    return fake


def problem(answer: Answer, status: int, slug: str) -> Any:
    assert answer.status == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json["type"] == f"urn:job-runners:{slug}"
    assert answer.json["status"] == status
    assert answer.json.keys() >= {"type", "title", "status", "detail", "request_id"}
    assert "Traceback" not in answer.text
    return answer.json


@pytest.mark.parametrize(
    ("asked", "slug", "command", "route"),
    [
        (("POST", "/jobs", {"job_type": "zzz"}), "unknown-job-type", "types", "/job-types"),
        (("GET", "/queues/zzz", None), "queue-not-found", "queues", "/queues"),
        (("GET", "/schedules/zzz", None), "schedule-not-found", "schedules", "/schedules"),
    ],
)
def test_a_name_that_is_not_there_says_where_all_are_to_command_and_caller(
    monkeypatch: pytest.MonkeyPatch,
    asked: tuple[str, str, Any],
    slug: str,
    command: str,
    route: str,
) -> None:
    monkeypatch.setenv("ACCESS_MODE", "jwt")  # who signs may ask for a queue of any name
    method, path, body = asked
    claims = {"sub": "u", "roles": "operator", "organization_id": "acme"}
    answer = call(method, path, body=body, claims=claims)
    said = problem(answer, 422 if body else 404, slug)["detail"]
    assert said.endswith(f" with `job-runners {command}` or GET {route}.")


def rows() -> int:
    return len(moto_direct.rows("jobs"))


# --- the runner -----------------------------------------------------------------------------------


def test_a_task_that_did_not_leave_is_503_and_held_by_nothing(
    broken_lambda: FakeLambda, logged: Logged
) -> None:
    event = request("POST", "/tasks", body=TASK)
    answer = send(event)
    refusal = problem(answer, 503, "not-sent")
    assert answer.headers["retry-after"] == "5"
    assert "Send it again" in refusal["detail"]
    assert "arn:aws" not in answer.text
    [line] = logged.lines("went wrong")
    assert line["request_id"] == refusal["request_id"] == event["requestContext"]["requestId"]
    assert "SendFailed" in line["exception"]


def test_a_job_that_could_not_be_sent_is_accepted_and_stays_due(
    broken_lambda: FakeLambda, logged: Logged
) -> None:
    event = request("POST", "/jobs", body=JOB)
    answer = send(event)
    assert answer.status == 202
    row = queries.read(answer.json["id"])
    assert row is not None
    assert row.due_at is not None
    [line] = logged.lines("not sent, stays due")
    assert line["request_id"] == event["requestContext"]["requestId"]


def test_a_job_that_the_runner_can_not_send_again_is_refused_before_it_is_saved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = ModuleType("acme.runner")
    for export in ("fully_configured", "dispatch_job", "dispatch_task"):
        setattr(module, export, getattr(legacy, export))
    monkeypatch.setitem(sys.modules, "acme", ModuleType("acme"))
    monkeypatch.setitem(sys.modules, "acme.runner", module)
    monkeypatch.setenv("JOB_RUNNER", "acme.runner")
    forget()
    answer = call("POST", "/jobs", body={"job_type": "sample_again"})
    assert "retry" in problem(answer, 409, "runner-cannot-resend")["detail"]
    assert rows() == 0
    assert call("POST", "/jobs", body={"job_type": "sample_once"}).status == 202


# --- AWS ------------------------------------------------------------------------------------------


class FailingDynamoDB:
    """Answers every request with an error of DynamoDB's, or with none at all."""

    def __init__(self, failure: tuple[int, str] | Exception) -> None:
        self._failure = failure
        clients.client("dynamodb").meta.events.register_first("before-send.dynamodb", self._fail)

    def _fail(self, request: AWSRequest, **_: Any) -> AWSResponse:
        if isinstance(self._failure, Exception):
            raise self._failure
        status, code = self._failure
        body = json.dumps({"__type": f"com.amazonaws#{code}", "message": "on table jobs"}).encode()
        raw = io.BytesIO(body)
        raw.stream = lambda **_: iter([body])  # type: ignore[attr-defined]
        return AWSResponse(str(request.url), status, HTTPHeaders(), raw)


REQUESTS = [
    ("POST", "/jobs", {"body": JOB}),
    ("GET", "/jobs/" + "0" * 32, {}),
    ("GET", "/jobs", {"query": "organization_id=acme"}),
]


@pytest.mark.parametrize(("method", "path", "parts"), REQUESTS)
@pytest.mark.parametrize(
    "failure",
    [
        (400, "ProvisionedThroughputExceededException"),
        (400, "ThrottlingException"),
        (500, "InternalServerError"),
        (503, "ServiceUnavailable"),
        EndpointConnectionError(endpoint_url="https://dynamodb.test"),
        ConnectTimeoutError(endpoint_url="https://dynamodb.test"),
    ],
    ids=str,
)
def test_aws_out_of_order_is_503(
    method: str, path: str, parts: Any, failure: Any, logged: Logged
) -> None:
    FailingDynamoDB(failure)
    answer = call(method, path, **parts)
    refusal = problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "5"
    assert "dynamodb" not in answer.text.lower()
    [line] = logged.lines("went wrong")
    assert (line["status"], line["request_id"]) == (503, refusal["request_id"])
    assert script.jobs_run == []


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException"])
def test_a_stack_that_is_set_up_wrongly_is_500_for_trying_again_will_not_help(code: str) -> None:
    FailingDynamoDB((400, code))
    answer = call("GET", "/jobs/" + "0" * 32)
    problem(answer, 500, "unexpected")
    assert "retry-after" not in answer.headers


def test_an_unexpected_error_is_500_and_its_traceback_is_in_the_log_alone(
    monkeypatch: pytest.MonkeyPatch, logged: Logged
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("s3cret")

    monkeypatch.setattr(queries, "read", broken)
    event = request("GET", "/jobs/" + "0" * 32)
    answer = send(event)
    refusal = problem(answer, 500, "unexpected")
    assert "s3cret" not in answer.text
    assert refusal["request_id"] == event["requestContext"]["requestId"]
    [line] = logged.lines("went wrong")
    assert line["level"] == "ERROR"
    assert line["request_id"] == refusal["request_id"]
    assert "Traceback" in line["exception"]
    assert "s3cret" in line["exception"]
    [answered] = logged.lines("answered")
    assert answered["status"] == 500


# --- what is asked for ----------------------------------------------------------------------------


@pytest.mark.parametrize("job_id", ["0" * 32, "nope", "' or 1=1", "x" * 5_000, "\ud800"])
def test_an_unknown_id_is_not_found(job_id: str) -> None:
    event = request("GET", "/jobs/x")
    event["rawPath"] = f"/jobs/{job_id}"
    answer = send(event)
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.text.encode()) < 1_000


@pytest.mark.parametrize(
    ("query", "field", "why"),
    [
        ("", "organization_id", "is required"),
        ("organization_id=", "organization_id", "1 to 256 printable"),
        ("organization_id=a&organization_id=b", "organization_id", "appears twice"),
        ("organization_id=a%00", "organization_id", "printable"),
        ("organization_id=" + "a" * 257, "organization_id", "1 to 256 printable"),
        ("organization_id=\ud800", "organization_id", "printable"),
        ("organization_id=acme&limit=0", "limit", "from 1 to 100"),
        ("organization_id=acme&limit=101", "limit", "from 1 to 100"),
        ("organization_id=acme&limit=-1", "limit", "from 1 to 100"),
        ("organization_id=acme&limit=1.5", "limit", "from 1 to 100"),
        ("organization_id=acme&limit=%D9%A1", "limit", "from 1 to 100"),
        ("organization_id=acme&limit=" + "9" * 200, "limit", "from 1 to 100"),
        ("organization_id=acme&status=done", "status", "queued, running, retryable, succeeded"),
        ("organization_id=acme&status=Failed", "status", "must be one of"),
        ("organization_id=acme&state=failed", "state", "the parameters organization_id, status,"),
        ("organization_id=%ff", "the query string", "isn't percent-encoded UTF-8"),
    ],
)
def test_query_parameters_that_can_not_be_used(query: str, field: str, why: str) -> None:
    refusal = problem(call("GET", "/jobs", query=query), 400, "invalid-query")
    [error] = refusal["errors"]
    assert error["field"] == field
    assert why in error["why"]


def test_a_cursor_that_no_list_gave_out() -> None:
    call("POST", "/jobs", body=JOB)
    arabic = base64.urlsafe_b64encode(f"c{'٠' * 15}{'a' * 32}".encode()).decode()
    made_up = ("nope", "=", "eyJpZCI6IHsiUyI6ICJ4In19", "Y" * 200, "é", "YzAwMDAwMDAwMDAwMDA")
    for cursor in (*made_up, arabic):
        answer = call("GET", "/jobs", query={"organization_id": "acme", "cursor": cursor})
        problem(answer, 400, "invalid-cursor")


def test_a_cursor_of_another_list() -> None:
    for _ in range(2):
        call("POST", "/jobs", body=JOB)
    cursor = call("GET", "/jobs", query="organization_id=acme&limit=1").json["cursor"]
    query = {"organization_id": "acme", "status": "failed", "cursor": cursor}
    problem(call("GET", "/jobs", query=query), 400, "invalid-cursor")
