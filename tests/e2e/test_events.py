"""Every file in events/ under SAM's Runtime Interface Emulator, as `sam local invoke` runs it.

The functions are the ones built, with the environment of events/env.json, and reach the local AWS.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from job_runners.local.demo import upload_few

from job_runners.building.build import ROOT
from job_runners.local.credentials import credentials
from job_runners.local.env_file import variables
from local_stack import Local
from runtime_emulator import RuntimeEmulator, runtime_emulator

pytestmark = pytest.mark.e2e

EVENTS = {path.stem: path for path in sorted((ROOT / "events").glob("*.json"))}
del EVENTS["env"]

# What each must answer: an API event a status; for another what the handler returns, or raises.
STATUSES = {
    "api_cancel_job_unknown": 404,
    "api_delete_job_unknown": 404,
    "api_get_failed_tasks": 200,
    "api_get_paused": 200,
    "api_pause_job_type_unknown": 422,
    "api_pause_kind_unknown": 404,
    "api_pause_queue": 200,
    "api_post_job_delayed": 202,
    "api_post_job_run_at_no_zone": 422,
    "api_post_job_two_keys": 422,
    "api_resume_queue": 204,
    "api_list_queues": 200,
    "api_get_queue": 200,
    "api_limit_queue": 200,
    "api_limit_queue_wrong": 422,
    "api_reset_queue": 204,
    "api_put_schedule": 201,
    "api_put_schedule_wrong": 422,
    "api_list_schedules": 200,
    "api_get_schedule_unknown": 404,
    "api_delete_schedule_unknown": 404,
    "api_pause_schedule_unknown": 404,
    "api_run_schedule_unknown": 404,
    "api_get_place_unknown": 404,
    "api_get_children_unknown": 404,
    "api_get_logs_unknown": 404,
    "api_rerun_job_unknown": 404,
    "api_retry_job_unknown": 404,
    "api_get_health": 200,
    "api_get_job_types": 200,
    "api_get_openapi": 200,
    "api_get_job_unknown": 404,
    "api_list_jobs": 200,
    "api_list_jobs_bad_cursor": 400,
    "api_list_jobs_bad_limit": 400,
    "api_list_jobs_failed": 200,
    "api_list_jobs_no_organization": 400,
    "api_post_job_assign": 202,
    "api_post_job_base64": 202,
    "api_post_job_export": 202,
    "api_post_job_first_messages": 202,
    "api_post_job_import": 202,
    "api_post_task": 202,
    "api_unknown_path": 404,
    "api_wrong_method": 405,
    "api_body_5000_digits": 400,
    "api_body_deeply_nested": 400,
    "api_body_form": 415,
    "api_body_lone_surrogate": 400,
    "api_body_malformed": 400,
    "api_body_missing": 400,
    "api_body_nan": 400,
    "api_body_not_an_object": 400,
    "api_body_not_base64": 400,
    "api_body_not_utf8": 400,
    "api_body_nul": 400,
    "api_job_unknown_field": 422,
    "api_job_unknown_type": 422,
    "api_job_wrong_payload": 422,
    "api_job_wrong_types": 422,
    "api_task_too_large": 413,
    "api_task_wrong_payload": 422,
}
# About one job, by the id that its idempotency key gives it; in this order.
ONE_JOB = {
    "api_post_job_idempotent": 202,
    "api_cancel_job_finished": 409,
    "api_retry_job_finished": 409,
    "api_delete_job": 204,
}
SQS_MESSAGE = "059f36b4-87a3-44ab-83d2-661975830a7d"
RETURNED: dict[str, Any] = {
    "failures_job": {"batchItemFailures": []},
    "failures_not_ours": {"batchItemFailures": [{"itemIdentifier": SQS_MESSAGE}]},
    "failures_task": {"batchItemFailures": []},
    "timer_delay_queue": {"batchItemFailures": []},
    "timer_delay_queue_malformed": {"batchItemFailures": [{"itemIdentifier": SQS_MESSAGE}]},
    "timer_minute": None,
    "worker_job": None,
    "worker_job_newer_version": None,
    "worker_task": None,
    "worker_task_first_message": None,
    "worker_task_webhook": None,
}
RAISED = {
    "worker_not_a_message": "MalformedMessage",
    "worker_task_unknown": "UnknownTask",
}

Invoke = Callable[[str], Any]


@pytest.fixture(scope="module")
def invoke(local: Local, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Invoke]:
    """Hand the event in a file to the function that its name begins with."""
    logs = tmp_path_factory.mktemp("runtime-emulators")
    running: dict[str, RuntimeEmulator] = {}
    upload_few(local.stack)
    with ExitStack() as stops:

        def invoke(name: str) -> Any:
            function = name.split("_")[0]
            if function not in running:
                running[function] = stops.enter_context(
                    runtime_emulator(
                        f"job_runners.handlers.{function}.handler",
                        local.tree,
                        variables(local.stack, host="127.0.0.1")
                        | credentials(local.stack).variables,
                        logs / f"{function}.log",
                    )
                )
            return running[function].invoke(json.loads(EVENTS[name].read_text()))

        yield invoke


def test_every_event_has_an_answer_here() -> None:
    assert EVENTS.keys() == {*STATUSES, *ONE_JOB, *RETURNED, *RAISED}


def test_the_env_file_sets_only_what_the_template_declares() -> None:
    template = (ROOT / "template.yaml").read_text()
    given = json.loads((ROOT / "events" / "env.json").read_text())["Parameters"]
    assert [name for name in given if f"        {name}: " not in template] == []


@pytest.mark.parametrize(("name", "status"), STATUSES.items())
def test_a_request_is_answered(invoke: Invoke, name: str, status: int) -> None:
    answer = invoke(name)
    assert answer.get("statusCode") == status, answer
    if status >= 400:
        assert answer["headers"]["Content-Type"] == "application/problem+json"
        assert json.loads(answer["body"])["status"] == status
    elif status == 204:
        assert answer["body"] == ""
    assert "Traceback" not in answer["body"]


def test_a_finished_job_is_neither_cancelled_nor_retried_but_deleted(invoke: Invoke) -> None:
    assert {name: invoke(name)["statusCode"] for name in ONE_JOB} == ONE_JOB


@pytest.mark.parametrize(("name", "returned"), RETURNED.items())
def test_an_event_is_taken(invoke: Invoke, name: str, returned: object) -> None:
    assert invoke(name) == returned


@pytest.mark.parametrize(("name", "error"), RAISED.items())
def test_an_event_that_can_not_be_taken_raises(invoke: Invoke, name: str, error: str) -> None:
    assert invoke(name)["errorType"] == error


def test_an_import_that_is_dispatched_has_run_before_the_answer(invoke: Invoke) -> None:
    accepted = json.loads(invoke("api_post_job_import")["body"])
    listed = json.loads(invoke("api_list_jobs")["body"])["jobs"]
    (job,) = (each for each in listed if each["id"] == accepted["id"])
    assert job["status"] == "succeeded"
