"""A service that hears a request and does not answer: a job's message is sent again, for only one
can claim; a task is not, for it would run twice.
"""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError

import job_runners.handlers.failures
import job_runners.handlers.timer
import job_runners.handlers.worker
from api_events import call
from api_worker import send_to_lambda
from fake_lambda import FakeLambda
from job_runners import clock
from job_runners.aws import clients
from job_runners.engine.wire.messages import TaskMessage
from job_runners.errors import SendFailed, SendInDoubt
from job_runners.runners import get_job_runner, lambda_async
from job_runners.runners.base import JobData
from job_runners.store import queries
from job_runners.store.job_request import Status
from job_runners.testing.lambda_context import Context
from sample_work import script

pytestmark = pytest.mark.usefixtures("aws")

UNANSWERED = ReadTimeoutError(endpoint_url="https://aws.test")
UNREACHED = ConnectTimeoutError(endpoint_url="https://aws.test")
TASK = {"v": 1, "kind": "task", "id": "t", "name": "sample_note", "payload": {}, "attempt": 1}
Break = Callable[[Exception], None]


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Return the requests that Lambda and SQS have taken, by operation."""
    send_to_lambda(monkeypatch, "https://sqs.us-east-1.amazonaws.com/123456789012/delay")
    monkeypatch.setattr(clock, "sleep", lambda seconds: None)
    return Counter()


@pytest.fixture
def break_down(heard: Counter[str]) -> Break:
    """From now on each send is taken, and then ends in this error."""

    def break_down(error: Exception) -> None:
        def take(event_name: str, **_: Any) -> None:
            heard[event_name.rpartition(".")[2]] += 1
            raise error

        for service, operation in (("lambda", "Invoke"), ("sqs", "SendMessage")):
            events = clients.client(service).meta.events
            events.register_first(f"before-send.{service}.{operation}", take)

    return break_down


def test_a_task_that_may_have_been_sent_is_not_sent_again(
    heard: Counter[str], break_down: Break
) -> None:
    break_down(UNANSWERED)
    with pytest.raises(SendInDoubt, match="It is unknown whether"):
        get_job_runner().dispatch_task("sample_note", {})
    assert heard == {"Invoke": 1}


def test_the_api_says_that_nobody_knows_and_not_to_try_again_in_a_moment(
    heard: Counter[str], break_down: Break
) -> None:
    break_down(UNANSWERED)
    answer = call("POST", "/tasks", body={"task_name": "sample_note"})
    assert (answer.status, answer.json["type"]) == (504, "urn:job-runners:may-have-been-sent")
    assert "may run twice" in answer.json["detail"]
    assert "retry-after" not in answer.headers
    assert heard == {"Invoke": 1}


def test_a_task_that_surely_did_not_leave_is_tried_again(
    heard: Counter[str], break_down: Break
) -> None:
    break_down(UNREACHED)
    with pytest.raises(SendFailed, match="Could not send"):
        get_job_runner().dispatch_task("sample_note", {})
    assert heard == {"Invoke": 2}


def test_what_is_refused_for_good_is_not_tried_again(
    heard: Counter[str], break_down: Break
) -> None:
    answer: Any = {"Error": {"Code": "AccessDeniedException", "Message": "not authorized"}}
    break_down(ClientError(answer, "Invoke"))
    with pytest.raises(SendFailed, match="not authorized"):
        get_job_runner().dispatch_task("sample_note", {})
    assert heard == {"Invoke": 1}


def test_a_failed_task_that_is_sent_again_may_be_sent_twice_for_it_begins_once(
    heard: Counter[str], break_down: Break
) -> None:
    break_down(UNANSWERED)
    again = TaskMessage(id="n", name="sample_note", payload={}, redrives="t", send_id="s")
    with pytest.raises(SendFailed, match="Could not send"):
        lambda_async.send(again)
    assert heard == {"Invoke": 2}


def test_the_message_of_a_job_is_sent_again_and_the_job_is_due(
    heard: Counter[str], break_down: Break
) -> None:
    break_down(UNANSWERED)
    data = JobData(job_type="sample_once", organization_id="acme")
    row = queries.read(get_job_runner().dispatch_job(data).row.id)
    assert row is not None
    assert (row.status, heard) == (Status.QUEUED, {"Invoke": 2})


def test_a_delayed_task_that_may_have_been_sent_does_not_go_back_to_its_queue(
    heard: Counter[str], break_down: Break
) -> None:
    break_down(UNANSWERED)
    records = {"Records": [{"messageId": "m", "body": json.dumps(TASK)}]}
    answer = job_runners.handlers.timer.handler(records, Context(seconds=60))  # type: ignore[arg-type]
    assert (answer, heard) == ({"batchItemFailures": []}, {"Invoke": 1})


def test_the_next_attempt_of_a_task_is_not_sent_twice(
    heard: Counter[str], break_down: Break
) -> None:
    def fail(payload: object) -> None:
        raise ValueError("no luck")

    script.task = fail
    break_down(UNANSWERED)
    event = TASK | {"name": "sample_note_again"}
    job_runners.handlers.worker.handler(event, Context())  # type: ignore[arg-type]  # or Lambda had a record
    assert heard == {"SendMessage": 1}


def test_a_failure_record_of_a_task_that_may_have_been_sent_is_not_kept(
    heard: Counter[str], break_down: Break
) -> None:
    break_down(UNANSWERED)
    record = {"requestContext": {"condition": "EventAgeExceeded"}, "requestPayload": TASK}
    batch = {"Records": [{"messageId": "m", "body": json.dumps(record)}]}
    answer = job_runners.handlers.failures.handler(batch, Context())  # type: ignore[arg-type]
    assert (answer, heard) == ({"batchItemFailures": []}, {"SendMessage": 1})


def test_a_task_goes_over_no_connection_that_has_slept(
    heard: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process is frozen between two invocations, and does not hear that a connection closes. A
    job's message may be lost on one, for it can be sent again: that saves a handshake."""
    fake = FakeLambda()
    closed: list[int] = []
    now = first = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now)
    monkeypatch.setattr(clients.client("lambda"), "close", lambda: closed.append(now - first))
    runner = get_job_runner()
    for milliseconds in (0, 500, 5_500):
        now = first + milliseconds
        runner.dispatch_task("sample_note", {})
    now = first + 60_000
    runner.dispatch_job(JobData(job_type="sample_once", organization_id="acme"))
    assert (closed, len(fake.events)) == ([0, 5_500], 4)
