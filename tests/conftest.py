"""What tests start from: the same settings and, if they ask, an AWS in this process (moto)."""

import os

# Test Job Runners alone, without a project. Its modules read this when they are imported.
os.environ["JOBS_PROJECT"] = ""

import gc
import signal
import threading
from collections.abc import Iterator

import hypothesis
import pytest

from job_runners.aws import clients
from job_runners.testing.aws import ENVIRONMENT, UNSET, forget, simulated_stack
from stale_reads import miss_recent_writes

pytest_plugins = [
    "pytester",
    "api_server",
    "api_worker",
    "bad_server",
    "bench",
    "outfit_files",
    "outage",
    "spans",
    "async_bench",
    "runner_bench",
    "traced",
    "hourly",
    "limited_queue",
    "longest_first",
    "fake_account",
    "installed",
    "jobs_command",
    "log_lines",
    "newcomers",
    "telemetry_lines",
    "supervised",
    "local_stack",
    "deployed_versions",
    "iam_api",
    "browser",
]


def pytest_configure(config: pytest.Config) -> None:
    """Let no warning pass.

    Take Ctrl-C as usual. A shell has what it starts in the background, as `make test &`, ignore
    it, and what that starts in turn: some tests press it.

    Hypothesis gets no deadline, because a busy machine would miss it."""
    hypothesis.settings.register_profile(
        "patient", parent=hypothesis.settings.default, deadline=None
    )
    hypothesis.settings.load_profile("patient")
    config.addinivalue_line("filterwarnings", "error")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test starts from the same settings and from clients that nobody has built."""
    for variable, value in ENVIRONMENT.items():
        monkeypatch.setenv(variable, value)
    for variable in UNSET:
        monkeypatch.delenv(variable, raising=False)
    forget()
    yield
    forget()


@pytest.fixture
def aws(environment: None, request: pytest.FixtureRequest) -> Iterator[None]:
    """Tables and bucket in this process."""
    clients.drop_clients()
    with simulated_stack():
        if request.node.get_closest_marker("views") is None:
            miss_recent_writes()
        yield
    # The legacy runner sets timers, which would go off in a later test.
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.cancel()


@pytest.hookimpl(tryfirst=True)  # before xdist, which reads the groups in this hook too
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests together that share a deployed stack or the built site."""
    groups = {
        "deployed": "local AWS",
        "enforcing": "local AWS, enforcing",
        "built_site": "the site",
    }
    for item in items:
        for fixture in groups.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group(groups[fixture]))


def pytest_collection_finish() -> None:
    """Keep the collector from searching all that is loaded by now, a tenth of the tests' time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests have recorded, from whichever process they ran in."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "figures":
                terminalreporter.write_line(str(value))
