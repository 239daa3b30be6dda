"""A pytest plugin for tests of your own jobs.

If Job Runners is installed, pytest finds the plugin as an entry point. In a checkout of Job
Runners, pyproject.toml names it. So that other tests start quickly, it imports everything but
pytest and the standard library only when a test uses a fixture.
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

_CHECKOUT = Path(__file__).resolve().parents[2]  # the folder that contains job_runners


def pytest_configure(config: pytest.Config) -> None:
    """Let tests import the project's packages as the worker does: `import acme`.

    By default, pytest's root folder is the project.
    """
    root = config.rootpath
    # A checkout of Job Runners also has a samconfig.toml, but no jobs of its own.
    if root != _CHECKOUT and (root / "samconfig.toml").is_file():
        os.environ.setdefault("JOBS_PROJECT", str(root))
    project = os.environ.get("JOBS_PROJECT", "").strip()
    if project and project not in sys.path:
        sys.path.append(str(Path(project).resolve()))


@pytest.fixture
def job_settings() -> Mapping[str, str]:
    """Return environment variables to set for a test, such as APP_SETTING_API_KEY.

    To set any, override this fixture in a test module or a conftest.py.
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
    """Yield a runner that dispatches jobs and tasks, and runs them to completion.

    It uses a simulated AWS in this process.
    """
    from job_runners.testing.job_runner import inline_runner

    with inline_runner(movable_clock, job_settings) as runner:
        yield runner


@pytest.fixture
def saved_jobs(job_runner: "InlineRunner") -> "SavedJobs":  # noqa: ARG001 - simulates AWS
    """Return all saved jobs, including those that the code under test dispatched."""
    from job_runners.testing.saved_jobs import SavedJobs

    return SavedJobs()


@pytest.fixture
def hostile(job_runner: "InlineRunner") -> "Hostile":  # noqa: ARG001 - simulates AWS
    """Return a fault injector: it runs a job many times, each time with a different fault."""
    from job_runners.testing.hostile import Hostile

    return Hostile()
