"""A pytest plugin for tests of your own jobs.

Use it with `-p job_runners.testing.plugin`, or with `pytest_plugins =
["job_runners.testing.plugin"]` in a conftest.py. The pyproject.toml of this checkout already names
it.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pytest

from job_runners.places import ROOT
from job_runners.settings import app_folder_path

if TYPE_CHECKING:
    from job_runners.testing.hostile import Hostile
    from job_runners.testing.job_runner import InlineRunner
    from job_runners.testing.movable_clock import MovableClock
    from job_runners.testing.saved_jobs import SavedJobs

# Only the fixtures import moto and the engine, so that tests without these fixtures start faster.


def pytest_configure() -> None:
    """Let tests import an organization's packages as the worker does: `import acme`."""
    folder = app_folder_path(os.environ, ROOT)
    if folder is not None and str(folder) not in sys.path:
        sys.path.append(str(folder))


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
    """Yield a runner that dispatches jobs and tasks and runs them to their end, on an AWS in this
    process."""
    from job_runners.testing.job_runner import inline_runner

    with inline_runner(movable_clock, job_settings) as runner:
        yield runner


@pytest.fixture
def saved_jobs(job_runner: "InlineRunner") -> "SavedJobs":  # noqa: ARG001 - its AWS
    """Return the saved jobs as values, including those that the code under test dispatched."""
    from job_runners.testing.saved_jobs import SavedJobs

    return SavedJobs()


@pytest.fixture
def hostile(job_runner: "InlineRunner") -> "Hostile":  # noqa: ARG001 - its AWS
    """Return a runner that plays a job once for each thing that can go wrong, and reports what
    happened."""
    from job_runners.testing.hostile import Hostile

    return Hostile()
