"""Find and check the app's folder: the project with the packages that define its jobs and tasks."""

import keyword
import re
import sys
import sysconfig
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from job_runners import settings
from job_runners.building.prune import known_services
from job_runners.errors import JobRunnersError
from job_runners.places import COMMAND, PROJECT_VARIABLE, find_project

CONFIG = "app.toml"
_CLASS_NAME = re.compile("[a-z][a-z0-9]{0,15}")
_MAX_CLASSES = 8  # a stack has at most 500 resources, and each class adds several
# The smallest and the largest value of each setting of a worker class. Those of the first three
# equal the limits of the template's parameters.
CLASS_SETTINGS = {
    "memory": (256, 10240),  # megabytes
    "timeout": (5, 1800),  # seconds
    "storage": (512, 10240),  # megabytes of /tmp
    "concurrency": (1, 100_000),  # reserved
}

Workers = dict[str, dict[str, int]]
"""The settings of each worker class, by its name."""
# Pins requirements.txt with hashes, for each platform.
PIP_LOCK = "uv pip compile --universal --generate-hashes requirements.txt -o requirements.lock"


class BuildProblem(JobRunnersError):
    """A build or a deploy can't go on. The message says why and what to do."""


class UnusableAppFolder(JobRunnersError):
    """The app's folder has a mistake. The message says where it is and how to fix it."""


def exit_code(program: Callable[[], int]) -> int:
    """Run a program of the build. Print an error of Job Runners, and return the exit code."""
    try:
        return program()
    except JobRunnersError as error:
        print(error, file=sys.stderr)
        return 1


def read_services(config: Path) -> frozenset[str]:
    """Return the services in app.toml. There are none if the file doesn't exist.

    Raises UnusableAppFolder if the file can't be read, or names a service that AWS doesn't have.
    """
    services = _read(config).get("services", [])
    if not isinstance(services, list) or not all(isinstance(name, str) for name in services):
        raise UnusableAppFolder(f'{config}: services must be a list, as in services = ["ses"]')
    for name in services:
        service, colon, _ = name.partition(":")
        if colon:
            raise UnusableAppFolder(
                f'{config}: services lists whole services. Write "{service}" instead of "{name}"'
            )
        if name not in known_services():
            similar = get_close_matches(name, known_services(), n=1, cutoff=0.5)
            hint = "Use the name that boto3.client takes"
            if similar:
                hint = f"Did you mean {similar[0]}?"
            raise UnusableAppFolder(f"{config}: AWS has no service {name!r}. {hint}")
    return frozenset(services)


def read_workers(config: Path) -> Workers:
    """Return the worker classes in the order of app.toml. There are none if it doesn't exist.

    Raises UnusableAppFolder for a class or a value that Lambda or the template would refuse.
    """
    workers = _read(config).get("workers", {})
    if not isinstance(workers, dict):
        raise UnusableAppFolder(f"{config}: workers must be tables, such as [workers.large]")
    for name, class_settings in workers.items():
        place = class_place(config, name)
        if not _CLASS_NAME.fullmatch(name) or name == "default":
            raise UnusableAppFolder(
                f"{place}: {name!r} can't be the name of a worker class. A name has up to 16 "
                "lower-case letters and digits, begins with a letter, and isn't default"
            )
        if not isinstance(class_settings, dict):
            raise UnusableAppFolder(f"{place}: {name} must be a table: [workers.{name}]")
        for setting, value in class_settings.items():
            _check_setting(class_place(config, name, setting), setting, value)
    if len(workers) > _MAX_CLASSES:
        excess = list(workers)[_MAX_CLASSES]
        raise UnusableAppFolder(
            f"{class_place(config, excess)}: {excess} is one worker class too many. At most "
            f"{_MAX_CLASSES} are possible, and {len(workers)} are declared"
        )
    return workers


def class_place(config: Path, name: str, setting: str = "") -> str:
    """Return the file and line that declare a worker class or one of its settings."""
    header = rf"""\s*(\[\s*workers\s*\.\s*|workers\.)?["']?{re.escape(name)}\b"""
    line = _find_line(config, header)
    if setting:
        key = rf"""[^#]*\b{re.escape(setting)}["']?\s*="""
        line = _find_line(config, key, start=line)
    return f"{config}:{line}"


def _find_line(config: Path, pattern: str, start: int = 1) -> int:
    """Return the number of the first line from `start` on that matches, or `start` if none does."""
    lines = config.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines[start - 1 :], start):
        if re.match(pattern, line):
            return number
    return start


def _check_setting(place: str, setting: str, value: object) -> None:
    if setting not in CLASS_SETTINGS:
        similar = get_close_matches(setting, CLASS_SETTINGS, n=1)
        hint = f"Did you mean {similar[0]}?" if similar else f"Use {', '.join(CLASS_SETTINGS)}"
        if setting == "services":
            hint = "Move it above the first table"
        raise UnusableAppFolder(f"{place}: a worker class has no setting {setting}. {hint}")
    minimum, maximum = CLASS_SETTINGS[setting]
    if type(value) is not int or not minimum <= value <= maximum:  # True is an int too
        hint = f"It must be a whole number from {minimum} to {maximum}"
        if setting == "concurrency" and value == 0:
            hint = "With 0, Lambda would run no work of the class. To hold jobs, pause their types"
        raise UnusableAppFolder(f"{place}: {setting} is {value!r}. {hint}")


def _read(config: Path) -> dict[str, Any]:
    if not config.exists():
        return {}
    try:
        content = tomllib.loads(config.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UnusableAppFolder(f"{config} is not TOML: {error}") from None
    for name, value in content.items():
        if name not in ("services", "workers"):
            line = _find_line(config, rf"[^\w#]*{re.escape(name)}")
            problem = f"unknown setting {name}. {_hint(name, value)}"
            raise UnusableAppFolder(f"{config}:{line}: {problem}")
    return content


def _hint(name: str, value: object) -> str:
    """Suggest the setting that was probably meant by an unknown one."""
    similar = get_close_matches(name, ("services", "workers"), n=1)
    if isinstance(value, dict) and similar:
        inner_tables = [key for key, inner in value.items() if isinstance(inner, dict)]
        class_name = inner_tables[0] if inner_tables else "NAME"
        return f"Did you mean [workers.{class_name}]?"
    if isinstance(value, dict) and value.keys() <= CLASS_SETTINGS.keys():
        return f"Did you mean [workers.{name}]?"
    return f"Did you mean {similar[0]}?" if similar else "Use services and [workers.NAME]"


@dataclass(frozen=True)
class AppFolder:
    """A project that has been checked: no package's name is taken."""

    path: Path  # absolute
    packages: tuple[str, ...]
    services: frozenset[str]  # AWS services in its app.toml
    workers: Workers = field(default_factory=dict)  # the worker classes in its app.toml

    @property
    def sources(self) -> dict[str, Path]:
        """The folders that a build copies into the functions, by package name."""
        return {name: self.path / name for name in self.packages}

    @property
    def config(self) -> Path:
        """Its app.toml, which may not exist."""
        return self.path / CONFIG

    @property
    def requirements(self) -> Path:
        """The file that lists the packages that its jobs and tasks need, which may not exist."""
        return requirements_file(self.path)

    @property
    def lock(self) -> Path:
        """The file that pins these packages with hashes, which may not exist."""
        return lock_file(self.path)

    @property
    def template(self) -> Path:
        """The template of the app's own stack, which may not exist."""
        return self.path / "own.template.yaml"

    @property
    def tests(self) -> Path:
        """The folder of its tests, which may not exist."""
        return self.path / settings.APP_TESTS


def find_app_folder() -> AppFolder | None:
    """Return the project, or None if there is none.

    Raises UnusableAppFolder if JOBS_PROJECT names no folder, the folder has no package, the name of
    a package is taken, or app.toml can't be read.
    """
    path = project_path()
    return None if path is None else read_app_folder(path)


def project_path() -> Path | None:
    """Return the path of the project, or None if there is none.

    Raises UnusableAppFolder if JOBS_PROJECT names no folder.
    """
    path = find_project()
    if path is not None and not path.is_dir():
        problem = "is a file" if path.exists() else "does not exist"
        raise UnusableAppFolder(
            f"The project can't be used: {path} {problem}. Set {PROJECT_VARIABLE} to the folder "
            "that contains your packages, as an absolute path or relative to the current folder"
        )
    return path


def read_app_folder(path: Path) -> AppFolder:
    """Read and check the folder at this path. Raises UnusableAppFolder."""
    packages = settings.packages_in(path)
    if not packages:
        raise UnusableAppFolder(
            f"{path} has no package of yours. A package is a folder with an __init__.py that "
            f"defines JOBS or TASKS. Create one with {COMMAND} new NAME"
        )
    for name in packages:
        problem = package_name_problem(name)
        if problem is not None:
            raise UnusableAppFolder(f"{path / name}: {problem}")
    config = path / CONFIG
    return AppFolder(path, packages, read_services(config), read_workers(config))


def package_name_problem(name: str) -> str | None:
    """Return why a package can't have this name and what to do, or None if it can."""
    if not name.isidentifier() or keyword.iskeyword(name):
        return (
            f"Python can't import the name {name!r}. Use letters, digits and _, for example "
            f"{_to_identifier(name)}"
        )
    conflict = _find_conflict(name)
    if conflict is None:
        return None
    return f"the name {name} is taken: {conflict}. Rename it, for example to my_{name}"


def our_names() -> frozenset[str]:
    """Return the top-level modules of Job Runners, whose names an app's packages can't have."""
    return frozenset({"handlers", "job_runners", "tests"})


def _find_conflict(name: str) -> str | None:
    if name in our_names():
        return f"Job Runners has a module {name}"
    if name in sys.stdlib_module_names:
        return "Python's standard library has a module with this name"
    site = sysconfig.get_path("purelib")
    if PathFinder.find_spec(name, [site]) is not None:
        return f"a dependency has a module with this name, in {site}"
    return None


def _to_identifier(name: str) -> str:
    text = "".join(letter if letter.isalnum() else "_" for letter in name) or "acme"
    if text[0].isdigit() or keyword.iskeyword(text):
        return f"my_{text}"
    return text


def uses_uv(project: Path) -> bool:
    """Return whether a project's packages are in pyproject.toml and uv.lock."""
    if (project / "uv.lock").exists():
        return True
    has_pip_files = any((project / f"requirements.{kind}").exists() for kind in ("txt", "lock"))
    return (project / "pyproject.toml").exists() and not has_pip_files


def requirements_file(project: Path) -> Path:
    """Return the file that names the packages, which may not exist."""
    return project / ("pyproject.toml" if uses_uv(project) else "requirements.txt")


def lock_file(project: Path) -> Path:
    """Return the file that pins the packages with hashes, which may not exist."""
    if uses_uv(project):
        return project / "uv.lock"
    requirements = requirements_file(project)
    if requirements.exists() and "--hash=" in requirements.read_text(encoding="utf-8"):
        return requirements
    return project / "requirements.lock"


def how_to_add(package: str, requirements: Path | None, name: str = "NAME") -> str:
    """Return a sentence that says how to add a package.

    `package` describes it, and `name` is its name if that is known. `requirements` is the project's
    requirements_file.
    """
    if requirements is None or requirements.name == "pyproject.toml":
        return f"To add {package}, run uv add {name}"
    return f"Add {package} to {requirements}, then run {PIP_LOCK}"
