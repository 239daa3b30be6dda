"""What is logged, for tests to read."""

import io
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import pytest

from job_runners.engine.telemetry import log


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """All that is logged, in a process that is set up as the worker's; what is printed inside
    `printing_to` too. What this process was set up with is back at the end."""
    stream = io.StringIO()
    monkeypatch.setattr(log.logger.handlers[0], "stream", stream)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    level = root.level
    for owner, name in ((threading.Thread, "start"), (ThreadPoolExecutor, "submit")):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    log.set_up()
    yield stream
    root.setLevel(level)


@contextmanager
def printing_to(stream: io.StringIO) -> Iterator[None]:
    """Have what is printed come to the stream as in the worker. Not for a fixture to do: pytest
    puts its own streams in place before it calls the test."""
    with redirect_stdout(stream), redirect_stderr(stream):
        log.set_up()
        yield
