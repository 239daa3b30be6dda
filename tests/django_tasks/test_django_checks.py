"""What manage.py check says about the settings, and check --deploy about the stack."""

import sys
from typing import Any

import pytest
from django.apps import apps
from django.core.checks import CheckMessage, run_checks
from django.test import override_settings

from job_runners.django import max_attempts

BACKEND = "job_runners.django.JobRunnersBackend"


def found(deploy: bool = False, queues: Any = (), **options: Any) -> dict[str, CheckMessage]:
    """Return the messages of a check with these settings, by their ids."""
    tasks = {"default": {"BACKEND": BACKEND, "QUEUES": [*queues], "OPTIONS": options}}
    with override_settings(TASKS=tasks):
        messages = run_checks(include_deployment_checks=deploy)
    return {each.id: each for each in messages if str(each.id).startswith("job_runners.")}


def test_the_settings_of_the_bakery_are_right_and_its_stack_has_what_they_name(stack: Any) -> None:
    messages = run_checks(include_deployment_checks=True)
    assert [each for each in messages if str(each.id).startswith("job_runners.")] == []


def test_without_an_address_the_check_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOB_RUNNERS_URL", raising=False)
    messages = found()
    assert set(messages) == {"job_runners.W002"}
    assert "JOB_RUNNERS_URL" in messages["job_runners.W002"].hint


@pytest.mark.parametrize(
    ("settings", "message_id", "words"),
    [
        ({"ON_COMIT": "default"}, "E001", "unknown option 'ON_COMIT'"),
        ({"CLIENT": {"timeuot": 3}}, "W002", "timeuot"),
        ({"queues": ["a/b"]}, "E003", "'a/b'"),
        ({"PRIORITY_QUEUES": {10: "a/b"}}, "E003", "'a/b'"),
        ({"ON_COMMIT": "replica"}, "E004", "'replica', which isn't in DATABASES"),
        ({"MODULES": ["nowhere.tasks"]}, "E005", "'nowhere.tasks'"),
    ],
)
def test_each_mistake_in_the_settings_is_named(
    stack: Any, settings: dict[str, Any], message_id: str, words: str
) -> None:
    messages = found(**settings)
    assert set(messages) == {f"job_runners.{message_id}"}
    message = messages[f"job_runners.{message_id}"]
    assert message.msg.startswith("TASKS['default']")
    assert words in message.msg


@pytest.mark.parametrize(
    ("settings", "message_id", "words"),
    [
        ({"JOB_TYPE": "none"}, "E102", "the stack has no job type 'none'"),
        ({"PER_TASK": {"bakery.": {"JOB_TYPE": "none"}}}, "E102", "'none'"),
        ({"queues": ["nowhere"]}, "E103", "don't use the queue 'nowhere'"),
        ({"QUEUE_NAMES": {"default": "nowhere"}}, "E103", "'nowhere'"),
        ({"PRIORITY_QUEUES": {10: "nowhere"}}, "E103", "'nowhere'"),
        ({"CLIENT": {"url": "http://127.0.0.1:9"}}, "W101", "its stack can't be checked"),
    ],
)
def test_check_deploy_names_what_the_stack_lacks(
    stack: Any, settings: dict[str, Any], message_id: str, words: str
) -> None:
    assert found(**settings) == {}
    messages = found(deploy=True, **settings)
    assert set(messages) == {f"job_runners.{message_id}"}
    assert words in messages[f"job_runners.{message_id}"].msg


def test_a_django_without_tasks_is_refused_with_advice(
    site: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "django.tasks", None)  # as in Django 5.2
    with pytest.raises(ImportError, match=r"needs Django 6.0 or later, which needs Python 3.12"):
        apps.get_app_config("job_runners").ready()


def test_a_task_has_at_least_one_attempt() -> None:
    with pytest.raises(ValueError, match="at least one attempt"):
        max_attempts(0)


def test_the_number_of_attempts_is_written_below_task(site: None) -> None:
    from bakery.tasks import mark

    with pytest.raises(TypeError, match="below @task"):
        max_attempts(3)(mark)
