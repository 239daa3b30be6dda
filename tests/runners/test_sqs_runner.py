"""examples/sqs_runner: what synchronous delivery by a queue changes, and what it does not."""

import json
from collections import Counter
from typing import Any

import pytest

import job_runners.handlers.worker
from fake_queue import FakeQueue
from histories.history import play_seed, simulated_aws
from histories.simulated_queue import SimulatedQueue
from job_runners import runners
from job_runners.aws import clients
from job_runners.engine.registry.errors import RunnerNotConfigured
from job_runners.engine.wire.messages import JobMessage, encode
from job_runners.errors import RetryAfter, SendFailed, SendInDoubt
from job_runners.runners.base import JobData
from job_runners.store.job_request import Status
from job_runners.store.queries import read
from job_runners.testing.aws import forget
from job_runners.testing.lambda_context import Context
from job_runners.testing.plain_clients import full_client
from job_runners.work import RunningJob
from sample_work import Sample, script
from sizes import by_size


@pytest.fixture
def queue(aws: None, monkeypatch: pytest.MonkeyPatch) -> FakeQueue:
    url = full_client("sqs").create_queue(QueueName="work")["QueueUrl"]
    monkeypatch.setenv("WORK_QUEUE_URL", url)
    monkeypatch.setenv("JOB_RUNNER", "sqs_runner.runner")
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work")
    forget()
    script.reset()
    return FakeQueue(url)


def dispatch(job_type: str = "sample_again", organization: str = "acme", **fields: Any) -> Any:
    data = JobData(job_type=job_type, organization_id=organization, **fields)
    return runners.dispatch_job(data)


def sends() -> list[dict[str, Any]]:
    """Return what is sent from now on."""
    sent: list[dict[str, Any]] = []

    def keep(params: dict[str, Any], **_: Any) -> None:
        sent.append(params)

    clients.client("sqs").meta.events.register("provide-client-params.sqs.SendMessage", keep)
    return sent


@pytest.mark.parametrize(
    "missing", ["WORK_QUEUE_URL", "JOBS_TABLE_NAME", "COORDINATION_TABLE_NAME"]
)
def test_it_says_what_is_missing(
    missing: str, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(missing)
    forget()
    with pytest.raises(RunnerNotConfigured, match=f"{missing} is not set"):
        runners.get_job_runner()


def test_an_organisation_has_its_own_turn_whoever_sends(queue: FakeQueue) -> None:
    rows = [dispatch(organization=name) for name in ("acme", "acme", "other")]
    send = runners.sender()
    assert send is not None
    send(JobMessage.about(rows[0]))  # as the timer would
    runners.dispatch_task("sample_note", {})
    queue.deliver()
    acme, again, other, resent, task = queue.groups
    assert acme == again == resent
    assert len({acme, other, task}) == 3


def test_a_job_delivered_again_does_not_run_again(queue: FakeQueue) -> None:
    row = dispatch("sample_once")
    (record,) = queue.receive()
    for _ in range(2):
        answer = job_runners.handlers.worker.handler({"Records": [record]}, Context())  # type: ignore[arg-type]
        assert answer == {"batchItemFailures": []}
    assert [run[0] for run in script.jobs_run] == [row.id]


def test_what_another_runner_has_sent_the_worker_is_run_too(queue: FakeQueue) -> None:
    """It waited with Lambda while JOB_RUNNER was changed."""
    row = dispatch("sample_once")
    event = json.loads(encode(JobMessage.about(row)))
    job_runners.handlers.worker.handler(event, Context())  # type: ignore[arg-type]
    assert [run[0] for run in script.jobs_run] == [row.id]


def test_the_worker_drops_connections_that_slept_before_the_runner_has_the_event(
    queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped: list[int] = []
    monkeypatch.setattr(
        clients, "drop_idle_connections", lambda: dropped.append(len(script.jobs_run))
    )
    dispatch("sample_once")
    queue.deliver()
    assert (dropped, len(script.jobs_run)) == ([0], 1)


def test_a_retry_comes_back_through_the_queue_with_its_delay(
    queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(job: RunningJob, payload: Sample) -> None:
        raise RetryAfter(30)

    script.job = work
    sent = sends()
    row = dispatch()
    queue.deliver()
    found = read(row.id)
    assert found is not None
    assert found.status is Status.RETRYABLE
    assert [each["DelaySeconds"] for each in sent] == [0, 30]


def test_a_task_that_may_not_run_again_is_off_the_queue_before_it_runs(queue: FakeQueue) -> None:
    left = []

    def work(payload: Sample) -> None:
        left.extend(queue.receive())

    script.task = work
    for name in ("sample_note", "sample_note_unless_cut_off"):
        runners.dispatch_task(name, {})
        queue.deliver()
    assert (len(script.tasks_run), left) == (2, [])


def test_a_second_delivery_of_another_stands_for_an_attempt_that_was_cut_off(
    queue: FakeQueue,
) -> None:
    task_id = runners.dispatch_task("sample_note_again", {})
    (record,) = queue.receive()
    assert json.loads(record["body"])["id"] == task_id
    full_client("sqs").delete_message(QueueUrl=queue.url, ReceiptHandle=record["receiptHandle"])
    sent = sends()
    record["attributes"]["ApproximateReceiveCount"] = "2"
    answer = job_runners.handlers.worker.handler({"Records": [record]}, Context())  # type: ignore[arg-type]
    assert (answer, script.tasks_run) == ({"batchItemFailures": []}, [])
    assert [json.loads(each["MessageBody"])["attempt"] for each in sent] == [2]


def test_a_task_that_can_not_begin_comes_again(
    queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    runners.dispatch_task("sample_note", {})
    monkeypatch.setenv("JOBS_PACKAGES", "")  # the worker is of an older deploy
    forget()
    queue.deliver()
    assert len(queue.failed) == 1
    assert script.tasks_run == []


def test_a_send_that_fails_is_told_as_lambda_async_tells_it(queue: FakeQueue) -> None:
    row = dispatch()
    sqs = full_client("sqs")
    sqs.delete_queue(QueueUrl=queue.url)
    assert dispatch().status is Status.QUEUED  # saved, due, and sent by the timer
    assert row.due_at is not None
    with pytest.raises(SendFailed) as failed:
        runners.dispatch_task("sample_note", {})
    assert not isinstance(failed.value, SendInDoubt)


def test_nothing_is_lost_or_doubled_under_a_queue_that_does_its_worst() -> None:
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/work"
    with simulated_aws(JOB_RUNNER="sqs_runner.runner", WORK_QUEUE_URL=url):
        seeds = range(by_size(6, 60))
        total = sum((play_seed(seed, world=SimulatedQueue) for seed in seeds), start=Counter())
    assert (total["lost"], total["doubled"], total["tasks lost"]) == (0, 0, 0)
    assert min(total["kills"], total["succeeded"]) > 10
