"""Which packages of an organisation's folder a process knows: the build's record, or the folder."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from job_runners import settings
from job_runners.engine.registry.errors import NameTakenTwice
from job_runners.engine.registry.registry import registry
from job_runners.errors import InvalidSetting
from job_runners.runners import get_job_runner
from job_runners.testing.aws import forget
from job_runners.testing.job_runner import inline_runner
from job_runners.testing.saved_jobs import assert_succeeded

TABLE = """
from pydantic import BaseModel
from job_runners.work import Job

class Nothing(BaseModel):
    pass

def work(job, payload: Nothing) -> str:
    return "done in {name}"

JOBS = {{"{name}_job": Job(work)}}
"""
RUNNER = """
def fully_configured(): return True
def dispatch_job(data): ...
def dispatch_task(name, payload): ...
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a project with the packages acme_one and acme_two."""
    folder = tmp_path / "app"
    for name in ("acme_one", "acme_two"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(TABLE.format(name=name))
    monkeypatch.setenv("JOBS_PROJECT", str(folder))
    monkeypatch.setattr(sys, "path", [*sys.path])
    forget()
    yield folder
    for each in [each for each in sys.modules if each.startswith("acme_")]:
        del sys.modules[each]
    forget()


def test_a_checkout_knows_the_packages_of_the_folder(app: Path) -> None:
    assert settings.settings().app_packages == ("acme_one", "acme_two")
    assert {"acme_one_job", "acme_two_job"} < set(registry().jobs)


def test_its_work_runs_in_a_checkout(app: Path) -> None:
    with inline_runner() as job_runner:
        assert assert_succeeded(job_runner.run("acme_one_job")) == "done in acme_one"


def test_a_name_that_is_taken_names_both_places(app: Path) -> None:
    (app / "acme_two" / "__init__.py").write_text(TABLE.format(name="acme_one"))
    with pytest.raises(NameTakenTwice, match=r"in acme_one\.JOBS and in acme_two\.JOBS"):
        registry()


def test_its_runner_can_be_named(app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (app / "acme_one" / "runner.py").write_text(RUNNER)
    monkeypatch.setenv("JOB_RUNNER", "acme_one.runner")
    forget()
    assert get_job_runner().fully_configured()


def test_an_empty_project_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_PROJECT", "")
    forget()
    assert settings.settings().app_packages == ()


def test_a_project_that_is_no_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBS_PROJECT", str(tmp_path / "no"))
    forget()
    with pytest.raises(
        InvalidSetting, match=r"JOBS_PROJECT='.*/no' is invalid. Use an existing folder"
    ):
        settings.settings()


def test_where_the_build_has_recorded_the_packages_no_folder_counts(
    app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = tmp_path / "tree"
    built.mkdir()
    (built / settings.APP_PACKAGES_FILE).write_text("acme_built\n")
    monkeypatch.setattr(settings, "_CODE", built)
    forget()
    assert settings.settings().app_packages == ("acme_built",)
    assert settings.settings().app_folder is None
