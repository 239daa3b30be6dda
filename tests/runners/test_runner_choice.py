"""Which runner JOB_RUNNER names, and what is refused before anything is dispatched."""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

import job_runners.handlers.failures
import job_runners.handlers.timer
from api_events import call
from job_runners.engine.registry.errors import IncompleteRunner, RunnerNotConfigured, UnknownRunner
from job_runners.errors import RunnerCannotResend
from job_runners.runners import get_job_runner
from job_runners.runners.base import JobRunner
from job_runners.store import queries
from job_runners.store.job_request import Status
from job_runners.testing.aws import WORKER_ARN, forget
from job_runners.testing.lambda_context import Context
from runner_bench import RunnerBench


def start(monkeypatch: pytest.MonkeyPatch, **environment: str) -> JobRunner:
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    forget()
    return get_job_runner()


def test_legacy_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOB_RUNNER")
    assert start(monkeypatch).__name__ == "job_runners.runners.legacy"  # type: ignore[attr-defined]


def test_an_unknown_runner_is_refused_with_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownRunner, match=r"'lambda'.*lambda-async, legacy"):
        start(monkeypatch, JOB_RUNNER="lambda")


def test_a_module_that_can_not_be_imported_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(UnknownRunner, match="No module named 'no_such'"):
        start(monkeypatch, JOB_RUNNER="no_such.runner")


def test_a_module_that_lacks_a_function_is_refused_naming_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = ModuleType("acme.runner")
    module.fully_configured = lambda: True  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "acme", ModuleType("acme"))
    monkeypatch.setitem(sys.modules, "acme.runner", module)
    with pytest.raises(IncompleteRunner, match=r"define dispatch_job\(\), dispatch_task\(\)"):
        start(monkeypatch, JOB_RUNNER="acme.runner")


@pytest.mark.parametrize(
    ("variables", "missing"),
    [
        ({"JOB_RUNNER": "lambda-async"}, "WORKER_LAMBDA_FUNCTION_NAME is not set"),
        (
            {"JOB_RUNNER": "lambda-async", "WORKER_LAMBDA_FUNCTION_NAME": WORKER_ARN},
            "DELAY_QUEUE_URL is not set",
        ),
        (
            {"JOB_RUNNER": "lambda-async", "WORKER_LAMBDA_FUNCTION_NAME": "worker"},
            "the ARN of an alias",
        ),
        ({"JOBS_TABLE_NAME": ""}, "JOBS_TABLE_NAME is not set"),
        ({"AWS_LAMBDA_FUNCTION_NAME": "api", "JOBS_SYNC": "false"}, "JOBS_SYNC=true"),
        ({"AWS_LAMBDA_FUNCTION_NAME": "api", "TASKS_SYNC": "false"}, "TASKS_SYNC=true"),
    ],
)
def test_a_runner_that_is_not_fully_configured_names_what_is_missing(
    variables: dict[str, str], missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RunnerNotConfigured, match=missing):
        start(monkeypatch, **variables)


def test_a_runner_that_says_it_is_not_configured_is_refused(
    choose: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    sys.modules["own.runner"].fully_configured = lambda: False  # type: ignore[attr-defined]
    with pytest.raises(RunnerNotConfigured, match="returned False"):
        start(monkeypatch, JOB_RUNNER="own.runner")


def take_message(event: Any, context: Any) -> object:
    """Give an event to the API function, whose module needs a runner at its import."""
    from job_runners.handlers import api

    return api.handler(event, context)


@pytest.mark.parametrize(
    "handler",
    [job_runners.handlers.failures.handler, job_runners.handlers.timer.handler, take_message],
)
def test_a_runner_that_can_not_send_has_no_timer_and_settles_nothing(
    choose: Callable[[str], RunnerBench], handler: Callable[[Any, Any], object]
) -> None:
    del sys.modules["own.runner"].send
    choose("a module of one's own")
    with pytest.raises(RunnerCannotResend, match=r"requires a runner with send\(\)"):
        handler({"Records": []}, Context())


@pytest.mark.parametrize(
    ("job_type", "fields", "need"),
    [
        ("sample_again", {}, "'sample_again' has a retry policy"),
        ("sample_once", {"delay": 1}, "'sample_once' is scheduled to start later"),
        ("unique_follow", {}, "'unique_follow' may have to wait for another job to end"),
    ],
)
def test_a_runner_that_can_not_send_again_refuses_jobs_that_may_need_it(
    choose: Callable[[str], RunnerBench],
    monkeypatch: pytest.MonkeyPatch,
    job_type: str,
    fields: dict[str, Any],
    need: str,
) -> None:
    del sys.modules["own.runner"].send
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,unique_sample")
    bench = choose("a module of one's own")
    with pytest.raises(RunnerCannotResend, match=f"{need}. That requires"):
        bench.dispatch(job_type, **fields)
    jobs = {"jobs": [{"job_type": "sample_once"}]}
    refused = call("POST", "/jobs/bulk", body=jobs, headers={"idempotency-key": "k"})
    assert (refused.status, refused.json["type"]) == (409, "urn:job-runners:runner-cannot-resend")
    assert queries.page("default", limit=1).jobs == []
    for each in ("sample_once", "unique_replace"):
        assert bench.outcome(each).status is Status.SUCCEEDED
