"""A pytest plugin for tests of one's own jobs: `-p testing.plugin`, or in a conftest.py
`pytest_plugins = ["testing.plugin"]`. pyproject.toml of this checkout names it already.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from settings import app_folder_path

if TYPE_CHECKING:
    from testing.hostile import Hostile
    from testing.job_runner import InlineRunner
    from testing.movable_clock import MovableClock
    from testing.saved_jobs import SavedJobs

_CHECKOUT = Path(__file__).resolve().parent.parent

# moto and all that runs are imported in the fixtures: who asks for none does not wait for them.


def pytest_configure() -> None:
    """Let tests import an organisation's packages as the worker does: `import acme`."""
    folder = app_folder_path(os.environ, _CHECKOUT)
    if folder is not None and str(folder) not in sys.path:
        sys.path.append(str(folder))


@pytest.fixture
def job_settings() -> Mapping[str, str]:
    """Return environment variables for the other fixtures, such as APP_SETTING_API_KEY. A fixture
    of this name in a test module, or in a conftest.py, replaces it."""
    return {}


@pytest.fixture
def movable_clock() -> "MovableClock":
    """Return the clock of `job_runner`, to move on by hand."""
    from testing.movable_clock import MovableClock

    return MovableClock()


@pytest.fixture
def job_runner(
    movable_clock: "MovableClock", job_settings: Mapping[str, str]
) -> Iterator["InlineRunner"]:
    """Yield what dispatches jobs and tasks and runs them to their end, on an AWS in this
    process."""
    from testing.job_runner import inline_runner

    with inline_runner(movable_clock, job_settings) as runner:
        yield runner


@pytest.fixture
def saved_jobs(job_runner: "InlineRunner") -> "SavedJobs":  # noqa: ARG001 - its AWS
    """Return the jobs that are saved, whoever dispatched them, as values."""
    from testing.saved_jobs import SavedJobs

    return SavedJobs()


@pytest.fixture
def hostile(job_runner: "InlineRunner") -> "Hostile":  # noqa: ARG001 - its AWS
    """Return what runs a job through everything that can happen to it, and says what it did
    twice."""
    from testing.hostile import Hostile

    return Hostile()
