"""Build the code that all functions run.

A build is a folder, called a tree, with our sources, the app's packages, pinned dependencies and
bytecode. `sam build` calls this module through the Makefile: python -m job_runners.building.build
FOLDER
"""

import argparse
import hashlib
import os
import py_compile
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path

from job_runners.building.app_check import HANDLERS, SHIPPED, check_imports
from job_runners.building.app_folder import (
    AppFolder,
    BuildProblem,
    UnusableAppFolder,
    exit_code,
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
from job_runners.building.prune import SERVICES, prune, services_in
from job_runners.building.samconfig import SAMCONFIG, Target, work_variables
from job_runners.building.uv import uv, with_advice
from job_runners.places import BUILD_CACHE, BUILD_COMMAND, CODE, ROOT, relative_path
from job_runners.settings import APP_PACKAGES_FILE, BUILD_ID_FILE

CACHE = BUILD_CACHE
_TASK_ROOT = "/var/task"  # the folder of a function's code on AWS
# How dependencies are installed depends on these files, so a change of one needs new folders.
_INSTALLERS = ("build.py", "prune.py", "samconfig.py")


def build(target: Target, folder: Path, app: AppFolder | None = None) -> None:
    """Fill `folder` with the tree that functions run on `target`.

    The tree includes the app's packages and their requirements. Raises UnusableAppFolder if these
    packages can't be imported, and BuildProblem if the target needs another version of Python.
    """
    target.check_python()
    shutil.copytree(_dependencies(target, app), folder, dirs_exist_ok=True)
    packages, sources = (app.packages, app.sources) if app else ((), {})
    _add_sources(folder, packages, sources)
    (folder / BUILD_ID_FILE).write_text(f"{_build_id(app)}\n")
    if app:
        check(app)


def check(app: AppFolder) -> None:
    """Import the app's code with only what its functions will have, unless it was checked before.

    Raises UnusableAppFolder if the code can't be imported, or imports a package that no lock pins.
    """
    dependencies = _dependencies(Target.this_machine(), app)
    variables = sorted(work_variables().items())
    digest = hashlib.sha256(f"{_build_id(app)} {dependencies.name} {variables}".encode())
    marker = CACHE / f"imported-{digest.hexdigest()[:16]}"
    if marker.exists():
        return
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        tree = Path(scratch)
        # To copy the dependencies would take most of a build's time.
        for entry in dependencies.iterdir():
            (tree / entry.name).symlink_to(entry)
        _add_sources(tree, app.packages, {})
        check_imports(tree, app)
    marker.touch()


def _add_sources(folder: Path, packages: Sequence[str], app_sources: Mapping[str, Path]) -> None:
    """Add our sources and the app's, compiled. `packages` are the names of the app's packages."""
    _add_entry_points(folder)
    for name, source in ({name: CODE / name for name in SHIPPED} | dict(app_sources)).items():
        (folder / name).parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / name)
        _compile(folder, folder / name, source)
    (folder / APP_PACKAGES_FILE).write_text("".join(f"{name}\n" for name in packages))


def _compile(tree: Path, path: Path, source: Path | None = None) -> None:
    """Compile a file or a folder of a tree, which was copied from `source`.

    Raises BuildProblem for a mistake in the source. Without a source, such files stay without
    bytecode, as with pip: some packages have files for other Pythons. The bytecode is unchecked:
    Python would otherwise compare it with the sources' times, which zipping changes.
    """
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    for file in filter(Path.is_file, files):
        try:
            py_compile.compile(
                str(file),
                dfile=f"{_TASK_ROOT}/{file.relative_to(tree)}",  # builds of equal sources are equal
                doraise=True,
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )
        except py_compile.PyCompileError as problem:
            if source:
                error = problem.exc_value
                place = relative_path(source / file.relative_to(path))
                line = getattr(error, "lineno", None)
                raise BuildProblem(
                    f"{place}:{line}: {type(error).__name__}: {getattr(error, 'msg', error)}. "
                    "Correct that line"
                ) from None


def _build_id(app: AppFolder | None) -> str:
    """Return a hash of the sources that a build gets, and of the locks of its dependencies."""
    digest = hashlib.sha256()
    for lock in (OUR_LOCK, app.lock if app else None):
        digest.update(lock.read_bytes() if lock and lock.exists() else b"\0")
    sources = {name: CODE / name for name in SHIPPED} | (app.sources if app else {})
    for name, source in sorted(sources.items()):
        for path in sorted([source, *source.rglob("*")]):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(f"{name}/{path.relative_to(source).as_posix()}\0".encode())
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
    _compile(folder, handlers)


def _dependencies(target: Target, app: AppFolder | None = None) -> Path:
    """Return a folder with the pinned dependencies, pruned and compiled. It is kept for reuse."""
    pins = function_pins(project_pins(app), target)
    services = SERVICES
    if app:
        services = SERVICES | app.services | services_in(app.sources.values())
    digest = hashlib.sha256(pins.encode())
    for file in _INSTALLERS:
        digest.update(Path(__file__).with_name(file).read_bytes())
    digest.update(f"{target} {sys.version} {sorted(services)} {app is None}".encode())
    cached = CACHE / f"{target.architecture}-{target.python_runtime}-{digest.hexdigest()[:16]}"
    if not cached.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            folder = Path(scratch) / "tree"
            _install(target, folder, pins, app)
            prune(folder, services, has_app=app is not None)
            _compile(folder, folder)
            try:
                folder.rename(cached)  # so that this path never has a half-filled folder
            except OSError:
                if not cached.is_dir():  # another process was faster
                    raise
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
        raise BuildProblem(
            f"The packages in {app.lock if app else OUR_LOCK} can't be installed for "
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
    parser.add_argument("--samconfig", type=Path, default=SAMCONFIG)
    options = parser.parse_args()
    app = find_app_folder()
    check_version(ROOT)
    if options.folder:
        _check_worker_classes(app)
        if options.target == "machine":
            target = Target.this_machine()
        else:
            target = Target.from_samconfig(options.samconfig)
        build(target, options.folder, app)
    elif app:
        check(app)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
