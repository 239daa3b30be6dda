"""JobRunner=legacy in a stack: the API function does all work, as its environment there has it."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any, cast
from unittest.mock import patch
from urllib.parse import unquote

import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext

from api_events import Answer, request, send
from api_worker import create_delay_queue
from expanded_template import deployed, properties
from fake_lambda import FakeLambda
from job_runners import clock, runners, settings
from job_runners.aws import clients
from job_runners.engine.wire.messages import JobMessage, TaskMessage, encode
from job_runners.errors import MalformedMessage
from job_runners.runners import legacy_stack
from job_runners.store import queries
from job_runners.store.job_request import JobRequest, Status
from job_runners.testing.aws import WORKER_ARN, forget
from job_runners.testing.lambda_context import Context
from job_runners.testing.movable_clock import MovableClock
from job_runners.work import context
from sample_work import script

API = WORKER_ARN.replace("worker", "api")
TIMER = WORKER_ARN.replace("worker:live", "timer")
SECONDS = properties(deployed(), "ApiFunction")["Timeout"]


class Stack:
    """The API function, which takes requests and messages, and the timer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.lambda_ = FakeLambda()
        self.delayed: list[tuple[dict[str, Any], int]] = []  # messages, with seconds
        clients.client("sqs").meta.events.register(
            "provide-client-params.sqs.SendMessage", self._note_delayed
        )

    def post(self, path: str, body: Any, seconds: float = SECONDS) -> Answer:
        """Return the answer to a request, in an invocation of its own."""
        return send(request("POST", path, body=body), Context(seconds, API))

    def job(self, seconds: float = SECONDS, **fields: Any) -> JobRequest:
        """Dispatch a job; return its row once the request is answered."""
        body = {"job_type": "sample_once", "organization_id": "acme", **fields}
        answer = self.post("/jobs", body, seconds)
        assert answer.status == 202, answer.text
        return read(answer.json["id"])

    def deliver(self) -> int:
        """Invoke the API function with each message that it was sent, once."""
        events, self.lambda_.events = self.lambda_.events, []
        for event in events:
            take(event)
        return len(events)

    def in_timer(self, event: dict[str, Any]) -> Any:
        """Hand an event to the timer: another process, which knows of no request."""
        import job_runners.handlers.timer

        with self._monkeypatch.context() as timers:
            timers.setattr(legacy_stack._Current, "invocation", None)
            timers.setenv("WORKER_LAMBDA_FUNCTION_NAME", API)
            settings.forget()
            answer = job_runners.handlers.timer.handler(
                event, cast(LambdaContext, Context(60, TIMER))
            )
        settings.forget()
        return answer

    @property
    def invoked(self) -> set[str]:
        """Return the functions that were invoked, all of them asynchronously."""
        assert {each["type"] for each in self.lambda_.invokes} <= {b"Event"}
        paths = [each["url"].split("/functions/")[1] for each in self.lambda_.invokes]
        return {unquote(each).removesuffix("/invocations") for each in paths}

    def _note_delayed(self, params: dict[str, Any], **_: Any) -> None:
        self.delayed.append((json.loads(params["MessageBody"]), params["DelaySeconds"]))


def take(event: Any, function: str = API) -> None:
    """Have a message taken by the API function."""
    import job_runners.handlers.api  # it needs a configured environment

    invocation = cast(LambdaContext, Context(SECONDS, function))
    assert job_runners.handlers.api.handler(event, invocation) == {}


def read(job_id: str) -> JobRequest:
    row = queries.read(job_id)
    assert row is not None
    return row


@pytest.fixture
def stack(aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """Set up the process as the template does, on Lambda."""
    template = deployed(JobRunner="legacy")
    variables = properties(template, "ApiFunction")["Environment"]["Variables"]
    for name in ("API_RUNS_WORK", "JOBS_SYNC", "TASKS_SYNC"):
        monkeypatch.setenv(name, variables[name])
    assert "WORKER_LAMBDA_FUNCTION_NAME" not in variables
    monkeypatch.setenv("DELAY_QUEUE_URL", create_delay_queue())
    monkeypatch.setenv("JOB_RUNNER", "legacy")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "api")
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work")
    forget()
    script.reset()
    monkeypatch.setattr(legacy_stack._Current, "invocation", None)
    monkeypatch.setattr(legacy_stack._Current, "may_run", False)
    yield Stack(monkeypatch)
    forget()


def test_a_job_has_run_when_its_request_is_answered_and_costs_no_invoke(stack: Stack) -> None:
    stack.job()  # what a process reads of limits, say, it reads once
    calls: list[str] = []
    for service in ("dynamodb", "lambda"):
        clients.client(service).meta.events.register(
            f"before-call.{service}", lambda model, **_: calls.append(model.name)
        )
    row = stack.job()
    assert (row.status, row.invocations) == (Status.SUCCEEDED, 1)
    assert [each for each in calls if each != "GetItem"] == [
        *("PutItem", "UpdateItem", "UpdateItem")
    ]


def test_a_task_has_run_when_its_request_is_answered_and_saw_no_caller(stack: Stack) -> None:
    seen = []
    script.task = lambda payload: seen.append(context.author.get())
    answer = stack.post("/tasks", {"task_name": "sample_note", "payload": {"number": 3}})
    assert (answer.status, [each.number for each in script.tasks_run]) == (202, [3])
    assert seen == [None]
    assert stack.invoked == set()


def test_a_task_that_can_not_be_begun_is_not_accepted(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing holds it, and no failure record tells of it."""

    def run(*_: Any, **__: Any) -> None:
        raise RuntimeError("its module can't be imported, say")

    monkeypatch.setattr(legacy_stack, "run", run)
    assert stack.post("/tasks", {"task_name": "sample_note"}).status == 500
    assert stack.job().status is Status.QUEUED  # a job is due


def test_what_work_dispatches_goes_on_in_invocations_of_its_own(stack: Stack) -> None:
    def work(job: Any, payload: Any) -> None:
        if len(script.jobs_run) == 1:
            job.dispatch("sample_once", {}, key="child")
            job.dispatch_task("sample_note", {})
        before = len(script.tasks_run)
        runners.dispatch_task("sample_note", {})  # as code may that knows no RunningJob
        assert len(script.tasks_run) == before

    script.job = work
    assert stack.job().status is Status.SUCCEEDED
    assert stack.invoked == {API}
    assert (stack.deliver(), len(script.jobs_run), len(script.tasks_run)) == (3, 2, 2)
    assert read(script.jobs_run[1][0]).status is Status.SUCCEEDED  # in a message's invocation
    assert (stack.deliver(), len(script.tasks_run)) == (1, 3)


def test_the_functions_timeout_ends_a_job_and_its_error_says_so(stack: Stack) -> None:
    script.job = lambda job, payload: time.sleep(10)
    row = stack.job(seconds=0.5)
    assert (row.status, row.error["kind"]) == (Status.FAILED, "TimedOut")
    assert (
        "time limit of the API function, which runs all work with JobRunner=legacy"
        in (row.error["message"])
    )


def test_a_job_goes_on_in_its_next_invocation_in_another_invocation(stack: Stack) -> None:
    def work(job: Any, payload: Any) -> None:
        while job.invocation == 1:
            time_.advance(10)
            job.checkpoint(1)

    script.job = work
    with MovableClock().in_use() as time_:
        row = stack.job(seconds=60)
        assert (row.status, row.invocations) == (Status.QUEUED, 1)
        assert stack.deliver() == 1
    assert (read(row.id).status, read(row.id).invocations) == (Status.SUCCEEDED, 2)


def test_what_has_to_wait_is_due_and_the_timer_invokes_the_api_function(stack: Stack) -> None:
    threads = set(threading.enumerate())
    with MovableClock().in_use() as time_:
        with patch("job_runners.store.transitions.claim") as claim:
            row = stack.job(delay=60)
        assert (row.status, claim.called) == (Status.SCHEDULED, False)
        assert [(each["id"], seconds) for each, seconds in stack.delayed] == [(row.id, 60)]
        assert row.due_at == (row.run_at or 0) + clock.MINUTE
        assert set(threading.enumerate()) <= threads  # Lambda would freeze a new one
        time_.advance(2 * 60 + 1)
        stack.in_timer({})
        assert stack.invoked == {API}
        assert stack.deliver() == 1
        assert read(row.id).status is Status.SUCCEEDED


def test_a_delayed_message_is_handed_on_by_the_timer(stack: Stack) -> None:
    """A task's next attempt, too: a thread that waited for it would be frozen."""

    def fail(payload: Any) -> None:
        script.task = lambda payload: None
        raise ValueError("no luck")

    script.task = fail
    assert stack.post("/tasks", {"task_name": "sample_note_again"}).status == 202
    ((message, seconds),) = stack.delayed
    assert (message["attempt"], seconds > 0) == (2, True)
    record = {"messageId": "m", "body": json.dumps(message)}
    assert stack.in_timer({"Records": [record]}) == {"batchItemFailures": []}
    assert stack.invoked == {API}
    assert (stack.deliver(), len(script.tasks_run)) == (1, 2)


def test_a_job_that_was_cut_off_is_retried_in_the_api_function(stack: Stack) -> None:
    """Its function was ended in the middle, and nobody heard of that: a request leaves no failure
    record."""

    def cut_off(*_: Any, **__: Any) -> None:
        raise RuntimeError("what comes after the claim never happens")

    with MovableClock().in_use() as time_:
        with patch("job_runners.engine.running.execution._prepare", cut_off):
            row = stack.job(job_type="sample_again")
        assert row.status is Status.RUNNING
        time_.advance(SECONDS + 60 + 1)
        stack.in_timer({})
        row = read(row.id)
        assert (row.status, row.error["kind"]) == (Status.RETRYABLE, "Interrupted")
        ((message, seconds),) = stack.delayed
        time_.advance(seconds)
        take(message)
        assert (read(row.id).status, read(row.id).attempt) == (Status.SUCCEEDED, 2)


def test_the_same_request_runs_its_job_once(stack: Stack) -> None:
    rows = [stack.job(idempotency_key="k") for _ in range(2)]
    assert rows[0].id == rows[1].id
    assert len(script.jobs_run) == 1
    assert stack.invoked == set()


def test_no_caller_can_have_a_message_of_its_own_taken(stack: Stack) -> None:
    """A caller chooses the body, the path, the query and the headers, and no field beside them."""
    message = json.loads(encode(TaskMessage(id="t", name="sample_note", payload={})))
    event = request("POST", "/", body=message, query=message["name"]) | message
    assert send(event, Context(SECONDS, API)).status in {404, 405}
    assert script.tasks_run == []


def test_an_event_that_is_no_message_fails_and_leaves_a_failure_record(stack: Stack) -> None:
    with pytest.raises(MalformedMessage):
        take({"rawPath": "/jobs"})


def test_a_message_that_comes_after_the_stack_went_back_is_sent_on_to_the_worker(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = stack.job(delay=3600)
    monkeypatch.setenv("API_RUNS_WORK", "")
    monkeypatch.setenv("JOB_RUNNER", "lambda-async")
    monkeypatch.setenv("WORKER_LAMBDA_FUNCTION_NAME", WORKER_ARN)
    settings.forget()
    runners.get_job_runner.cache_clear()
    runners.sender.cache_clear()
    take(json.loads(encode(JobMessage.about(row))))
    assert (stack.invoked, script.jobs_run) == ({WORKER_ARN}, [])
