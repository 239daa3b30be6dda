"""Calls that a worker must not make, and tasks that can't become jobs. Nothing of them runs."""

import sys
from typing import Any

import pytest
from django.tasks import default_task_backend, task
from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist
from django.test import override_settings

from job_runners import (
    Client,
    ConfigurationError,
    InvalidRequest,
    Job,
    JobRunnersError,
    NoAnswer,
)
from job_runners.django.calls import build_call
from job_runners.django.errors import TaskRefused
from job_runners.errors import PayloadTooLarge
from job_runners.testing.job_runner import InlineRunner
from job_runners.testing.saved_jobs import SavedJobs

BACKEND = "job_runners.django.JobRunnersBackend"


@pytest.fixture
def tasks(site: None) -> Any:
    from bakery import tasks

    return tasks


@pytest.fixture
def client(stack: Any) -> Client:
    return Client(timeout=60)


def marks() -> list[str]:
    from bakery.models import Mark

    return list(Mark.objects.values_list("text", flat=True))


def run(stack: Any, client: Client, payload: dict[str, Any]) -> Job:
    """Dispatch a call as any caller of the API can, and run it to its end."""
    job = client.dispatch("django_task", payload)
    stack("drain")
    return client.get(job.id)


class Path:
    """Passes for a task in `build_call`, so that a test can sign any path."""

    run_after = None
    queue_name = "default"

    def __init__(self, path: str, backend: str) -> None:
        self.module_path = path
        self.backend = backend


def signed(path: str, *args: Any, backend: str = "default", sign: bool = True) -> dict[str, Any]:
    return build_call(Path(path, backend), args, {}, sign=sign)


# --- the signature --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"signature": ""},
        {"signature": "x" * 43},
        {"args": ["changed"]},
        {"keywords": {"times": 3}},
        {"task": "bakery.tasks.fan_out"},
        {"backend": "commit"},
    ],
)
def test_an_unsigned_or_changed_call_is_refused(
    stack: Any, client: Client, change: dict[str, Any]
) -> None:
    job = run(stack, client, signed("bakery.tasks.mark", "ran") | change)
    assert (job.status, job.attempt) == ("failed", 1)
    assert job.error is not None
    assert job.error.kind == "TaskRefused"
    if change.keys() <= {"signature", "args", "keywords"}:
        [error] = default_task_backend.get_result(job.id).errors
        assert error.exception_class is TaskRefused
    assert "Use the same SECRET_KEY in the site and in the worker" in str(job.error.message)
    assert marks() == []


def test_a_signed_call_runs_and_so_does_one_with_the_key_before(stack: Any, client: Client) -> None:
    assert run(stack, client, signed("bakery.tasks.mark", "ran")).succeeded
    with override_settings(SECRET_KEY="another"):
        foreign = signed("bakery.tasks.mark", "foreign")
    assert run(stack, client, foreign).status == "failed"
    with override_settings(SECRET_KEY="the key before this one"):
        earlier = signed("bakery.tasks.mark", "earlier")
    assert run(stack, client, earlier).succeeded
    assert marks() == ["ran", "earlier"]


def test_a_backend_may_do_without_signatures(stack: Any, client: Client) -> None:
    call = signed("bakery.tasks.mark", "ran", backend="unsigned", sign=False)
    assert run(stack, client, call).succeeded


# --- the path -------------------------------------------------------------------------------------

PATHS = [
    "subprocess.check_call",
    "antigravity.fly",  # a module whose import has an effect
    "bakery.services.drop_everything",
    "bakery.tasks.plain",
    "bakery.tasks.another_name",  # a task whose function has another name
    "bakery.tasks.transaction",
    "bakery.tasks.Mark.objects.create",
    "django.tasks.base.task",
]


@pytest.mark.parametrize("path", PATHS)
def test_a_call_names_nothing_but_a_task_of_an_allowed_module(
    stack: Any, client: Client, path: str
) -> None:
    job = run(stack, client, signed(path, "x", backend="unsigned", sign=False))
    assert (job.status, job.attempt) == ("failed", 1)
    assert job.error is not None
    assert job.error.kind == "TaskRefused"
    with pytest.raises(TaskResultDoesNotExist):  # the site doesn't import it either
        default_task_backend.get_result(job.id)
    assert "antigravity" not in sys.modules
    assert marks() == []


@pytest.mark.parametrize("path", ["bakery.tasks.of_the_next_deploy", "bakery_2.tasks.bill"])
def test_a_signed_call_of_an_unknown_task_waits_an_hour_for_the_deploy(
    stack: Any, client: Client, path: str
) -> None:
    job = client.dispatch("django_task", signed(path))
    for _ in range(5):
        stack("advance/600")
        stack("due")
    waiting = client.get(job.id)
    assert (waiting.status, waiting.attempt, waiting.error) == ("queued", 1, None)
    stack("drain")
    ended = client.get(job.id)
    assert (ended.status, ended.attempt) == ("failed", 1)
    assert ended.error is not None
    assert ended.error.kind == "NotDeployed"
    assert path.rpartition(".")[0] in str(ended.error.message)


def test_a_backend_that_the_worker_lacks_is_refused(stack: Any, client: Client) -> None:
    for alias, words in (("unknown", "'unknown'"), ("immediate", "is ImmediateBackend")):
        job = run(stack, client, signed("bakery.tasks.mark", "x", backend=alias))
        assert job.error is not None
        assert job.error.kind == "TaskRefused"
        assert words in str(job.error.message)
    assert marks() == []


def test_wagtails_gadget_imports_nothing_without_a_signature(stack: Any, client: Client) -> None:
    """`import_task` calls `import_string` with its argument, as a task of Wagtail does."""
    call = signed("bakery.tasks.import_and_call", "bakery.services.drop_everything")
    assert run(stack, client, call | {"signature": ""}).status == "failed"
    assert marks() == []
    assert run(stack, client, call).succeeded  # so only the signature prevents it
    assert marks() == ["dropped everything"]


# --- on the site ----------------------------------------------------------------------------------


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def in_itself() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ([float("nan")], ValueError, "value that JSON can't hold: Out of range"),
        ([float("inf")], ValueError, "value that JSON can't hold: Out of range"),
        ([nested(100_000)], ValueError, "nested too deeply"),
        ([in_itself()], ValueError, "or in itself"),
        ([object()], TypeError, "Unsupported type"),
        ([b"\xff"], ValueError, "Unsupported value"),
        ([{1: 2}], TypeError, "keys aren't text"),
        (["half \ud800"], ValueError, "surrogate"),
        (["x" * 2_500_000], PayloadTooLarge, "Pass the id of a row"),
    ],
)
def test_arguments_that_no_job_can_have_are_refused(
    client: Client, tasks: Any, arguments: list[Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        tasks.mark.enqueue(*arguments)
    assert list(client.list()) == []


@pytest.mark.parametrize("arguments", [[(1, 2)], [{"a": [None, True, 1.5, "ü"]}], [2**60], [b"a"]])
def test_arguments_arrive_as_djangos_rules_turn_them_into_json(
    client: Client, tasks: Any, arguments: list[Any]
) -> None:
    result = tasks.mark.enqueue(*arguments)
    assert tasks.mark.get_result(result.id).args == result.args


def test_a_function_that_the_worker_cannot_find_is_refused(client: Client, tasks: Any) -> None:
    with pytest.raises(InvalidTask, match="Decorate the function itself"):
        tasks.another_name.enqueue()
    assert list(client.list()) == []


def test_a_task_outside_the_allowed_modules_is_refused(site: None) -> None:
    from bakery import services

    with pytest.raises(InvalidTask, match=r"Put the task into the module `tasks`.*'MODULES'"):
        task(services.drop_everything)
    options = {"MODULES": ["bakery.services"]}
    with override_settings(TASKS={"default": {"BACKEND": BACKEND, "OPTIONS": options}}):
        task(services.drop_everything)


def test_priority_and_unknown_queues_are_refused(tasks: Any) -> None:
    with pytest.raises(InvalidTask, match="priority"):
        tasks.mark.using(backend="acme", priority=5)
    with pytest.raises(InvalidTask, match="Queue 'nowhere'"):
        tasks.mark.using(queue_name="nowhere")


def test_a_queue_that_the_stack_does_not_know_is_refused(client: Client, tasks: Any) -> None:
    backend = {"BACKEND": BACKEND, "QUEUES": ["default", "nowhere"]}
    with override_settings(TASKS={"default": backend}):
        elsewhere = tasks.mark.using(queue_name="nowhere")
        with pytest.raises(InvalidRequest, match=r"must be 'default', .*add the queue to its"):
            elsewhere.enqueue("x")
    assert list(client.list()) == []


def test_it_is_refused_in_a_worker_too(job_runner: InlineRunner, tasks: Any) -> None:
    backend = {"BACKEND": BACKEND, "QUEUES": ["default", "nowhere"]}
    with (
        override_settings(TASKS={"default": backend}),
        pytest.raises(InvalidTask, match="Add 'nowhere' to the queues of its django_task"),
    ):
        tasks.mark.using(queue_name="nowhere").enqueue("x")
    assert len(SavedJobs()) == 0


@pytest.mark.parametrize(
    ("client_options", "error", "words"),
    [
        ({"url": "http://127.0.0.1:9"}, NoAnswer, "127.0.0.1"),
        ({}, ConfigurationError, "JOB_RUNNERS_URL"),
    ],
)
def test_without_a_stack_the_caller_is_told(
    monkeypatch: pytest.MonkeyPatch,
    tasks: Any,
    client_options: dict[str, Any],
    error: type[JobRunnersError],
    words: str,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "site")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.delenv("JOB_RUNNERS_URL", raising=False)
    options = {"CLIENT": client_options}
    with (
        override_settings(TASKS={"default": {"BACKEND": BACKEND, "OPTIONS": options}}),
        pytest.raises(error, match=words),
    ):
        tasks.mark.enqueue("x")
