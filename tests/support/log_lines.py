"""What is logged, for tests to read."""

import io
import logging

import pytest
from aws_lambda_powertools.logging.filters import SuppressFilter

from runners import telemetry


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """All that is logged, by us and through Python's own logging."""
    stream = io.StringIO()
    monkeypatch.setattr(telemetry.logger.handlers[0], "stream", stream)
    handler = logging.StreamHandler(stream)
    handler.addFilter(
        SuppressFilter(telemetry.logger.service)
    )  # as Powertools does with Lambda's own
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    telemetry.adopt_standard_logging()
    return stream
