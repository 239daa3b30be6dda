"""Which worker function a message goes to: that of its class, from wherever it is sent."""

import json
import time
from io import StringIO
from typing import Any
from unittest.mock import patch

import pytest

import job_runners.handlers.failures
import job_runners.handlers.timer
import job_runners.handlers.worker
from api_events import call
from api_worker import create_delay_queue
from distinct_times import next_millisecond
from fake_lambda import FakeLambda
from job_runners import clock, runners
from job_runners.engine.registry.registry import _report_undeclared, registry
from job_runners.engine.telemetry import telemetry
from job_runners.engine.tick import timer
from job_runners.engine.wire.messages import QueueMessage, TaskMessage, decode, encode
from job_runners.errors import InvalidDefinition, SendFailed
from job_runners.runners import lambda_async
from job_runners.runners.base import JobData
from job_runners.store import queries
from job_runners.store.job_request import JobRequest, Status
from job_runners.testing.aws import WORKER_ARN, forget
from job_runners.testing.lambda_context import Context
from job_runners.testing.plain_clients import full_client
from stale_reads import catch_up

LARGE, TINY = "stack-worker-large:live", "stack-worker-tiny:live"
TARGETS = {"default": WORKER_ARN, "large": LARGE, "tiny": TINY}
# The aliases by which the workers are invoked.
OWN = {
    each: WORKER_ARN.replace(":worker:", f":stack-worker-{each}:")
    if each != "default"
    else WORKER_ARN
    for each in TARGETS
}
CLASSES = {"default": None, "large": "large", "tiny": "tiny"}
NOT_THERE = ["ResourceNotFoundException", "AccessDeniedException"]


class Stack:
    """The functions of a stack with two classes, of which one acts at a time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, delay_queue: str) -> None:
        self._monkeypatch = monkeypatch
        self.delay_queue = delay_queue
        self.act_as(None)
        self.fake = FakeLambda()

    def act_as(self, worker_class: str | None, **variables: str) -> None:
        """Act as the default worker and every other function, or as the worker of a class."""
        given = {
            "JOBS_PACKAGES": "class_work",
            "JOB_RUNNER": "lambda-async",
            "WORKER_LAMBDA_FUNCTION_NAME": WORKER_ARN,
            "WORKER_CLASSES": "large,tiny",
            "WORKER_CLASS_PREFIX": "stack-worker-",
            "WORKER_CLASS": worker_class or "",
            "DELAY_QUEUE_URL": self.delay_queue,
        }
        for name, value in (given | variables).items():
            self._monkeypatch.setenv(name, value)
        forget()
        if hasattr(self, "fake"):
            called, events = self.fake.invokes, self.fake.events
            self.fake = FakeLambda()
            self.fake.invokes, self.fake.events = called, events

    def dispatch(self, job_type: str, kind: str = "", **fields: Any) -> JobRequest:
        return runners.dispatch_job(
            JobData(job_type=job_type, organization_id="acme", payload={"kind": kind}, **fields)
        )

    def work(self, worker: str, event: Any) -> None:
        """Run an event in the worker of a class, or in the default one."""
        self.act_as(CLASSES[worker])
        next_millisecond()
        job_runners.handlers.worker.handler(event, Context(function=OWN[worker]))  # type: ignore[arg-type]

    def take_called(self) -> list[str]:
        """Return which functions were called since the last time."""
        called = self.fake.called
        self.fake.invokes.clear()
        return called

    def delayed(self) -> list[Any]:
        """Return the delay queue's messages, and take them off."""
        found = []
        for _ in range(30):
            answer = full_client("sqs").receive_message(
                QueueUrl=self.delay_queue, MaxNumberOfMessages=10
            )
            for message in answer.get("Messages", []):
                full_client("sqs").delete_message(
                    QueueUrl=self.delay_queue, ReceiptHandle=message["ReceiptHandle"]
                )
                found.append(json.loads(message["Body"]))
            if found:
                return found
            time.sleep(0.1)
        return found

    def waiting(self) -> int:
        """Return how many messages wait on the delay queue."""
        names = ["ApproximateNumberOfMessagesDelayed", "ApproximateNumberOfMessages"]
        answer = full_client("sqs").get_queue_attributes(
            QueueUrl=self.delay_queue, AttributeNames=names
        )
        return sum(int(each) for each in answer["Attributes"].values())


@pytest.fixture
def stack(aws: None, monkeypatch: pytest.MonkeyPatch) -> Stack:
    return Stack(monkeypatch, create_delay_queue())


def task(name: str, kind: str = "") -> TaskMessage:
    return TaskMessage(id="t1", name=name, payload={"kind": kind})


def event_of(message: Any) -> Any:
    return json.loads(encode(message))


# --- every sender ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TARGETS)
def test_the_api_sends_a_job_and_a_task_to_their_class(kind: str, stack: Stack) -> None:
    stack.dispatch(kind)
    runners.dispatch_task(f"{kind}_note", {})
    assert stack.take_called() == [TARGETS[kind], TARGETS[kind]]


@pytest.mark.parametrize("kind", TARGETS)
def test_the_timer_sends_a_due_job_and_a_delayed_message_to_their_class(
    kind: str, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = stack.dispatch(kind)
    stack.take_called()
    monkeypatch.setattr(clock, "now", lambda: row.created_at + 61_000)
    timer.tick(runners.sender(), until=clock.now() + 60_000)
    assert stack.take_called() == [TARGETS[kind]]
    body = encode(task(f"{kind}_note")).decode()
    records = [{"messageId": "m", "body": body}]
    job_runners.handlers.timer.handler({"Records": records}, Context())  # type: ignore[arg-type]
    assert stack.take_called() == [TARGETS[kind]]


@pytest.mark.parametrize("kind", TARGETS)
def test_the_failures_function_sends_a_lost_task_by_the_delay_queue(
    kind: str, stack: Stack
) -> None:
    """The timer then routes it."""
    record = {
        "requestContext": {"condition": "EventAgeExceeded", "approximateInvokeCount": 0},
        "requestPayload": event_of(task(f"{kind}_note")),
    }
    body = {"Records": [{"messageId": "m", "body": json.dumps(record)}]}
    job_runners.handlers.failures.handler(body, Context())  # type: ignore[arg-type]
    assert stack.waiting() == 1
    assert stack.take_called() == []


@pytest.mark.parametrize("worker", TARGETS)
def test_a_worker_sends_children_to_their_classes(worker: str, stack: Stack) -> None:
    """Its own alias is the one by which it was invoked."""
    stack.dispatch(worker, "parent")
    stack.take_called()
    stack.work(worker, stack.fake.events.pop())
    expected = TARGETS | {worker: OWN[worker]}
    assert stack.take_called() == [expected[each] for each in ("large", "tiny", "default")]


@pytest.mark.parametrize("worker", TARGETS)
def test_a_retry_waits_on_the_delay_queue_and_keeps_its_class(worker: str, stack: Stack) -> None:
    row = stack.dispatch(worker, "fails")
    stack.work(worker, stack.fake.events.pop())
    stack.work(worker, event_of(task(f"{worker}_note", "fails")))
    stack.act_as(None)
    stack.take_called()
    messages = stack.delayed()
    while len(messages) < 2:
        messages += stack.delayed()
    for message in messages:
        runners.sender()(decode(message))
    assert stack.take_called() == [TARGETS[worker]] * 2
    saved = queries.read(row.id)
    assert saved
    assert saved.status is Status.RETRYABLE


@pytest.mark.parametrize("worker", TARGETS)
def test_a_wake_up_of_a_line_goes_to_the_default_worker(worker: str, stack: Stack) -> None:
    stack.act_as(CLASSES[worker])
    lambda_async.sender(OWN[worker])(QueueMessage("mail", "all"))
    assert stack.take_called() == [WORKER_ARN]


def test_work_of_an_undeclared_class_runs_in_the_default_worker_and_is_logged_once(
    stack: Stack, caplog: pytest.LogCaptureFixture
) -> None:
    """As when a deploy has changed a function's code, but not its variables yet."""
    _report_undeclared.cache_clear()  # as in a new process
    for _ in range(3):
        stack.dispatch("lost")
    assert stack.take_called() == [WORKER_ARN] * 3
    stack.dispatch("default")
    assert stack.take_called() == [WORKER_ARN]
    assert caplog.messages.count("worker class not declared") == 1
    stack.work("default", stack.fake.events.pop())
    assert stack.take_called() == []


@pytest.mark.parametrize(
    ("declared", "hint"),
    [("large,tiny", "Declare it, or correct worker="), ("large,tiny,gome", "Did you mean gome?")],
)
def test_a_check_names_the_work_of_an_undeclared_class(
    stack: Stack, declared: str, hint: str
) -> None:
    stack.act_as(None, WORKER_CLASSES=declared)
    with pytest.raises(InvalidDefinition) as refused:
        registry().check_worker_classes()
    message = str(refused.value)
    assert message.startswith("JOBS: 'lost' (tests/support/class_work.py, line ")
    assert message.endswith(f": app.toml has no [workers.gone]. {hint}")
    stack.act_as(None, WORKER_CLASSES=f"{declared},gone")
    registry().check_worker_classes()


def test_without_classes_everything_goes_to_the_senders_own_function(
    stack: Stack, caplog: pytest.LogCaptureFixture
) -> None:
    stack.act_as(None, WORKER_CLASSES="")
    _report_undeclared.cache_clear()
    for kind in TARGETS:
        stack.dispatch(kind)
    assert "worker class not declared" not in caplog.messages
    assert stack.take_called() == [WORKER_ARN] * 3
    job_runners.handlers.worker.handler(stack.fake.events.pop(), Context())  # type: ignore[arg-type]
    assert stack.take_called() == []


def test_an_api_that_runs_all_work_ignores_classes_and_says_so_once(
    stack: Stack, caplog: pytest.LogCaptureFixture
) -> None:
    legacy = {"JOB_RUNNER": "legacy", "API_RUNS_WORK": "true", "JOBS_SYNC": "true"}
    stack.act_as(None, **legacy, TASKS_SYNC="true")
    for _ in range(2):
        runners.sender()(task("large_note"))
    assert stack.take_called() == [WORKER_ARN] * 2
    assert not lambda_async.forward(task("large_note"), WORKER_ARN)
    assert caplog.messages.count("worker classes are ignored") == 1


# --- the wrong worker -----------------------------------------------------------------------------


def test_the_default_worker_forwards_a_job_before_it_is_claimed(stack: Stack) -> None:
    row = stack.dispatch("large")
    stack.take_called()
    stack.work("default", stack.fake.events.pop())
    assert stack.take_called() == [LARGE]
    saved = queries.read(row.id)
    assert saved
    assert (saved.status, saved.invocations) == (Status.QUEUED, 0)
    stack.work("large", stack.fake.events.pop())
    assert stack.take_called() == []
    ended = queries.read(row.id)
    assert ended
    assert ended.status is Status.SUCCEEDED


@pytest.mark.parametrize("kind", ["default", "tiny"])
def test_a_class_runs_what_it_gets(kind: str, stack: Stack) -> None:
    """Otherwise two workers that disagree could send a message in a circle."""
    row = stack.dispatch(kind)
    stack.take_called()
    stack.work("large", stack.fake.events.pop())
    assert stack.take_called() == []
    ended = queries.read(row.id)
    assert ended
    assert ended.status is Status.SUCCEEDED


def test_a_job_that_can_not_be_forwarded_stays_due(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    row = stack.dispatch("large")
    event = stack.fake.events.pop()
    stack.act_as(None)
    stack.fake.refuse = 429
    job_runners.handlers.worker.handler(event, Context())  # type: ignore[arg-type]
    assert ("not sent, stays due" in caplog.messages, "crashed" in caplog.messages) == (True, False)
    stack.fake.refuse = None
    stack.take_called()
    monkeypatch.setattr(clock, "now", lambda: row.created_at + 61_000)
    timer.tick(runners.sender(), until=clock.now() + 60_000)
    assert stack.take_called() == [LARGE]


def test_a_task_that_can_not_be_forwarded_is_sent_again_by_the_failures_function(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    event = event_of(task("large_note_once"))
    stack.fake.refuse = 429
    with pytest.raises(Exception, match="Task t1 wasn't sent on to its worker class") as failed:
        job_runners.handlers.worker.handler(event, Context())  # type: ignore[arg-type]
    stack.fake.refuse = None
    record = {
        "requestContext": {"condition": "RetriesExhausted", "approximateInvokeCount": 1},
        "requestPayload": event,
        "responsePayload": {
            "errorType": type(failed.value).__name__,
            "errorMessage": str(failed.value),
        },
    }
    body = {"Records": [{"messageId": "m", "body": json.dumps(record)}]}
    answer = job_runners.handlers.failures.handler(body, Context())  # type: ignore[arg-type]
    assert answer == {"batchItemFailures": []}
    assert stack.waiting() == 1  # although it has no retries: none has begun


def test_a_task_whose_forward_is_in_doubt_is_never_sent_again(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(lambda_async, "_invoke", lost_answer)
    job_runners.handlers.worker.handler(event_of(task("large_note")), Context())  # type: ignore[arg-type]
    assert "task may have been sent or not" in caplog.messages
    assert stack.waiting() == 0


@pytest.mark.parametrize("wrong", [{"JOBS_PACKAGES": "gone"}, {"WORKER_CLASS_PREFIX": ""}])
def test_an_error_before_a_forward_raises_nothing_about_a_job(
    wrong: dict[str, str], stack: Stack, caplog: pytest.LogCaptureFixture
) -> None:
    """Lambda's record of it would look like one of another delivery, which may run the job."""
    row = stack.dispatch("large")
    stack.act_as(None, **wrong)
    job_runners.handlers.worker.handler(stack.fake.events.pop(), Context())  # type: ignore[arg-type]
    assert "crashed" in caplog.messages
    saved = queries.read(row.id)
    assert saved
    assert (saved.status, saved.due_at) == (Status.QUEUED, row.due_at)


def lost_answer(function: str, message: object) -> None:
    from botocore.exceptions import ReadTimeoutError

    raise ReadTimeoutError(endpoint_url=function)


# --- a class without a function -------------------------------------------------------------------


@pytest.mark.parametrize("kind", NOT_THERE)
def test_a_job_whose_class_is_not_there_yet_stays_due(
    kind: str,
    stack: Stack,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stack.fake.not_there = {LARGE: kind}
    rows = [stack.dispatch("large") for _ in range(5)]
    other = stack.dispatch("tiny")
    assert "worker class not there yet" in caplog.messages
    stack.take_called()
    monkeypatch.setattr(clock, "now", lambda: other.created_at + 61_000)
    result = timer.tick(runners.sender(), until=clock.now() + 60_000)
    assert stack.take_called().count(TINY) == 1  # five that fail don't end the timer's run
    assert result.send_failures == 0
    assert stack.waiting() == 0
    stack.fake.not_there = {}
    monkeypatch.setattr(clock, "now", lambda: other.created_at + 200_000)
    timer.tick(runners.sender(), until=clock.now() + 60_000)
    assert stack.take_called().count(LARGE) == len(rows)


@pytest.mark.parametrize("kind", NOT_THERE)
def test_a_task_whose_class_is_not_there_yet_waits_on_the_delay_queue(
    kind: str,
    stack: Stack,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "worker")  # metrics are written there alone
    stack.act_as(None)
    stack.fake.not_there = {LARGE: kind}
    runners.dispatch_task("large_note", {})
    assert stack.waiting() == 1
    assert '"LeftForLater":[1' in capsys.readouterr().out.replace(" ", "")


@pytest.mark.parametrize(
    ("worker", "missing", "name"),
    [("large", WORKER_ARN, "default_note"), ("large", OWN["large"], "large_note")],
)
def test_a_class_that_misses_its_own_function_or_the_default_one_says_so(
    stack: Stack, worker: str, missing: str, name: str
) -> None:
    stack.act_as(worker)
    stack.fake.not_there = {missing: NOT_THERE[0]}
    with pytest.raises(SendFailed):
        lambda_async.sender(OWN[worker])(task(name))
    assert stack.waiting() == 0


def test_a_missing_default_worker_is_an_error_as_before(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.fake.not_there = {WORKER_ARN: NOT_THERE[0]}
    with pytest.raises(Exception, match="Could not send task"):
        runners.dispatch_task("default_note", {})
    assert stack.waiting() == 0


def test_the_api_shows_the_class_of_a_job_and_of_its_type(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = stack.dispatch("large")
    assert call("GET", f"/jobs/{row.id}").json["worker"] == "large"
    assert call("GET", f"/jobs/{stack.dispatch('lost').id}").json["worker"] is None
    found = call("GET", "/job-types").json
    shown = {each["name"]: each["worker"] for each in (*found["jobs"], *found["tasks"])}
    assert {name: shown[name] for name in ("default", "large", "tiny_note")} == {
        "default": None,
        "large": "large",
        "tiny_note": "tiny",
    }
    monkeypatch.delenv("WORKER_CLASSES")  # as in a process on this machine
    forget()
    assert call("GET", f"/jobs/{row.id}").json["worker"] is None


def test_the_api_shows_the_class_of_a_failed_task(stack: Stack) -> None:
    for worker in ("large", "default"):
        record = {
            "requestContext": {"condition": "RetriesExhausted", "approximateInvokeCount": 1},
            "requestPayload": event_of(TaskMessage(f"{worker}-1", f"{worker}_note", {}, attempt=3)),
            "responsePayload": {"errorType": "ValueError", "errorMessage": "no luck"},
        }
        body = {"Records": [{"messageId": "m", "body": json.dumps(record)}]}
        job_runners.handlers.failures.handler(body, Context())  # type: ignore[arg-type]
    catch_up()
    found = call("GET", "/tasks/failed").json["tasks"]
    assert {each["task_name"]: each["worker"] for each in found} == {
        "large_note": "large",
        "default_note": None,
    }


def test_the_log_lines_of_a_class_name_it(stack: Stack) -> None:
    for worker in ("large", "default"):
        stack.dispatch(worker)
        stream = StringIO()
        with patch.object(telemetry.logger.registered_handler, "stream", stream):
            stack.work(worker, stack.fake.events.pop())
        lines = [json.loads(line) for line in stream.getvalue().splitlines()]
        (claimed,) = (each for each in lines if each["message"] == "claimed")
        assert claimed.get("worker", "no field") == (CLASSES[worker] or "no field")
