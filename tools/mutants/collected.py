"""Collect tests once with pytest, in a process that is then forked for each run of tests."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from types import CodeType
from typing import Any, TypedDict

import pytest

from tools.mutants.live import LiveFunctions
from tools.mutants.mutation import Mutation

ENGINE = tuple(f"job_runners/{name}" for name in ("store", "engine", "runners", "work", "handlers"))
# pytest's options: quiet, and without its cache.
_OPTIONS = ["-q", "-p", "no:cacheprovider", "-m", "not e2e"]
_TOOL = 4  # a free tool id of sys.monitoring


class Executed(TypedDict):
    """What a test executes without a mutation."""

    seconds: float
    lines: dict[str, list[int]]  # lines, by file of the engine


class Recorded(TypedDict):
    """What some tests execute without a mutation, and the first one that failed."""

    tests: dict[str, Executed]
    failed: str | None


class Collected:
    """Tests that were collected. Each method works in the process that calls it."""

    def __init__(self, session: pytest.Session, copy: Path) -> None:
        self.copy = copy
        self._session = session
        self._plugins = session.config.pluginmanager
        self._items = {item.nodeid: item for item in session.items}
        self._functions = LiveFunctions(copy, ENGINE)

    def apply(self, mutation: Mutation) -> None:
        """Apply a mutation to this process."""
        self._functions.replace(mutation)

    def record(self, file: str) -> Recorded:
        """Run the tests of a file, and return the engine's lines that each executes."""
        recorder = _Recorder(self.copy)
        self._plugins.register(recorder)
        names = [name for name in self._items if name.startswith(f"{file}::")]
        return {"failed": self.first_failure(dict.fromkeys(names)), "tests": recorder.tests}

    def first_failure(self, tests: Mapping[str, float | None]) -> str | None:
        """Run tests in this order until one fails, and return its name.

        Each test has its limit in seconds, or None. A test that exceeds its limit ends the process.
        """
        first = _FirstFailure()
        self._plugins.register(first)
        items = [self._items[name] for name in tests]
        for item, following in zip_longest(items, items[1:]):
            seconds = tests[item.nodeid]
            if seconds is not None:
                item.add_marker(pytest.mark.timeout(seconds), append=False)
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
            if first.failed:
                self._session._setupstate.teardown_exact(None)
                break
        return first.failed


def collect(files: Iterable[str], copy: Path, use: Callable[[Collected], None]) -> None:
    """Collect the tests of these files, and call `use` with them."""
    options = [*_OPTIONS, f"--basetemp={copy.with_suffix('.tmp')}"]
    pytest.main([*options, *files], plugins=[_RunPlugin(copy, use)])


class _RunPlugin:
    """Calls `use` with the collected tests when pytest would run them."""

    def __init__(self, copy: Path, use: Callable[[Collected], None]) -> None:
        self._copy = copy
        self._use = use

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if not session.testsfailed:  # otherwise pytest has printed why collecting failed
            self._use(Collected(session, self._copy))
        return True


class _FirstFailure:
    failed: str | None = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and self.failed is None:
            self.failed = report.nodeid


class _Recorder:
    """Records each line of the engine when a test executes it for the first time."""

    def __init__(self, copy: Path) -> None:
        self.tests: dict[str, Executed] = {}
        self._folders = tuple(f"{copy}/{folder}/" for folder in ENGINE)
        self._prefix_length = len(f"{copy}/")
        self._lines: dict[str, set[int]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        monitoring: Any = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
        self._lines = {}
        started = time.monotonic()
        monitoring.use_tool_id(_TOOL, "mutants")
        monitoring.register_callback(_TOOL, monitoring.events.LINE, self._record_line)
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

    def _record_line(self, code: CodeType, line: int) -> Any:
        if code.co_filename.startswith(self._folders):
            self._lines.setdefault(code.co_filename[self._prefix_length :], set()).add(line)
        return sys.monitoring.DISABLE  # type: ignore[attr-defined,unused-ignore]
