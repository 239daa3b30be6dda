"""The tests, collected once, in a process that is forked for what is done with them."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from types import CodeType
from typing import Any, TypedDict

import pytest

from testing.mutants.live import LiveFunctions
from testing.mutants.mutation import Mutation

ENGINE = ("store", "runners", "work", "handlers")
# Nothing remembered; one that hangs has been found out.
_OPTIONS = ["-q", "-p", "no:cacheprovider", "-m", "not e2e"]
_TOOL = 4  # one of those that nobody else claims


class Executed(TypedDict):
    """What a test does when nothing is changed."""

    seconds: float
    lines: dict[str, list[int]]  # by file of the engine


class Recorded(TypedDict):
    """What some tests do when nothing is changed, and which of them failed."""

    tests: dict[str, Executed]
    failed: str | None


class Collected:
    """Tests that can be run, each in the process that it is asked for in."""

    def __init__(self, session: pytest.Session, copy: Path) -> None:
        self.copy = copy
        self._session = session
        self._plugins = session.config.pluginmanager
        self._items = {item.nodeid: item for item in session.items}
        self._functions = LiveFunctions(copy, ENGINE)

    def apply(self, mutation: Mutation) -> None:
        """Have this process go by a mutation from here on."""
        self._functions.replace(mutation)

    def record(self, file: str) -> Recorded:
        """Run the tests of a file; return what each executes of the engine."""
        recorder = _Recorder(self.copy)
        self._plugins.register(recorder)
        names = [name for name in self._items if name.startswith(f"{file}::")]
        return {"failed": self.first_failure(dict.fromkeys(names)), "tests": recorder.tests}

    def first_failure(self, tests: Mapping[str, float | None]) -> str | None:
        """Run tests in this order, until one fails; return which. With each goes how many seconds
        it may take, if that is bound: one that takes longer ends the process."""
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
    """Collect the tests of these files, and use them."""
    options = [*_OPTIONS, f"--basetemp={copy.with_suffix('.tmp')}"]
    pytest.main([*options, *files], plugins=[_Instead(copy, use)])


class _Instead:
    """Uses the tests that pytest has collected, where it would run them."""

    def __init__(self, copy: Path, use: Callable[[Collected], None]) -> None:
        self._copy = copy
        self._use = use

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if not session.testsfailed:  # else it can't even collect them, and says so
            self._use(Collected(session, self._copy))
        return True


class _FirstFailure:
    failed: str | None = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and self.failed is None:
            self.failed = report.nodeid


class _Recorder:
    """Asks the interpreter of each line of the engine that is executed for the first time in a
    test."""

    def __init__(self, copy: Path) -> None:
        self.tests: dict[str, Executed] = {}
        self._folders = tuple(f"{copy}/{each}/" for each in ENGINE)
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
