"""Reload saved code on the running local AWS, and report code that can't be reloaded."""

import base64
import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from job_runners import settings
from job_runners.building.app_folder import UnusableAppFolder, find_app_folder
from job_runners.building.app_requirements import locked
from job_runners.building.build import LOCK
from job_runners.building.function_files import SHIPPED
from job_runners.building.sam_folder import template
from job_runners.cli.local_aws import OUTDATED_FILE, REGION
from job_runners.cli.stack import Stack
from job_runners.errors import JobRunnersError
from job_runners.local.credentials import credentials, session
from job_runners.local.emulator import CODE_FOLDER
from job_runners.local.function_code import activate
from job_runners.local.new_code import BrokenCode, ImportChecker, Packages, Trees, relative_path
from job_runners.places import CODE, COMMAND, IS_INSTALLED

_CHECK_SECONDS = 0.2
_RESTART_HINT = f"To apply this, press Ctrl-C and start `{COMMAND} run` again"
_UPGRADED = (
    "Job Runners has another version now. Press Ctrl-C in the terminal of "
    f"`{COMMAND} run`, and start it again. Until then, your changes don't reload"
)


@dataclass(frozen=True)
class Sources:
    """The sources of the stack, as they were when it was built."""

    packages: Packages
    digests: dict[str, str]  # hashes of the packages
    needs_restart: dict[Path, str]  # hashes of files whose changes need a restart
    build_inputs: dict[Path, str]  # hashes of files that decide which dependencies are built
    app_folder: Path | None = None  # the project

    @staticmethod
    def now(
        packages: Packages,
        needs_restart: Sequence[Path],
        app_folder: Path | None = None,
        build_inputs: Sequence[Path] = (),
    ) -> "Sources":
        """Return the current sources."""
        restart, build = (
            {each: _digest(each) for each in paths} for paths in (needs_restart, build_inputs)
        )
        return Sources(packages, packages.digests(), restart, build, app_folder)

    def to_build(self) -> dict[Path, str]:
        """Return the files and new packages that need a build, with hashes of the files."""
        hashes = {path: _digest(path) for path in self.build_inputs}
        changed = {path: each for path, each in hashes.items() if each != self.build_inputs[path]}
        return changed | dict.fromkeys(self.new_packages(), "")

    def new_packages(self) -> list[Path]:
        """Return the packages of the project that did not exist at the start."""
        names = settings.packages_in(self.app_folder) if self.app_folder else ()
        known = self.packages.sources
        return [self.app_folder / name for name in names if self.app_folder and name not in known]

    def stat(self) -> dict[str, tuple[int, int]]:
        """Return the time and size of every file, which are cheap to read."""
        seen = {}
        new = [package / "__init__.py" for package in self.new_packages()]
        code = [path for _, path in self.packages.files()]
        for path in (*code, *self.needs_restart, *self.build_inputs, *new):
            with contextlib.suppress(FileNotFoundError):
                found = path.stat()
                seen[str(path)] = (found.st_mtime_ns, found.st_size)
        return seen


def sources_now() -> Sources:
    """Return the sources that a stack built now would have, including the project.

    Raises UnusableAppFolder.
    """
    app = find_app_folder()
    packages = {name: CODE / name for name in SHIPPED} | (app.sources if app else {})
    needs_restart = [template(), LOCK, *([app.template] if app else [])]
    build_inputs = [app.requirements, app.lock, app.config] if app else []
    folder = app.path if app else None
    return Sources.now(Packages(packages), needs_restart, folder, build_inputs)


class Watcher:
    """Checks the sources five times a second, and reloads saved code. Messages go to `say`.

    It keeps a file that lists the saved changes that aren't active yet, so that the command
    can report them too.
    """

    def __init__(
        self,
        home: Path,
        sources: Sources,
        trees: Trees,
        checker: ImportChecker,
        zip_digests: Collection[str],
        say: Callable[[str], None],
        read_sources: Callable[[], Sources] = sources_now,
    ) -> None:
        """Prepare a watcher. `zip_digests` are the hashes of the zips from which the functions were
        deployed."""
        self._read_sources = read_sources
        self._home = home
        self._sources = sources
        self._trees = trees
        self._checker = checker
        self._zip_digests = zip_digests
        self._say = say
        self._active = sources.digests
        self._code_problem = ""
        self._tried = sources.digests
        self._tried_to_build: dict[Path, str] = {}
        self._build_problem = ""
        self._installing = ""
        self._is_upgraded = False
        self._stop = threading.Event()

    def run(self) -> None:
        """Watch until `stop` is called."""
        with contextlib.suppress(BrokenCode):
            self._checker.check(self._trees.deployed)  # so that the check of the first save is fast
        seen: dict[str, tuple[int, int]] = {}
        handled: dict[str, tuple[int, int]] = {}
        while True:
            before, seen = seen, self._sources.stat()
            # A file has changed since the last reload, but not since the last check. So the save
            # has probably ended.
            if seen == before and seen != handled:
                try:
                    self.reload_changes()
                except Exception as error:  # noqa: BLE001 (the next save is handled anyway)
                    self._say(f"The saved code is not active: {type(error).__name__}: {error}")
                handled = seen
            if self._stop.wait(_CHECK_SECONDS / 2 if seen != before else _CHECK_SECONDS):
                return

    def stop(self) -> None:
        """Make `run` return."""
        self._stop.set()

    def reload_changes(self) -> None:
        """Reload the packages that have changed, or report why they can't be reloaded."""
        try:
            digests = self._sources.packages.digests()
        except FileNotFoundError:  # removed since it was listed: the next check handles it
            return
        # An upgrade replaces files one by one, also those of this process. So load none of them.
        self._is_upgraded = IS_INSTALLED and any(
            digests[name] != self._sources.digests[name] for name in SHIPPED
        )
        if self._is_upgraded:
            self._update_outdated_file()
            return
        to_build = self._sources.to_build()
        if (digests, to_build) != (self._tried, self._tried_to_build):
            undone = bool(self._tried_to_build) and not to_build  # changed requirements
            changed, self._tried = undone or digests != self._tried, digests
            self._tried_to_build = to_build
            if self._can_build(to_build):
                self._rebuild(to_build)
            elif changed:
                self._reload(digests)
        self._update_outdated_file()

    def _can_build(self, changed: Collection[Path]) -> bool:
        """Return whether a build is needed and possible. If it isn't possible, note the reason."""
        self._build_problem = ""
        try:
            if changed:
                locked(find_app_folder())
        except UnusableAppFolder as problem:
            self._build_problem = str(problem)
        return bool(changed) and not self._build_problem

    def _rebuild(self, changed: Collection[Path]) -> None:
        """Build again with the current requirements and packages, and make this the active code."""
        began = time.monotonic()
        try:
            app, sources = find_app_folder(), self._read_sources()
            if app and app.lock in changed:
                name = relative_path(app.lock)
                self._installing = (
                    f"Installing the packages in {name}. Until then, the previous code stays active"
                )
                self._update_outdated_file()
            trees = self._trees.rebuilt(sources.packages, sources.digests, app)
            self._checker.packages = sources.packages
            self._checker.check(trees.deployed)
        except (BrokenCode, JobRunnersError) as problem:
            self._checker.packages = self._sources.packages
            self._report(str(problem))
            return
        finally:
            self._installing = ""
        self._trees = trees
        # A build doesn't apply changes that need a restart, so keep their first hashes.
        first_hashes = self._sources.needs_restart
        self._sources = replace(sources, needs_restart=sources.needs_restart | first_hashes)
        self._tried, self._tried_to_build = sources.digests, {}
        names = sorted(relative_path(path) for path in changed if path.exists())
        self._activate(trees.deployed, sources.digests, names, began)

    def _reload(self, digests: dict[str, str]) -> None:
        if digests == self._active:
            self._code_problem = ""
            self._say("The saved code is the active code again")
            return
        began = time.monotonic()
        names = sorted(name for name in digests if digests[name] != self._active[name])
        try:
            tree = self._trees.create(digests)
            self._checker.check(tree)
        except BrokenCode as broken:
            self._report(str(broken))
            return
        self._activate(tree, digests, names, began)

    def _report(self, problem: str) -> None:
        if not self._stop.is_set():
            first, *others = problem.split("\n")
            if first.endswith(":"):  # a list follows
                first = f"{first} {others[0].strip()}"
            self._code_problem = first
            self._say(f"{problem}\n  The previous code stays active.")

    def _activate(
        self, tree: Path, digests: dict[str, str], names: Sequence[str], began: float
    ) -> None:
        for digest in self._zip_digests:
            activate(self._home / CODE_FOLDER, digest, tree)
        self._active, self._code_problem = digests, ""
        self._say(f"Reloaded: {', '.join(names)} ({time.monotonic() - began:.1f} s)")

    def _update_outdated_file(self) -> None:
        """Update the file that lists the saved changes that aren't active yet."""
        reported = f"The saved code is not active: {self._code_problem}"  # `_report` has said it
        lines = self._outdated(reported)
        text = "; ".join(lines)
        file = self._home / OUTDATED_FILE
        before = file.read_text() if file.exists() else ""
        if text == before:
            return
        if text:
            new = file.with_suffix(".new")
            new.write_text(text)
            new.replace(file)
        else:
            file.unlink()
        for line in lines:
            if line != reported and line not in before:
                self._say(line)

    def _outdated(self, code_problem: str) -> list[str]:
        """Return a line for each reason why saved changes aren't active yet."""
        if self._is_upgraded:
            return [_UPGRADED]
        if self._installing:  # earlier problems may be solved by this
            return [self._installing]
        lines = [code_problem] if self._code_problem else []
        if self._build_problem:
            lines.append(f"The saved requirements are not active yet: {self._build_problem}")
        changed = [
            relative_path(path)
            for path, digest in self._sources.needs_restart.items()
            if _digest(path) != digest
        ]
        if changed:
            has = "have" if len(changed) > 1 else "has"
            lines.append(f"{' and '.join(changed)} {has} changed since the deploy. {_RESTART_HINT}")
        return lines


@contextlib.contextmanager
def watching(
    stack: Stack, home: Path, sources: Sources, say: Callable[[str], None]
) -> Iterator[None]:
    """Watch the sources in a thread during the with statement.

    `home` is the folder of this run of the local AWS. `sources` are the sources of the stack.
    """
    client = session(stack).client("lambda", endpoint_url=stack.endpoint_url)
    found = client.get_paginator("list_functions").paginate().search("Functions[]")
    ours = [each for each in found if each["Handler"].startswith("handlers.")]
    zip_digests = {base64.b64decode(each["CodeSha256"]).hex() for each in ours}
    variables = credentials(stack).variables | {"AWS_REGION": REGION}
    for each in ours:
        variables |= each["Environment"]["Variables"]
    folder = home / CODE_FOLDER
    worker = client.get_function_configuration(FunctionName=stack.worker_function_arn)
    deployed = folder / base64.b64decode(worker["CodeSha256"]).hex()
    trees = Trees(folder, sources.packages, deployed, sources.digests)
    app = sources.app_folder
    requirements = Path(relative_path(app / "requirements.txt")) if app else None
    checker = ImportChecker(sources.packages, variables, requirements)
    watcher = Watcher(home, sources, trees, checker, zip_digests, say)
    thread = threading.Thread(target=watcher.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        watcher.stop()
        checker.close()  # a check that still runs is dropped
        thread.join(timeout=1)


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""
