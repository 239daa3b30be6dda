"""A pytest plugin for tests of your own jobs.

pytest finds it wherever Job Runners is installed. The pyproject.toml of a checkout names it. Until
a test asks for a fixture, it imports only pytest and the standard library.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from job_runners.testing.hostile import Hostile
    from job_runners.testing.job_runner import InlineRunner
    from job_runners.testing.movable_clock import MovableClock
    from job_runners.testing.saved_jobs import SavedJobs

_CODE = Path(__file__).resolve().parents[2]  # job_runners.places has it too


def pytest_configure(config: pytest.Config) -> None:
    """Let tests import an organization's packages as the worker does: `import acme`.

    If pytest's root folder is a project, these are the project's packages.
    """
    is_project = (config.rootpath / "samconfig.toml").is_file() and config.rootpath != _CODE
    if is_project and "PROJECT" not in os.environ:
        os.environ["PROJECT"] = str(config.rootpath)
    folder = os.environ.get("PROJECT", "").strip()
    if folder and folder not in sys.path:
        sys.path.append(str(Path(folder).resolve()))


def pytest_exception_interact(
    call: pytest.CallInfo[object], report: pytest.CollectReport | pytest.TestReport
) -> None:
    """Add advice if a test imports a module by its name in version 0.2."""
    error = call.excinfo.value if call.excinfo else None
    cause = error.__cause__ if error is not None and error.__cause__ else error
    if not isinstance(cause, ModuleNotFoundError) or not cause.name:
        return
    from job_runners.building.old_names import MOVED, renamed

    if cause.name in MOVED:
        advice = (
            f"Since version 0.3, {cause.name} is {renamed(cause.name)}. To rewrite all imports "
        )
        report.sections.append(("Job Runners", f"{advice}of version 0.2, run job-runners adopt."))


@pytest.fixture
def job_settings() -> Mapping[str, str]:
    """Return environment variables for the other fixtures, such as APP_SETTING_API_KEY.

    A fixture of this name in a test module or a conftest.py replaces it.
    """
    return {}


@pytest.fixture
def movable_clock() -> "MovableClock":
    """Return the clock of `job_runner`, which a test can move forward."""
    from job_runners.testing.movable_clock import MovableClock

    return MovableClock()


@pytest.fixture
def job_runner(
    movable_clock: "MovableClock", job_settings: Mapping[str, str]
) -> Iterator["InlineRunner"]:
    """Yield a runner that dispatches jobs and tasks, and runs them to their end.

    It uses a simulated AWS in this process.
    """
    from job_runners.testing.job_runner import inline_runner

    with inline_runner(movable_clock, job_settings) as runner:
        yield runner


@pytest.fixture
def saved_jobs(job_runner: "InlineRunner") -> "SavedJobs":  # noqa: ARG001 - provides the AWS
    """Return the saved jobs as values, including those that the code under test dispatched."""
    from job_runners.testing.saved_jobs import SavedJobs

    return SavedJobs()


@pytest.fixture
def hostile(job_runner: "InlineRunner") -> "Hostile":  # noqa: ARG001 - provides the AWS
    """Return a runner that plays a job once for each thing that can go wrong, and reports what
    happened."""
    from job_runners.testing.hostile import Hostile

    return Hostile()
