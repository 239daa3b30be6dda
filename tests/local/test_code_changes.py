"""Code that is saved while a local AWS is up: what is loaded again, and what is said of it."""

import asyncio
import importlib.util
import os
import py_compile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from job_runners.local import code_changes
from job_runners.local.code_changes import CodeChanges
from supervised import write_project

PATIENCE = 20  # seconds


class Watched:
    """A project that is watched, what was loaded how often, and what was said."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.loads = 0
        self.said: list[str] = []

    async def _load(self) -> None:
        self.loads += 1

    def while_it_is_watched(self, *steps: Callable[[], object]) -> None:
        """Take steps, and wait after each one until something is said."""

        async def watch() -> None:
            watcher = CodeChanges(self._load, self.said.append)
            watching = asyncio.create_task(watcher.watch())
            for step in steps:
                before = len(self.said)
                step()
                async with asyncio.timeout(PATIENCE):
                    while len(self.said) == before:
                        await asyncio.sleep(0.02)
            await asyncio.sleep(0.5)  # several checks, which may say or load more
            watching.cancel()

        with ThreadPoolExecutor(1) as pool:  # Playwright's loop may run in the tests' thread
            pool.submit(asyncio.run, watch()).result()


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """Return a project that has been imported, so that it has bytecode."""
    project = write_project(tmp_path / "project")
    monkeypatch.setenv("JOBS_PROJECT", str(project))
    monkeypatch.setattr(code_changes, "ROOT", project)
    monkeypatch.chdir(project)
    return Watched(project)


def test_a_file_that_is_saved_added_or_removed_loads_the_code_again(watched: Watched) -> None:
    package = watched.project / "my_work"
    watched.while_it_is_watched(
        lambda: (package / "__init__.py").write_text("JOBS = {}\n"),
        lambda: (package / "page.html").write_text("a file that the code reads"),
        lambda: (package / "page.html").unlink(),
    )
    names = [said.partition(" (")[0] for said in watched.said]
    page = "Reloaded: my_work/page.html"
    assert names == ["Reloaded: my_work/__init__.py", page, page]
    assert watched.loads == 3


def test_bytecode_of_a_file_that_is_saved_twice_in_a_second_is_not_used(watched: Watched) -> None:
    """Python would take it for that of the new text: its time and size are the same."""
    source = watched.project / "my_work" / "__init__.py"
    compiled = Path(importlib.util.cache_from_source(str(source)))
    source.write_text("NUMBER = 1\n")
    py_compile.compile(str(source))
    moment = source.stat().st_mtime_ns

    def save_again() -> None:
        source.write_text("NUMBER = 2\n")
        os.utime(source, ns=(moment, moment + 1))

    watched.while_it_is_watched(save_again)
    assert not compiled.exists()


def test_an_upgrade_under_a_run_asks_only_for_a_new_start(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "installed"
    (installed / "job_runners").mkdir(parents=True)
    version = installed / "job_runners" / "__init__.py"
    version.write_text('__version__ = "1"\n')
    monkeypatch.setattr(code_changes, "UPGRADED_FILE", version)
    monkeypatch.setattr(code_changes, "_VERSION_FILE", version)

    def upgrade() -> None:
        version.write_text('__version__ = "22"\n')
        (watched.project / "my_work" / "__init__.py").write_text("x = (\n")

    watched.while_it_is_watched(upgrade)
    (said,) = watched.said
    assert said.startswith("The version of Job Runners has changed. To apply this, press Ctrl-C")
    assert watched.loads == 0


def test_what_only_a_new_start_applies_asks_for_one(
    watched: Watched,
) -> None:
    config = watched.project / "samconfig.toml"
    before = config.read_text()
    watched.while_it_is_watched(lambda: config.write_text(f"{before}# changed\n"))
    (said,) = watched.said
    assert said.startswith("samconfig.toml has changed. To apply this, press Ctrl-C")
