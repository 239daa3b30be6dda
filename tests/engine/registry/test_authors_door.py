"""What the author of work imports, and what that costs a cold start."""

import subprocess
import sys

import pytest

from bench import Bench
from job_runners import runners, work
from job_runners.places import ROOT
from job_runners.runners import JobData, dispatch_job, dispatch_task
from job_runners.store.job_request import Status
from sample_work import Sample, script

HEAVY = {"pydantic", "pynamodb", "botocore", "boto3", "aws_lambda_powertools"}


def imported_by(statement: str) -> set[str]:
    """Return the modules that a fresh process has after a statement, and had not before."""
    code = f"import sys; before = set(sys.modules)\n{statement}\nprint(*set(sys.modules) - before)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(run.stdout.split())


@pytest.mark.parametrize("package", ["work", "runners"])
def test_the_package_alone_imports_nothing_heavy(package: str) -> None:
    imported = imported_by(f"from job_runners import {package}")
    package = f"job_runners.{package}"
    assert package in imported
    assert imported & HEAVY == set()
    own = {name for name in imported if name.startswith(f"{package}.")}
    # These have classes alone, and the few lines that find the runner.
    assert own <= {f"{package}.errors", f"{package}.configured"}


def test_a_retry_tag_alone_imports_nothing_heavy() -> None:
    imported = imported_by("from job_runners.work import Retry, RetryAfter, DoNotRetry")
    assert "job_runners.work.retry" in imported
    assert imported & HEAVY == set()


@pytest.mark.parametrize(
    ("through_the_door", "home"),
    [
        (
            "from job_runners.work import Job, Task",
            "from job_runners.work.definitions import Job, Task",
        ),
        (
            "from job_runners.work import RunningJob",
            "from job_runners.work.running_job import RunningJob",
        ),
        ("from job_runners.runners import JobData", "from job_runners.runners.base import JobData"),
    ],
)
def test_a_name_costs_through_the_door_what_it_costs_at_home(
    through_the_door: str, home: str
) -> None:
    assert imported_by(through_the_door) - imported_by(home) <= {"importlib", "importlib._abc"}


def test_every_name_is_the_one_it_stands_for() -> None:
    assert set(work.__all__) == set(work._MODULES)
    for name in work.__all__:
        value = getattr(work, name)
        assert (value.__name__, value.__module__) == (name, work._MODULES[name])
    vars(runners).pop("JobData", None)  # as where nobody has used it yet
    assert runners.JobData is runners.base.JobData


@pytest.mark.parametrize("package", [work, runners], ids=["work", "runners"])
def test_another_name_is_an_attribute_error(package: object) -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Jbo'"):
        getattr(package, "Jbo")  # noqa: B009 - a type checker would refuse it


def test_a_job_is_dispatched_to_the_runner_that_is_configured(bench: Bench) -> None:
    row = dispatch_job(JobData(job_type="sample_once", payload={"number": 3}))
    assert bench.run(row).status is Status.SUCCEEDED
    assert [job for job, *_ in script.jobs_run] == [row.id]


def test_a_task_is_dispatched_to_the_runner_that_is_configured(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKS_SYNC", "true")
    dispatch_task("sample_note", {"number": 4})
    assert script.tasks_run == [Sample(number=4)]
