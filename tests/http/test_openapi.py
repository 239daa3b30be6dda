"""The OpenAPI document, and the API held to it: what it says is what is taken and answered."""

import json
import re
from functools import cache
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.schemas import BaseSchema

from api_events import call
from every_route import EVERY_ROUTE, SCHEDULE
from fake_lambda import FakeLambda
from job_runners.api import openapi, problems
from job_runners.api.routes.table import ROUTES
from job_runners.settings import forget
from job_runners.store import failed_tasks
from sample_work import script
from sizes import by_size
from worker_log import make_worker_log
from wsgi_api import application

pytestmark = pytest.mark.usefixtures("worker")

EXAMPLES = by_size(3, 10, 25)  # of each kind for each operation
FOR_BROWSERS = {("/", "GET"), ("/assets/<version>/<name>", "GET"), ("/answers/<token>", "GET")}
OPERATIONS = {
    (path, method): route.operation
    for path, methods in ROUTES.items()
    for method, route in methods.items()
    if route.operation
}
DOCUMENTED = list(OPERATIONS)
STATES = ("queued", "canceled", "failed", "succeeded")
BOUNDED = settings(
    max_examples=EXAMPLES,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)

# What is refused though it fits its schema, which can't say it. Nothing else may be.
UNSAID = re.compile(
    "must be on the public internet|must name a host|printable characters"
    "|text with NUL "  # in every body
    "|String should match pattern"  # where other dialects let a last newline pass
    "|The cursor isn't valid for this list"
    "|differs from the header Idempotency-Key"
    "|can't be combined with idempotency_key"
    "|run_at may be at most 30 days from now"
    "|(since|until) must be a time with its zone"  # such as one before 1970
    "|give run_at or delay, not both"
    "|give either members or members_file|The field members_file is invalid"
    "|the members are invalid"  # their payloads and keys may be
    "|The field then\\.payload"
    "|isn't allowed here, because all jobs"
    "|is required; send it in the header Idempotency-Key"
    "|The payload of "  # whose model may have rules of its own
    "|The first problem is jobs\\.[0-9]+\\.payload\\."  # the same, in a bulk dispatch
    "|on_(end|failure)\\.url\\.webhook|the secret in on_(end|failure)"  # a URL, and whose it is
    "|The field secret is invalid: must be one of"
    "|No job is named"
    "|The field url is invalid"  # the rules for the address of a receiver
    "|set slots, rate or max_waiting"  # null is as good as not given
    "|The code declares no limits"
    "|exactly one of cron and every"
    "|it must have five: minute, hour"
    "|there is no time zone"
    "|only with cron"
    "|more than one needs overlap"
)

load_all_checks()
HELD_TO_UNSAID: list[Any] = [CHECKS.get_one("positive_data_acceptance")]
# A payload's model may take "7" for 7, and false for 0. What can't be paused is not: resuming it is
# done, whatever its name.
LENIENT: list[Any] = [CHECKS.get_one("negative_data_rejection")]


def document() -> dict[str, Any]:
    answer = call("GET", "/openapi.json")
    assert answer.status == 200
    found: dict[str, Any] = answer.json
    return found


usual_document = cache(document)  # of this module's settings


def operation(path: str, method: str) -> Any:
    path = path.translate(str.maketrans("<>", "{}"))
    # Who may call is for API Gateway, which is not here: tests/e2e/test_access_end_to_end.py.
    one = usual_document()["paths"][path][method.lower()] | {"security": []}
    schema: BaseSchema = schemathesis.openapi.from_dict(
        usual_document() | {"paths": {path: {method.lower(): one}}}
    )
    schema.app = application
    return schema[path][method]


def a_job(worker: FakeLambda, state: str) -> str:
    """Return the id of a new job in this state."""
    script.job = (lambda job, payload: 1 / 0) if state == "failed" else (lambda job, payload: {})
    job_id: str = call("POST", "/jobs", body={"job_type": "sample_once"}).json["id"]
    if state == "canceled":
        call("POST", f"/jobs/{job_id}/cancel")
    elif state != "queued":
        worker.deliver()
    return job_id


def a_batch(worker: FakeLambda, state: str) -> str:
    """Return the id of a new batch, which has ended unless the state is `queued`."""
    body = {"members": [{"job_type": "sample_once"}], "idempotency_key": uuid4().hex}
    job_id: str = call("POST", "/batches", body=body).json["id"]
    if state == "canceled":
        call("POST", f"/jobs/{job_id}/cancel")
    elif state != "queued":
        worker.deliver()
    return job_id


# --- the document ---------------------------------------------------------------------------------


def test_every_route_is_documented() -> None:
    assert {*DOCUMENTED} == EVERY_ROUTE.keys() - FOR_BROWSERS


@pytest.mark.parametrize("extensions", ["sample_work", ""])  # without them there are no tasks
@pytest.mark.parametrize("mode", ["iam", "jwt"])
def test_the_document_is_valid_openapi(
    mode: str, extensions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCESS_MODE", mode)
    monkeypatch.setenv("JOBS_PACKAGES", extensions)
    forget()
    found = openapi.document(ROUTES)
    assert found["openapi"].startswith("3.1")
    schemathesis.openapi.from_dict(found).validate()
    text = str(found)
    names = set(re.findall(r"'#/components/schemas/([^']+)'", text))
    assert names <= found["components"]["schemas"].keys()
    assert "'oneOf': []" not in text  # the meta-schema of the validator doesn't refuse it
    ids = [each["operationId"] for methods in found["paths"].values() for each in methods.values()]
    assert len(ids) == len(set(ids)) == len(DOCUMENTED)


def test_it_says_how_callers_of_this_stack_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    signed = document()
    assert signed["components"]["securitySchemes"].keys() == {"iam"}
    assert signed["paths"]["/jobs"]["post"]["security"] == [{"iam": []}]
    assert "401" not in signed["paths"]["/jobs"]["post"]["responses"]
    monkeypatch.setenv("ACCESS_MODE", "jwt")
    forget()
    answer = call("GET", "/openapi.json", claims={"roles": "service"})
    with_tokens = answer.json
    assert with_tokens["components"]["securitySchemes"]["jwt"]["scheme"] == "bearer"
    for (path, method), entry in EVERY_ROUTE.items():
        if (path, method) not in FOR_BROWSERS:
            written = path.translate(str.maketrans("<>", "{}"))
            each = with_tokens["paths"][written][method.lower()]
            assert each["security"] == ([{"jwt": [entry.least]}] if entry.least else [])
            assert ("401" in each["responses"]) == (entry.least is not None)


def test_every_type_of_problem_is_documented() -> None:
    found = document()
    listed = found["components"]["schemas"]["Problem"]["properties"]["type"]["enum"]
    assert listed == [problems.TYPE_PREFIX + slug for slug in problems.kinds()]
    shown = json.dumps(found["paths"])
    in_no_operation = [
        slug for slug in problems.kinds() if f'"{problems.TYPE_PREFIX}{slug}"' not in shown
    ]
    assert in_no_operation == [
        "method-not-allowed",
        "not-reached",  # which is a problem of one job of many
    ]


def test_each_job_and_task_has_a_body_with_its_own_payload() -> None:
    schemas = document()["components"]["schemas"]
    mapping = schemas["NewJob"]["discriminator"]["mapping"]
    assert mapping["post_webhook"] == "#/components/schemas/job.post_webhook"
    body = schemas["job.post_webhook"]
    assert body["properties"]["job_type"]["const"] == "post_webhook"
    assert body["properties"]["payload"] == {"$ref": "#/components/schemas/payload.PostWebhook"}
    assert body["required"] == ["job_type", "payload"]
    assert schemas["job.sample_once"]["required"] == ["job_type"]
    assert schemas["task.sample_note"]["properties"]["task_name"]["const"] == "sample_note"


def test_what_is_paused_is_called_a_pause() -> None:
    found = document()
    paused = found["paths"]["/paused/{kind}/{name}"]["put"]["responses"]["200"]
    name = {"$ref": "#/components/schemas/Pause"}
    assert paused["content"]["application/json"]["schema"] == name
    assert found["components"]["schemas"]["Paused"]["properties"]["paused"]["items"] == name


def test_an_upload_has_a_file_as_its_body() -> None:
    upload = document()["paths"]["/uploads/{name}"]["put"]
    assert upload["requestBody"] == {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }


# --- the API held to it ---------------------------------------------------------------------------


def can_be_wrong(path: str, method: str) -> bool:
    """Return whether a request has any part that is not as it must be, if one tries."""
    each = OPERATIONS[path, method]
    return "<" in path or bool(each.body or each.parameters)


@pytest.mark.parametrize(
    ("path", "method", "kind"),
    [(*each, GenerationMode.POSITIVE) for each in DOCUMENTED]
    + [(*each, GenerationMode.NEGATIVE) for each in DOCUMENTED if can_be_wrong(*each)],
    ids=str,
)
def test_what_is_taken_and_answered_is_what_the_document_says(
    path: str, method: str, kind: GenerationMode
) -> None:
    strategy = operation(path, method).as_strategy(kind)
    lenient = LENIENT if OPERATIONS[path, method].body or method == "DELETE" else []
    seen: set[int] = set()

    @BOUNDED
    @given(case=strategy)
    def holds(case: Case[Any]) -> None:
        response = case.call_and_validate(excluded_checks=HELD_TO_UNSAID + lenient)
        seen.add(response.status_code)
        if kind is GenerationMode.POSITIVE and response.status_code in (400, 413, 415, 422):
            assert UNSAID.search(response.json()["detail"]), response.text

    holds()
    # No generated id or name is that of a job, a task, a schedule or a webhook: see the
    # next tests. Few generated batches and bulks have only valid members.
    of_one = ("/schedules/", "/webhooks/", "/answers/", "/batches", "/jobs/bulk")
    is_of_one = "_id>" in path or path.startswith(of_one)
    assert kind is GenerationMode.NEGATIVE or is_of_one or min(seen) < 300


@pytest.mark.parametrize(
    ("path", "method"), [each for each in DOCUMENTED if "<job_id>" in each[0]], ids=str
)
def test_so_it_is_with_jobs_that_are_there(
    path: str, method: str, worker: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_worker_log(monkeypatch)
    strategy = operation(path, method).as_strategy()

    @BOUNDED
    @given(case=strategy, state=st.sampled_from(STATES))
    def holds(case: Case[Any], state: str) -> None:
        make = a_batch if path.startswith("/batches") else a_job
        case.path_parameters["job_id"] = make(worker, state)
        response = case.call_and_validate(excluded_checks=HELD_TO_UNSAID)
        assert response.status_code != 404

    holds()


def test_so_it_is_with_a_failed_task_that_is_there(worker: FakeLambda) -> None:
    strategy = operation("/tasks/failed/<task_id>/redrive", "POST").as_strategy()
    seen: set[int] = set()

    @settings(BOUNDED, max_examples=max(EXAMPLES, 10))  # three don't meet each answer
    @given(case=strategy, name=st.sampled_from(["sample_note", "sample_gone"]), kept=st.booleans())
    def holds(case: Case[Any], name: str, kept: bool) -> None:
        task_id = case.path_parameters["task_id"] = failed_tasks.new_task_id()
        failed_tasks.record(
            task_id,
            task_name=name,
            attempt=1,
            error_kind="ValueError",
            error_message="no luck",
            request_id=None,
            payload={} if kept else None,
        )
        seen.add(case.call_and_validate(excluded_checks=HELD_TO_UNSAID).status_code)
        call("GET", "/tasks/failed")

    holds()
    assert seen == {202, 409, 422}


@pytest.mark.parametrize(
    ("path", "method"), [each for each in DOCUMENTED if each[0].startswith("/schedules/")], ids=str
)
def test_so_it_is_with_schedules_that_are_there(path: str, method: str) -> None:
    strategy = operation(path, method).as_strategy()
    seen: set[int] = set()

    @BOUNDED
    @given(case=strategy, paused=st.booleans())
    def holds(case: Case[Any], paused: bool) -> None:
        case.path_parameters["name"] = "nightly"
        case.query = {"organization_id": "acme"}
        whose = {"organization_id": "acme"}
        call("PUT", "/schedules/nightly", body=SCHEDULE, query=whose)
        call("PUT" if paused else "DELETE", "/schedules/nightly/paused", query=whose)
        if method == "PUT" and isinstance(case.body, dict):
            case.body |= {**SCHEDULE, "cron": None, "timezone": "UTC", "payload": {}}
        response = case.call_and_validate(excluded_checks=HELD_TO_UNSAID)
        assert response.status_code != 404
        seen.add(response.status_code)

    holds()
    assert min(seen) < 300
