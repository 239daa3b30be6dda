"""Fixtures for tests of the dashboard: Debian's Chromium, driven by Playwright.

Its headless shell, if it is installed: the same engine, without the windows that nobody sees, for a
fifth of the work.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from job_runners.cli.signing_proxy import signing_proxy
from job_runners.local.supervisor import signer
from local_stack import Local

NOT_INSTALLED = "NO CHROMIUM HERE: THE DASHBOARD IS NOT TESTED (apt-get install chromium)"
ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PATIENCE = 60_000  # milliseconds; a quiet machine never needs them


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests; each test has a profile of its own."""
    if not executable():
        pytest.skip(NOT_INSTALLED)
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=executable(), args=[*ARGUMENTS])
        yield launched
        launched.close()


def executable() -> str | None:
    """Return the browser to launch."""
    installed = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    return os.environ.get("CHROMIUM") or installed


@pytest.fixture(scope="session")
def dashboard(local: Local) -> Iterator[str]:
    """Where the dashboard of the local stack is, as make run serves it."""
    with signing_proxy(local.stack.api_url, signer(local.stack)) as url:
        yield url


@dataclass
class Complaints:
    """What the browser complained of: errors of the script, of the console, of the policy."""

    expected: list[str] = field(default_factory=list)  # words of those that a test provokes
    heard: list[str] = field(default_factory=list)

    def listen(self, page: Page) -> None:
        """Hear what this page's browser says from now on."""
        page.on("pageerror", lambda error: self.heard.append(str(error)))
        page.on("console", self._console)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.heard.append(message.text)

    @property
    def unexpected(self) -> list[str]:
        """Those that no test provoked."""
        return [each for each in self.heard if not any(word in each for word in self.expected)]


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """Every test of the dashboard fails if its browser complains of what it did not provoke."""
    complaints = Complaints()
    yield complaints
    assert complaints.unexpected == []


@contextlib.contextmanager
def opened(browser: Browser, complaints: Complaints, **options: Any) -> Iterator[Page]:
    """Yield a page in a profile of its own."""
    context = browser.new_context(locale="en-GB", timezone_id="Europe/Berlin", **options)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    complaints.listen(page)
    try:
        yield page
    finally:
        context.close()


@pytest.fixture
def page(browser: Browser, complaints: Complaints) -> Iterator[Page]:
    """Yield a page as wide as a laptop's."""
    with opened(browser, complaints) as page:
        yield page


def row(page: Page, job_id: str) -> Locator:
    """Return the row of a list that leads to a job."""
    return page.get_by_role("row").filter(has=page.locator(f'a[href="#/job/{job_id}"]'))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Nobody should miss that these tests did not run."""
    skipped = terminalreporter.getreports("skipped")
    if any(NOT_INSTALLED in str(report.longrepr) for report in skipped):
        terminalreporter.write_sep("!", NOT_INSTALLED, red=True, bold=True)
