"""Reload saved code, and report changes that can't be reloaded."""

import asyncio
import contextlib
import importlib.util
import os
import sysconfig
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from job_runners.building.app_check import problem_text
from job_runners.building.app_folder import UnusableAppFolder, find_app_folder
from job_runners.building.function_files import SHIPPED
from job_runners.cli.local_aws import OUTDATED_FILE
from job_runners.local.function_pools import BrokenCode
from job_runners.places import CODE, COMMAND, IS_INSTALLED, ROOT, relative_path

_CHECK_SECONDS = 0.1
_SHOWN_NAMES = 3

Stat = dict[str, tuple[int, int]]
"""The time and the size of each file."""


def describe(broken: BrokenCode) -> str:
    """Return a mistake in the project's code, with its place and advice."""
    with contextlib.suppress(UnusableAppFolder):
        app = find_app_folder()
        sources = {name: CODE / name for name in SHIPPED} | (app.sources if app else {})
        requirements = Path(relative_path(app.requirements)) if app else None
        return problem_text(broken.problem, app.path if app else CODE, sources, requirements)
    return str(broken)


def code_now() -> Stat:
    """Return the files whose changes reload the code."""
    app = find_app_folder()
    paths = [*app.sources.values(), app.lock] if app else []
    if not IS_INSTALLED:
        paths += [CODE / name for name in SHIPPED]
    found: Stat = {}
    for path in paths:
        _add(found, str(path))
    packages = sysconfig.get_path("purelib")
    with contextlib.suppress(OSError):
        found[packages] = (Path(packages).stat().st_mtime_ns, 0)  # shows that a package is new
    return found


def start_inputs_now() -> Stat:
    """Return the files whose changes need a new start."""
    app = find_app_folder()
    found: Stat = {}
    for path in (ROOT / "samconfig.toml", CODE / "job_runners" / "__init__.py"):
        _add(found, str(path))
    if app:
        _add(found, str(app.template))
        _add(found, str(app.config))  # the worker classes
    return found


def _add(found: Stat, path: str) -> None:
    """Add a file, or all files in a folder. This runs several times a second."""
    try:
        for entry in os.scandir(path):
            if entry.is_dir():
                if entry.name != "__pycache__":
                    _add(found, entry.path)
            else:
                status = entry.stat()
                found[entry.path] = (status.st_mtime_ns, status.st_size)
    except NotADirectoryError:
        with contextlib.suppress(OSError):
            status = Path(path).stat()
            found[path] = (status.st_mtime_ns, status.st_size)
    except OSError:  # removed in this moment
        return


def _different(before: Stat, now: Stat) -> list[Path]:
    if before == now:
        return []
    paths = before.keys() | now.keys()
    return sorted(Path(path) for path in paths if before.get(path) != now.get(path))


class CodeChanges:
    """Checks the files several times a second, and reloads changed code.

    `load` imports the code and makes it active. It raises BrokenCode. Messages go to `say`. A file
    in `home` lists the saved changes that aren't active yet, so that the command can report them.
    """

    def __init__(
        self, home: Path, load: Callable[[], Awaitable[None]], say: Callable[[str], None]
    ) -> None:
        """Remember the files as they are now, which must be before the first import."""
        self._home, self._load, self._say = home, load, say
        self._code, self._inputs = code_now(), start_inputs_now()
        self._loading: asyncio.Task[None] | None = None
        self._problem = ""
        self._said_inputs: list[Path] = []

    async def watch(self) -> None:
        """Watch until canceled."""
        try:
            while True:
                await asyncio.sleep(_CHECK_SECONDS)
                with contextlib.suppress(UnusableAppFolder):
                    self._check_inputs()
                    await self._check_code()
        finally:
            if self._loading:
                self._loading.cancel()

    def reload(self, why: str) -> None:
        """Load the code again. A load that is in progress is stopped."""
        if self._loading:
            self._loading.cancel()
        self._loading = asyncio.create_task(self._reload(why))

    def _check_inputs(self) -> None:
        changed = _different(self._inputs, start_inputs_now())
        if changed == self._said_inputs:
            return
        self._said_inputs = changed
        self._update_file()
        if changed:
            self._say(self._restart_hint())

    async def _check_code(self) -> None:
        now = code_now()
        changed = _different(self._code, now)
        if not changed or self._is_upgraded:
            return
        await asyncio.sleep(_CHECK_SECONDS / 2)
        if code_now() != now:
            return  # it is still being saved
        self._code = now
        for path in changed:
            # The compiled file names only the source's size and the second of its time.
            if path.suffix == ".py":
                with contextlib.suppress(OSError):
                    Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)
        names = [relative_path(path) for path in changed]
        more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
        self.reload(", ".join(names[:_SHOWN_NAMES]) + more)

    async def _reload(self, why: str) -> None:
        began = time.monotonic()
        try:
            await self._load()
        except BrokenCode as broken:
            self._problem = describe(broken)
            self._say(f"{self._problem}\n  The previous code stays active.")
        else:
            self._problem = ""
            self._say(f"Reloaded: {why} ({time.monotonic() - began:.1f} s)")
        self._update_file()

    @property
    def _is_upgraded(self) -> bool:
        return IS_INSTALLED and CODE / "job_runners" / "__init__.py" in self._said_inputs

    def _restart_hint(self) -> str:
        if self._is_upgraded:
            return (
                "Job Runners has another version now. Press Ctrl-C in the terminal of "
                f"`{COMMAND} run`, and start it again. Until then, your changes don't reload"
            )
        names = [relative_path(each) for each in self._said_inputs]
        has = "have" if len(names) > 1 else "has"
        return (
            f"{' and '.join(names)} {has} changed. "
            f"To apply this, press Ctrl-C and start `{COMMAND} run` again"
        )

    def _update_file(self) -> None:
        lines = []
        if self._problem:
            lines.append(f"The saved code is not active: {self._problem.splitlines()[0]}")
        if self._said_inputs:
            lines.append(self._restart_hint())
        file = self._home / OUTDATED_FILE
        if lines:
            new = file.with_suffix(".new")
            new.write_text("; ".join(lines))
            new.replace(file)
        else:
            file.unlink(missing_ok=True)
