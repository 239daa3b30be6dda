"""What the tests of groups share."""

from collections.abc import Iterator

import pytest

from bench import Bench
from job_runners.engine.dispatch import bulk
from job_runners.engine.telemetry import telemetry
from job_runners.testing.aws import forget


@pytest.fixture(autouse=True)
def crashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BaseException]]:
    """Fail a test if an error was only logged. A test that expects such errors clears the list."""
    found: list[BaseException] = []
    monkeypatch.setattr(telemetry, "crashed", found.append)
    yield found
    assert found == []


@pytest.fixture
def unique(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return the bench with unique jobs. Members are dispatched in order, because moto undoes what
    other threads write while a transaction fails."""
    monkeypatch.setenv("PROJECT_PACKAGES", "sample_work,unique_sample")
    monkeypatch.setattr(bulk, "THREADS", 1)
    forget()
    return bench
