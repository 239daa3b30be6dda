"""Start the tests that take long before the others, so that no process works alone at the end.

tests/durations.json has the seconds of those that take one or more. RECORD_DURATIONS=1 in the
environment of `make test` writes it.
"""

import json
import os
from collections import defaultdict

import pytest

from job_runners.places import ROOT

DURATIONS = ROOT / "tests" / "durations.json"
LONG = 1.0  # seconds


def seconds() -> dict[str, float]:
    """Return the recorded seconds of the long tests, by node id."""
    recorded: dict[str, float] = json.loads(DURATIONS.read_text())
    return recorded


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the tests on a local AWS, then take the longest first. Leave the others in their
    order, because tests of a module share fixtures."""
    recorded = seconds()

    def place(item: pytest.Item) -> tuple[bool, float]:
        shared = item.get_closest_marker("xdist_group") is not None
        return (not shared, 0 if shared else -recorded.get(item.nodeid, 0))

    items.sort(key=place)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write the durations of this run, if that is asked for. Keep those of tests that didn't
    run."""
    if not os.environ.get("RECORD_DURATIONS"):
        return
    measured: defaultdict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                measured[report.nodeid.partition("@")[0]] += report.duration  # xdist adds @group
    kept = seconds() | dict(measured)
    long = {name: round(taken, 1) for name, taken in sorted(kept.items()) if taken >= LONG}
    DURATIONS.write_text(json.dumps(long, indent=0) + "\n")
