"""Runs tests in the process it is called in: to learn what each of them executes, or whether one
notices a mutation."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any, TypedDict

import pytest

from testing.mutants.mutation import Mutation

# No other process per test run, nothing remembered; one that hangs has been found out.
_OPTIONS = ["-q", "-x", "-p", "no:cacheprovider", "-m", "not e2e"]
_TOOL = 4  # one of those that nobody else claims


class Executed(TypedDict):
    """What a test does when nothing is changed."""

    seconds: float
    lines: dict[str, list[int]]  # by file of the engine


def executed_by(tests: list[str], engine: tuple[str, ...], copy: Path) -> dict[str, Any]:
    """Run tests; returns what each executes of the folders of the engine, and what was wrong."""
    recorder = _Recorder(engine, copy)
    code = pytest.main([*_OPTIONS, *tests], plugins=[recorder])
    bad = code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    return {"tests": recorder.tests, "failed": recorder.failed or (str(code) if bad else None)}


def noticed_by(mutation: Mutation, tests: dict[str, float], copy: Path) -> str | None:
    """Return the first of these tests that fails under the mutation; None if none does. With each
    goes how many seconds it may take. Leaves the mutation in the copy."""
    (copy / mutation.file).write_text(mutation.source)
    sys.dont_write_bytecode = True
    if not tests:
        return None
    first = _FirstFailure()
    code = pytest.main([*_OPTIONS, *tests], plugins=[first, _Timeouts(tests)])
    return None if code == pytest.ExitCode.OK else first.failed or f"pytest (exit code {code})"


class _FirstFailure:
    failed: str | None = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and self.failed is None:
            self.failed = report.nodeid


class _Timeouts:
    """Gives each test its own time: one that waits for ever is known by then."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds = seconds

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            item.add_marker(pytest.mark.timeout(self._seconds[item.nodeid]), append=False)


class _Recorder(_FirstFailure):
    """Asks the interpreter of each line that is executed for the first time in a test."""

    def __init__(self, engine: tuple[str, ...], copy: Path) -> None:
        self.tests: dict[str, Executed] = {}
        self._folders = tuple(f"{copy}/{each}/" for each in engine)
        self._cut = len(f"{copy}/")
        self._lines: dict[str, set[int]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        monitoring: Any = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
        self._lines = {}
        started = time.monotonic()
        monitoring.use_tool_id(_TOOL, "mutants")
        monitoring.register_callback(_TOOL, monitoring.events.LINE, self._saw)
        monitoring.set_events(_TOOL, monitoring.events.LINE)
        monitoring.restart_events()
        try:
            return (yield)
        finally:
            monitoring.set_events(_TOOL, 0)
            monitoring.free_tool_id(_TOOL)
            self.tests[item.nodeid] = {
                "seconds": round(time.monotonic() - started, 3),
                "lines": {file: sorted(lines) for file, lines in self._lines.items()},
            }

    def _saw(self, code: CodeType, line: int) -> Any:
        if code.co_filename.startswith(self._folders):
            self._lines.setdefault(code.co_filename[self._cut :], set()).add(line)
        return sys.monitoring.DISABLE  # type: ignore[attr-defined,unused-ignore]
