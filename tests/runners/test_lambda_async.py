"""The runner lambda-async: Event invokes, the delay queue, and what the timer sends instead."""

import json
import time
from typing import Any

import pytest

from job_runners import clock, runners
from job_runners.engine.tick import timer
from job_runners.errors import RetryAfter, SendFailed
from job_runners.store import queries
from job_runners.store.job_request import Status
from job_runners.testing.plain_clients import full_client
from runner_bench import RunnerBench
from sample_work import script


def test_a_redelivered_event_does_not_run_the_job_again(lambda_bench: RunnerBench) -> None:
    fake = lambda_bench.fake
    lambda_bench.dispatch()
    fake.events *= 3
    fake.deliver()
    assert len(script.jobs_run) == 1


def test_the_worker_is_invoked_as_an_event_at_its_alias(lambda_bench: RunnerBench) -> None:
    fake = lambda_bench.fake
    lambda_bench.dispatch()
    (call,) = fake.invokes
    assert call["type"] == b"Event"
    assert "function%3Aworker%3Alive" in call["url"]


@pytest.mark.parametrize("status", [429, 500, 404])
def test_a_job_whose_send_fails_is_due_and_the_timer_sends_it(
    status: int, lambda_bench: RunnerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # botocore's own retries
    fake = lambda_bench.fake
    fake.refuse = status
    row = lambda_bench.dispatch()
    assert row.status is Status.QUEUED
    fake.refuse = None
    monkeypatch.setattr(clock, "now", lambda: row.created_at + 61_000)
    sender = runners.sender()
    assert sender is not None
    assert timer.tick(sender, until=clock.now() + 1).counts[timer.Disposition.SENT] == 1
    fake.deliver()
    assert [each[0] for each in script.jobs_run] == [row.id]


def test_a_task_whose_send_fails_says_so(
    lambda_bench: RunnerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    lambda_bench.fake.refuse = 429
    with pytest.raises(SendFailed, match=r"Could not send task "):
        lambda_bench.runner.dispatch_task("sample_note", {})


def test_a_retry_comes_back_through_the_delay_queue_and_resumes(
    lambda_bench: RunnerBench, delay_queue: str
) -> None:
    def fail_once(job: Any, payload: object) -> Any:
        if job.attempt == 1:
            job.checkpoint({"row": 4})
            raise RetryAfter(0.5, "busy")
        return {"resumed_at": job.cursor}

    script.job = fail_once
    fake = lambda_bench.fake
    row = lambda_bench.dispatch("sample_again")
    fake.deliver()
    event = receive_delayed(delay_queue)
    assert (event["id"], event["kind"]) == (row.id, "job")
    fake.events.append(event)
    fake.deliver()
    assert script.jobs_run == [(row.id, 1, 1), (row.id, 2, 2)]
    end = queries.read(row.id)
    assert end is not None
    assert (end.status, end.error) == (Status.SUCCEEDED, None)


def test_a_tagged_task_is_sent_again_with_its_attempt_and_in_the_end_given_up(
    lambda_bench: RunnerBench, delay_queue: str
) -> None:
    def fail(payload: object) -> None:
        raise RetryAfter(0.5, "busy")

    script.task = fail
    fake = lambda_bench.fake
    task_id = lambda_bench.runner.dispatch_task("sample_note_again", {"number": 9})
    assert [event["id"] for event in fake.events] == [task_id]
    attempts = []
    for _ in range(2):
        fake.deliver()
        event = receive_delayed(delay_queue)
        attempts.append(event["attempt"])
        fake.events.append(event)
    fake.deliver()
    assert attempts == [2, 3]
    assert len(script.tasks_run) == 3
    assert receive_delayed(delay_queue) is None


def test_what_waits_longer_than_a_queue_can_hold_it_comes_early_or_by_the_timer(
    lambda_bench: RunnerBench, delay_queue: str
) -> None:
    """Nothing but its message knows of a task: the queue lets it go early. A job is due."""

    def wait(*_: object) -> None:
        raise RetryAfter(3600, "busy")

    script.task = script.job = wait
    lambda_bench.runner.dispatch_task("sample_note_again", {})
    lambda_bench.fake.deliver()
    assert pending(delay_queue) == "1"
    row = lambda_bench.outcome("sample_again")
    assert (row.status, pending(delay_queue)) == (Status.RETRYABLE, "1")


def receive_delayed(queue_url: str) -> Any:
    """Return what the delay queue hands out, once its delay is over."""
    for _ in range(20):
        waiting = int(pending(queue_url))  # asked first: meanwhile a delay may end
        messages = full_client("sqs").receive_message(QueueUrl=queue_url).get("Messages", [])
        if messages:
            (message,) = messages
            full_client("sqs").delete_message(
                QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"]
            )
            return json.loads(message["Body"])
        if waiting == 0:
            return None
        time.sleep(0.1)
    raise AssertionError("a delayed message never became visible")


def pending(queue_url: str) -> str:
    name = "ApproximateNumberOfMessagesDelayed"
    attributes = full_client("sqs").get_queue_attributes(QueueUrl=queue_url, AttributeNames=[name])
    value: str = attributes["Attributes"][name]
    return value
