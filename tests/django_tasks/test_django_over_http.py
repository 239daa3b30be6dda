"""A site enqueues tasks over HTTP, and a worker in another process runs them."""

import asyncio
import dataclasses
import pickle
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import django
import pytest
from django.db import transaction
from django.tasks import TaskResult, default_task_backend, signals
from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist, TaskResultMismatch
from django.test import override_settings
from django.utils import timezone

from job_runners import Client, IdempotencyConflict, Job
from job_runners.django import job_options

pytestmark = pytest.mark.usefixtures("stack")


@pytest.fixture
def tasks(site: None) -> Any:
    from bakery import tasks

    return tasks


@pytest.fixture
def enqueued() -> Iterator[list[str]]:
    """Yield the ids that the signal `task_enqueued` has brought."""
    ids: list[str] = []

    def note(sender: type, task_result: TaskResult, **_: Any) -> None:
        ids.append(task_result.id)

    signals.task_enqueued.connect(note)
    yield ids
    signals.task_enqueued.disconnect(note)


def job_of(result: TaskResult) -> Job:
    return Client(timeout=60).get(result.id)


def done(stack: Any, result: TaskResult) -> TaskResult:
    stack("drain")
    result.refresh()
    return result


def billed() -> int:
    from bakery.models import Order

    return int(Order.objects.get(pk=1).billed)


def test_a_task_runs_in_the_worker_and_its_result_is_read_on_the_site(
    stack: Any, tasks: Any, enqueued: list[str]
) -> None:
    result = tasks.bill.enqueue(order_id=1)
    assert enqueued == [result.id]
    assert (result.status, result.attempts, result.is_finished) == ("READY", 0, False)
    assert (result.args, result.kwargs, result.started_at) == ([], {"order_id": 1}, None)
    done(stack, result)
    assert (result.status, result.attempts, result.errors) == ("SUCCESSFUL", 1, [])
    assert result.return_value == {"billed": 1} == {"billed": billed()}
    assert result.enqueued_at <= result.started_at <= result.finished_at
    assert result.last_attempted_at == result.started_at
    again = tasks.bill.get_result(result.id)
    assert dataclasses.asdict(again)["_return_value"] == {"billed": 1}
    assert again.task == tasks.bill
    if django.VERSION >= (6, 1):
        assert pickle.loads(pickle.dumps(again)) == again
    with pytest.raises(TaskResultMismatch):
        tasks.mark.get_result(result.id)


def test_the_connection_is_closed_and_the_language_and_the_zone_are_reset(
    stack: Any, tasks: Any
) -> None:
    for _ in range(2):
        assert done(stack, tasks.leak.enqueue()).return_value == ["en", "America/Chicago"]
        assert stack("connections") == "[false]"


def test_the_worker_keeps_its_own_log(stack: Any, tasks: Any) -> None:
    done(stack, tasks.mark.enqueue("x"))
    assert "NullHandler" not in stack("logs")  # which the settings of the site ask for


def test_a_task_has_the_attempts_that_it_asks_for(stack: Any, tasks: Any) -> None:
    result = done(stack, tasks.flaky.enqueue(3))
    assert (result.status, result.attempts) == ("SUCCESSFUL", 3)
    assert result.return_value == [3, result.id, [3]]
    assert [each.traceback for each in result.errors] == ["Boom: attempt 1\n", "Boom: attempt 2\n"]
    result = done(stack, tasks.flaky.enqueue(9))
    assert (result.status, result.attempts) == ("FAILED", 3)
    assert [each.exception_class for each in result.errors] == [tasks.Boom] * 3
    last = result.errors[-1].traceback.splitlines()
    assert last[0] == "Traceback (most recent call last):"
    assert "bakery/tasks.py" in last[1]
    assert last[-1] == "bakery.tasks.Boom: attempt 3"
    with pytest.raises(ValueError, match="Task failed"):
        _ = result.return_value


def test_between_two_attempts_a_task_is_ready(stack: Any, tasks: Any) -> None:
    result = tasks.later.enqueue()
    stack("due")
    result.refresh()
    assert (result.status, result.attempts, len(result.errors)) == ("READY", 1, 1)
    assert result.errors[0].exception_class_path == "job_runners.errors.RetryAfter"
    assert result.errors[0].exception_class.__name__ == "RetryAfter"
    done(stack, result)
    assert (result.status, result.attempts) == ("FAILED", 2)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("fail", "Boom"),
        ("stop", "SystemExit"),
        ("give_up", "DoNotRetry"),
        ("not_json", "TypeError"),
        ("large", "PayloadTooLarge"),
    ],
)
def test_one_attempt_is_the_default_and_some_errors_are_never_retried(
    stack: Any, tasks: Any, name: str, error: str
) -> None:
    result = done(stack, getattr(tasks, name).enqueue())
    assert (result.status, result.attempts) == ("FAILED", 1)
    assert [each.exception_class.__name__ for each in result.errors] == [error]


def test_the_settings_choose_queue_job_type_and_attempts(stack: Any, tasks: Any) -> None:
    result = asyncio.run(tasks.mail.aenqueue("ada"))
    assert job_of(result).queue_name == "emails"
    stack("drain")
    found = asyncio.run(tasks.mail.aget_result(result.id))
    assert found.return_value == "sent to ada, 1 orders"
    assert found.task == tasks.mail
    for priority, queue in ((0, "default"), (9, "default"), (10, "urgent"), (99, "urgent")):
        result = tasks.mark.using(priority=priority).enqueue("x")
        assert job_of(result).queue_name == queue
    job = job_of(tasks.slow.enqueue())
    assert (job.job_type, job.max_attempts) == ("django_slow", 2)
    assert done(stack, tasks.slow.enqueue()).attempts == 2


def test_the_highest_step_that_a_priority_reaches_chooses_the_queue(stack: Any, tasks: Any) -> None:
    steps = {10: "urgent", 50: "now", -10: "late", -50: "last"}
    backend = {
        "BACKEND": "job_runners.django.JobRunnersBackend",
        "OPTIONS": {"PRIORITY_QUEUES": steps},
    }
    with override_settings(TASKS={"default": backend}):
        chosen = {
            priority: job_of(tasks.mark.using(priority=priority).enqueue("x")).queue_name
            for priority in (-100, -50, -49, -9, 9, 49, 50, 100)
        }
    assert [*chosen.values()] == [
        *("last", "last", "late", "default"),
        *("default", "urgent", "now", "now"),
    ]


def test_a_task_waits_for_its_time_for_up_to_30_days(stack: Any, tasks: Any) -> None:
    at = timezone.now() + timedelta(days=29)
    result = tasks.bill.using(run_after=at).enqueue(1)
    stack("due")
    result.refresh()
    assert (result.status, result.attempts) == ("READY", 0)
    found = tasks.bill.get_result(result.id)
    assert abs(found.task.run_after - at) < timedelta(milliseconds=2)
    with pytest.raises(InvalidTask, match="at most 30 days"):
        tasks.bill.using(run_after=at + timedelta(days=2))
    assert done(stack, result).return_value == {"billed": 1}


def test_a_canceled_task_has_failed_with_an_error_that_can_be_imported(
    stack: Any, tasks: Any
) -> None:
    result = tasks.bill.using(run_after=timezone.now() + timedelta(days=1)).enqueue(1)
    Client(timeout=60).cancel(result.id)
    result.refresh()
    assert (result.status, result.attempts) == ("FAILED", 0)
    [error] = result.errors
    assert error.exception_class.__name__ == "JobCanceled"
    assert error.traceback == "JobCanceled: The job was canceled.\n"


def test_a_manual_retry_has_the_task_s_own_attempts(stack: Any, tasks: Any) -> None:
    result = done(stack, tasks.fail.enqueue())
    Client(timeout=60).retry(result.id)
    result.refresh()
    assert (result.status, result.attempts, len(result.errors)) == ("READY", 0, 1)
    assert job_of(result).max_attempts == 1
    done(stack, result)
    assert (result.status, result.attempts, len(result.errors)) == ("FAILED", 1, 2)


def test_what_a_task_enqueues_is_enqueued_once_although_the_task_is_retried(
    stack: Any, tasks: Any
) -> None:
    from bakery.models import Mark

    result = done(stack, tasks.fan_out.enqueue())
    assert (result.status, result.attempts) == ("SUCCESSFUL", 2), result.errors
    assert len({*result.return_value}) == 5
    marks = sorted(Mark.objects.values_list("text", flat=True))
    assert marks == ["committed", "has failed once", "later", "other", "same", "same"]
    for result_id in result.return_value:
        assert tasks.mark.get_result(result_id).return_value == 1


def test_with_on_commit_nothing_is_enqueued_before_the_commit_or_after_a_rollback(
    stack: Any, tasks: Any, enqueued: list[str]
) -> None:
    task = tasks.bill.using(backend="commit")
    with transaction.atomic():
        result = task.enqueue(1)
        stack("drain")
        assert (result.status, result.enqueued_at, enqueued) == ("READY", None, [])
        with pytest.raises(TaskResultDoesNotExist):
            result.refresh()
    assert (result.enqueued_at is None, len(enqueued)) == (False, 1)
    assert done(stack, result).return_value == {"billed": 1}
    assert task.get_result(result.id).return_value == {"billed": 1}
    with transaction.atomic():
        result = task.enqueue(1)
        transaction.set_rollback(True)
    with pytest.raises(TaskResultDoesNotExist):
        result.refresh()
    assert len(enqueued) == 1
    assert done(stack, task.enqueue(1)).return_value == {"billed": 2}  # outside a transaction
    with transaction.atomic(), job_options(organization_id="zebra"):
        result = task.enqueue(1)
    assert done(stack, result).return_value == {"billed": 3}


def test_a_dispatch_that_fails_after_the_commit_is_logged_and_the_commit_stands(
    stack: Any, tasks: Any, caplog: pytest.LogCaptureFixture
) -> None:
    from bakery.models import Mark

    options = {"ON_COMMIT": "default", "CLIENT": {"url": "http://127.0.0.1:9"}}
    backend = {"BACKEND": "job_runners.django.JobRunnersBackend", "OPTIONS": options}
    with override_settings(TASKS={"default": backend}), transaction.atomic():
        Mark.objects.create(text="committed")
        tasks.mark.enqueue("lost")
    assert Mark.objects.filter(text="committed").exists()
    assert "127.0.0.1:9" in caplog.text


def test_an_idempotency_key_names_one_task(stack: Any, tasks: Any) -> None:
    ids = set()
    for _ in range(2):
        with job_options(idempotency_key="order-17"):
            ids.add(tasks.bill.enqueue(1).id)
    assert len(ids) == 1
    with job_options(idempotency_key="order-17"), pytest.raises(IdempotencyConflict):
        tasks.bill.enqueue(2)
    with job_options(idempotency_key="order-18"):
        tasks.bill.enqueue(1)
        with pytest.raises(ValueError, match=r"order-18.* stands for one task"):
            tasks.bill.enqueue(1)
    stack("drain")
    assert billed() == 2
    with job_options(idempotency_key="order-17"):
        assert tasks.bill.using(backend="immediate").enqueue(1).status == "SUCCESSFUL"


def test_results_of_another_organization_and_other_jobs_do_not_exist(
    stack: Any, tasks: Any
) -> None:
    ours = tasks.mark.using(backend="acme").enqueue("ours")
    assert job_of(ours).organization_id == "acme"
    assert done(stack, ours).return_value == 1
    theirs = tasks.mark.enqueue("theirs")
    backend = tasks.mark.using(backend="acme").get_backend()
    nightly = Client(timeout=60).dispatch("nightly", {}, organization_id="acme")
    texts = ("0" * 32, "", "..", "no id", "key:", "key:a", "key:/b", "key:a#/b", "key:/\0")
    for result_id in (theirs.id, nightly.id, *texts):
        with pytest.raises(TaskResultDoesNotExist):
            backend.get_result(result_id)
    with job_options(organization_id="zebra"):
        assert job_of(tasks.mark.enqueue("stripes")).organization_id == "zebra"


def test_tasks_run_on_djangos_own_backend_too(site: None, tasks: Any) -> None:
    result = tasks.flaky.using(backend="immediate").enqueue(1)
    assert (result.status, result.attempts) == ("SUCCESSFUL", 1)


def test_threads_share_one_client(stack: Any) -> None:
    async def transports() -> set[int]:
        every = (asyncio.to_thread(lambda: default_task_backend.transport) for _ in range(3))
        return {id(each) for each in await asyncio.gather(*every)}

    assert len(asyncio.run(transports())) == 1
