"""A pytest plugin for tests of your own jobs.

pytest finds it if Job Runners is installed, and a checkout's pyproject.toml names it. Until a test
uses a fixture, the plugin imports only pytest and the standard library, so that other tests start
quickly.
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

_CODE = Path(__file__).resolve().parents[2]  # as in job_runners.places, which isn't imported


def pytest_configure(config: pytest.Config) -> None:
    """Let tests import the project's packages as the worker does: `import acme`.

    The project is in JOBS_PROJECT, or in pytest's root folder.
    """
    is_project = (config.rootpath / "samconfig.toml").is_file() and config.rootpath != _CODE
    if is_project and "JOBS_PROJECT" not in os.environ:
        os.environ["JOBS_PROJECT"] = str(config.rootpath)
    folder = os.environ.get("JOBS_PROJECT", "").strip()
    if folder and folder not in sys.path:
        sys.path.append(str(Path(folder).resolve()))


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
    """Return a runner that runs a job once for each thing that can go wrong, and reports it."""
    from job_runners.testing.hostile import Hostile

    return Hostile()
