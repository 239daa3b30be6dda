"""What the tests of groups share."""

from collections.abc import Iterator

import pytest

from job_runners.engine.telemetry import telemetry


@pytest.fixture(autouse=True)
def crashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BaseException]]:
    """Fail a test if an error was only logged. A test that expects such errors clears the list."""
    found: list[BaseException] = []
    monkeypatch.setattr(telemetry, "crashed", found.append)
    yield found
    assert found == []
