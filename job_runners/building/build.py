"""Build the code that all functions run.

A build is a folder, called a tree, with our sources, the app's packages, pinned dependencies and
bytecode. `sam build` calls this module through the Makefile: python -m job_runners.building.build
FOLDER
"""

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import distributions
from pathlib import Path

from job_runners.building.app_check import check_imports
from job_runners.building.app_folder import (
    AppFolder,
    UnusableAppFolder,
    find_app_folder,
    our_names,
)
from job_runners.building.app_requirements import (
    OUR_LOCK,
    check_version,
    explicit_index_options,
    function_pins,
    project_pins,
)
from job_runners.building.botocore_data import SERVICES, move_to_cache, services_in
from job_runners.building.bytecode import (
    DoesNotCompile,
    compile_sources,
    first_mistake,
)
from job_runners.building.forgotten import check_requirements
from job_runners.building.function_files import HANDLERS, SHIPPED
from job_runners.building.install_problems import with_advice
from job_runners.building.prune import prune
from job_runners.building.target import ROOT, Target
from job_runners.building.uv import uv
from job_runners.building.work_parameters import work_variables
from job_runners.errors import JobRunnersError
from job_runners.places import BUILD_CACHE, BUILD_COMMAND, CODE
from job_runners.settings import APP_PACKAGES_FILE, BUILD_ID_FILE

__all__ = ["LOCK", "ROOT", "DoesNotCompile", "Target", "build"]

CACHE = BUILD_CACHE
LOCK = OUR_LOCK
# How dependencies are installed depends on these files, so a change of one needs new folders.
_INSTALLERS = tuple(
    Path(__file__).with_name(f"{name}.py")
    for name in ("botocore_data", "build", "bytecode", "prune", "target")
)


class DependenciesNotInstalled(JobRunnersError):
    """The packages of a lock file couldn't be installed. The message has uv's output."""


def build(target: Target, folder: Path, app: AppFolder | None = None) -> None:
    """Fill `folder` with the tree that functions run on `target`.

    The tree includes the app's packages and their requirements. Raises UnusableAppFolder if these
    packages can't be imported, and UnusableTarget if the target needs another version of Python.
    """
    target.check_python()
    shutil.copytree(_dependencies(target, app), folder, dirs_exist_ok=True)
    build_id = _add_sources(folder, app)
    if app and target.native:
        check_imports(folder, app)
    elif app:
        # This machine can't import code for another one, so check a tree for this machine.
        _check_once(app, build_id)


def check(app: AppFolder) -> None:
    """Build a temporary tree for this machine, and raise the same errors as `build`.

    Also raise UnusableAppFolder if the code imports a package that no lock pins.
    """
    check_requirements(app)
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        link(Path(scratch), app)
        check_imports(Path(scratch), app)


def link(folder: Path, app: AppFolder | None) -> None:
    """Fill `folder` with links to the dependencies for this machine, and copies of the sources.

    To copy the dependencies too would take most of a build's time.
    """
    for entry in _dependencies(Target.this_machine(), app).iterdir():
        (folder / entry.name).symlink_to(entry)
    _add_sources(folder, app)


def _add_sources(folder: Path, app: AppFolder | None) -> str:
    """Add our sources and the app's, compiled. Return the id of the build."""
    _add_entry_points(folder)
    sources = {name: CODE / name for name in SHIPPED}
    if app:
        sources |= app.sources
    for name, source in sources.items():
        (folder / name).parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / name)
        try:
            compile_sources(folder, folder / name)
        except DoesNotCompile as error:
            raise DoesNotCompile(first_mistake(source) or str(error)) from None
    packages = app.packages if app else ()
    (folder / APP_PACKAGES_FILE).write_text("".join(f"{name}\n" for name in packages))
    build_id = _build_id(folder, list(sources), app)
    (folder / BUILD_ID_FILE).write_text(f"{build_id}\n")
    return build_id


def _build_id(folder: Path, names: Sequence[str], app: AppFolder | None) -> str:
    """Return a hash of these files and folders of a tree, and of the locks of its dependencies."""
    digest = hashlib.sha256()
    for lock in (LOCK, app.lock if app else None):
        digest.update(lock.read_bytes() if lock and lock.exists() else b"\0")
    for name in sorted(names):
        source = folder / name
        paths = source.rglob("*") if source.is_dir() else [source]
        for path in sorted(paths):
            if path.is_file() and path.suffix != ".pyc":
                name_in_tree = path.relative_to(folder).as_posix()
                digest.update(f"{name_in_tree}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


def _add_entry_points(folder: Path) -> None:
    """Write the modules that the template names as handlers, such as handlers.worker."""
    handlers = folder / "handlers"
    handlers.mkdir()
    (handlers / "__init__.py").touch()
    for name in HANDLERS:
        text = f"from job_runners.handlers.{name} import handler as handler\n"
        (handlers / f"{name}.py").write_text(text)
    compile_sources(folder, handlers)


def _check_once(app: AppFolder, build_id: str) -> None:
    """Run `check`, but only once for the same code, because sam builds each function separately."""
    settings = sorted(work_variables().items())
    digest = hashlib.sha256(f"{build_id} {sys.version} {settings}".encode()).hexdigest()
    marker = CACHE / f"imported-{digest[:16]}"
    if not marker.exists():
        check(app)
        marker.touch()


def _dependencies(target: Target, app: AppFolder | None = None) -> Path:
    """Return a folder with the pinned dependencies, pruned and compiled. It is kept for reuse."""
    pins = function_pins(project_pins(app), target)
    services = SERVICES
    if app:
        services = SERVICES | app.services | services_in(app.sources.values())
    digest = hashlib.sha256(pins.encode())
    for file in _INSTALLERS:
        digest.update(file.read_bytes())
    digest.update(f"{target} {sys.version} {sorted(services)} {app is None}".encode())
    cached = CACHE / f"{target.architecture}-{target.python_runtime}-{digest.hexdigest()[:16]}"
    if not cached.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            folder = Path(scratch) / "tree"
            _install(target, folder, pins, app)
            prune(folder, services, has_app=app is not None)
            # Some packages have files for other Pythons. They stay without bytecode, as with pip.
            with suppress(DoesNotCompile):
                compile_sources(folder, folder)
            move_to_cache(folder, cached)
    if app:
        _check_names(cached, app)
    return cached


def _check_names(dependencies: Path, app: AppFolder) -> None:
    """Raise UnusableAppFolder if a dependency has a module with the name of another module.

    The other module belongs to Job Runners or to the app.
    """
    # Many packages install `tests` by mistake, and no code uses it.
    for name in sorted((our_names() - {"tests"}) | {*app.packages}):
        if (dependencies / name).exists() or (dependencies / f"{name}.py").exists():
            owner = "your own code" if name in app.packages else "Job Runners"
            package = _package_with(dependencies, name)
            raise UnusableAppFolder(
                f"The package {package} in {app.lock} has a module {name}. So has {owner}, and "
                f"Python can import only one of them. Remove {package}, or rename your own module"
            )


def _package_with(dependencies: Path, module: str) -> str:
    """Return the name of the package that installed a module into a folder."""
    for package in distributions(path=[str(dependencies)]):
        if {module, f"{module}.py"} & {file.parts[0] for file in package.files or ()}:
            return package.name
    return "that installed it"


def _install(target: Target, folder: Path, pins: str, app: AppFolder | None) -> None:
    """Install the pinned packages. uv refuses pins that conflict with each other."""
    project = app.path if app else ROOT
    # Copy the files: links would share them with uv's cache, and `prune` changes them.
    words = ["pip", "install", "--link-mode", "copy", "--require-hashes", "--only-binary", ":all:"]
    words += ["--python", sys.executable, "--target", str(folder), *explicit_index_options(project)]
    if not target.native:
        words += ["--python-platform", target.uv_platform]
    process = uv([*words, "--requirement", "-"], project, stdin=pins)
    if process.returncode != 0:
        output = with_advice(process.stderr, platform=target.description)
        raise DependenciesNotInstalled(
            f"The packages in {app.lock if app else LOCK} can't be installed for "
            f"{target.description}:\n{output}"
        )


def _check_worker_classes(app: AppFolder | None) -> None:
    """Raise UnusableAppFolder if sam reads a template without the worker classes in app.toml.

    Such a template has a function for each class. The Makefile next to it sets WORKER_CLASSES.
    """
    if app and app.workers and ",".join(app.workers) != os.environ.get("WORKER_CLASSES"):
        raise UnusableAppFolder(
            f"{app.config} declares the worker classes {', '.join(app.workers)}, which the "
            f"template of this sam build lacks. Run {BUILD_COMMAND} instead, which adds them"
        )


def main() -> int:
    """Build for samconfig's target or for this machine. Return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m job_runners.building.build", description=__doc__
    )
    parser.add_argument(
        "folder", type=Path, nargs="?", help="where to build; without it, only check your code"
    )
    parser.add_argument("--for", dest="target", choices=["samconfig", "machine"])
    parser.add_argument("--samconfig", type=Path, default=ROOT / "samconfig.toml")
    options = parser.parse_args()
    try:
        app = find_app_folder()
        if options.folder:
            _check_worker_classes(app)
            check_version(ROOT)
            if options.target == "machine":
                target = Target.this_machine()
            else:
                target = Target.from_samconfig(options.samconfig)
            build(target, options.folder, app)
        elif app:
            check(app)
    except JobRunnersError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
