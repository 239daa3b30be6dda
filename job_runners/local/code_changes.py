"""Watch the project's files: reload changed code, and report changes that need a restart."""

import asyncio
import contextlib
import importlib.util
import os
import sysconfig
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from stat import S_ISDIR

from job_runners.building.app_check import SHIPPED, problem_text
from job_runners.building.app_folder import UnusableAppFolder, find_app_folder
from job_runners.local.function_pools import BrokenCode
from job_runners.places import CODE, COMMAND, ROOT, UPGRADED_FILE, relative_path

_CHECK_SECONDS = 0.1
_MAX_NAMES = 3
_VERSION_FILE = CODE / "job_runners" / "__init__.py"

FileStates = dict[str, tuple[int, int]]
"""The modification time and the size of each file, by its path."""


def describe(broken: BrokenCode) -> str:
    """Describe why the project's code can't be imported, with the place and advice."""
    with contextlib.suppress(UnusableAppFolder):
        app = find_app_folder()
        sources = {name: CODE / name for name in SHIPPED} | (app.sources if app else {})
        requirements = Path(relative_path(app.requirements)) if app else None
        return problem_text(broken.problem, sources, requirements)
    return str(broken)


def code_files() -> FileStates:
    """Return the files whose changes reload the code."""
    app = find_app_folder()
    paths = [*app.sources.values(), app.lock] if app else []
    if UPGRADED_FILE is None:
        paths += [CODE / name for name in SHIPPED]
    states = _file_states(paths)
    packages = sysconfig.get_path("purelib")
    # The folder's time changes when a package is installed.
    states[packages] = (Path(packages).stat().st_mtime_ns, 0)
    return states


def restart_files() -> FileStates:
    """Return the files whose changes need a restart."""
    app = find_app_folder()
    own_files = [app.template, app.config] if app else []  # app.config has the worker classes
    return _file_states([ROOT / "samconfig.toml", _VERSION_FILE, *own_files])


def _file_states(paths: Iterable[Path]) -> FileStates:
    """Return the states of files, and of all files in folders."""
    states: FileStates = {}
    for path in paths:
        _add_states(states, str(path))
    return states


def _add_states(states: FileStates, path: str) -> None:
    """Add a file, or all files in a folder. Keep this fast: it runs several times a second."""
    with contextlib.suppress(OSError):  # it was just removed
        status = Path(path).stat()
        if not S_ISDIR(status.st_mode):
            states[path] = (status.st_mtime_ns, status.st_size)
            return
        for entry in os.scandir(path):
            if entry.name != "__pycache__":
                _add_states(states, entry.path)


def _changed_paths(before: FileStates, now: FileStates) -> list[Path]:
    return sorted({Path(path) for path, _ in before.items() ^ now.items()})


class CodeChanges:
    """Checks the files several times a second, and reloads changed code.

    `load` imports the code and activates it, or raises BrokenCode. `say` shows messages.
    """

    def __init__(self, load: Callable[[], Awaitable[None]], say: Callable[[str], None]) -> None:
        """Remember the files' states. Call this before the first import."""
        self._load, self._say = load, say
        self._code_files = code_files()
        self._restart_files = restart_files()
        self._loading: asyncio.Task[None] | None = None
        self._reported_changes: list[Path] = []

    async def watch(self) -> None:
        """Watch until canceled."""
        try:
            while True:
                await asyncio.sleep(_CHECK_SECONDS)
                with contextlib.suppress(UnusableAppFolder):
                    self._check_restart_files()
                    await self._check_code()
        finally:
            if self._loading:
                self._loading.cancel()

    def reload(self, reason: str) -> None:
        """Load the code again. A load that is in progress is stopped."""
        if self._loading:
            self._loading.cancel()
        self._loading = asyncio.create_task(self._reload(reason))

    def _check_restart_files(self) -> None:
        changed = _changed_paths(self._restart_files, restart_files())
        if changed != self._reported_changes:
            self._reported_changes = changed
            if changed:
                self._say(self._restart_hint())

    async def _check_code(self) -> None:
        files = code_files()
        changed = _changed_paths(self._code_files, files)
        is_upgraded = UPGRADED_FILE in self._reported_changes
        if not changed or is_upgraded:  # this process can't run another version's functions
            return
        await asyncio.sleep(_CHECK_SECONDS / 2)
        if code_files() != files:
            return  # an editor is still saving
        self._code_files = files
        for path in changed:
            # Delete the bytecode: Python wouldn't notice a change within the same second that
            # keeps the source's size.
            if path.suffix == ".py":
                with contextlib.suppress(OSError):
                    Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)
        names = [relative_path(path) for path in changed]
        text = ", ".join(names[:_MAX_NAMES])
        if len(names) > _MAX_NAMES:
            text += f" and {len(names) - _MAX_NAMES} more"
        self.reload(text)

    async def _reload(self, reason: str) -> None:
        started_at = time.monotonic()
        try:
            await self._load()
        except (BrokenCode, UnusableAppFolder) as error:
            problem = describe(error) if isinstance(error, BrokenCode) else str(error)
            self._say(f"{problem}\n  The previous code stays active.")
        else:
            self._say(f"Reloaded: {reason} ({time.monotonic() - started_at:.1f} s)")

    def _restart_hint(self) -> str:
        names = ["The version of Job Runners"] if _VERSION_FILE in self._reported_changes else []
        names += [relative_path(path) for path in self._reported_changes if path != _VERSION_FILE]
        verb = "have" if len(names) > 1 else "has"
        return (
            f"{' and '.join(names)} {verb} changed. "
            f"To apply this, press Ctrl-C and start `{COMMAND} run` again"
        )
