"""What the API and a worker do about Django's tasks where no Django with tasks is installed."""

import subprocess
import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import pytest

from api_events import call
from bench import Bench
from job_runners.django import django_task
from job_runners.errors import InvalidDefinition
from job_runners.settings import forget
from job_runners.store.job_request import Status

CALL = {"task": "bakery.tasks.bill", "args": [1], "keywords": {}, "backend": "default"}
ADVICE = "needs Django 6.0 or later, which needs Python 3.12 or later"


@pytest.fixture(autouse=True)
def jobs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_spec("django") is None, "the environment of these tests has no Django"
    module = ModuleType("bakery_jobs")
    module.JOBS = {  # type: ignore[attr-defined]
        "django_task": django_task(),
        "nightly": django_task("bakery.tasks.clean_up"),
    }
    monkeypatch.setitem(sys.modules, "bakery_jobs", module)
    monkeypatch.setenv("JOBS_PACKAGES", "bakery_jobs")
    forget()


@pytest.mark.parametrize(("job_type", "payload"), [("django_task", CALL), ("nightly", {})])
def test_the_worker_says_which_django_it_needs(
    bench: Bench, job_type: str, payload: dict[str, Any]
) -> None:
    row = bench.run(bench.dispatch(job_type, payload=payload))
    assert (row.status, row.attempt) == (Status.FAILED, 1)
    assert row.error["kind"] == "DjangoMissing"
    assert ADVICE in row.error["message"]


@pytest.mark.parametrize("installed", [[], ["django"]])
def test_the_site_is_told_which_django_it_needs(
    installed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in installed:  # as Django 5.2, which has no django.tasks
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    with pytest.raises(ImportError, match=ADVICE):
        from job_runners.django import JobRunnersBackend  # noqa: F401


@pytest.mark.parametrize(
    ("job_type", "payload", "field"),
    [
        ("django_task", {"task": "bill"}, "payload.task"),
        ("django_task", {"task": "os; import os.system"}, "payload.task"),
        ("django_task", {"task": "a." * 250 + "b"}, "payload.task"),
        ("django_task", {}, "payload.task"),
        ("django_task", CALL | {"args": {}}, "payload.args"),
        ("django_task", CALL | {"function": "x"}, "payload.function"),
        ("nightly", {"args": ["x"]}, "payload.args"),
    ],
)
def test_the_api_refuses_what_is_no_call(
    job_type: str, payload: dict[str, Any], field: str
) -> None:
    answer = call("POST", "/jobs", body={"job_type": job_type, "payload": payload})
    assert answer.status == 422, answer.text
    assert [each["field"] for each in answer.json["errors"]] == [field]


def test_a_service_may_use_no_queue_that_the_type_does_not_name() -> None:
    body = {"job_type": "django_task", "payload": CALL, "queue_name": "nowhere"}
    answer = call("POST", "/jobs", body=body)
    assert answer.status == 422, answer.text
    why = "must be 'default' for a job 'django_task'; add the queue to its definition"
    assert answer.json["errors"] == [{"field": "queue_name", "why": why}]


def test_a_type_without_a_fixed_task_has_no_fixed_arguments() -> None:
    with pytest.raises(InvalidDefinition, match="need the path of a task"):
        django_task(args=[1])


IMPORTED = """
import sys
from job_runners.django import django_task
job = django_task()
job.validate_new("django_task", {"task": "bakery.tasks.bill"})
print([name for name in sys.modules if name.partition(".")[0] in ("django", "asgiref")])
"""


def test_checking_a_call_imports_no_django() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=False
    )
    assert done.stdout == "[]\n", done.stderr
