"""Read the project's app.toml, which lists AWS services and worker classes.

The services are those that the functions can call. A worker class is an additional worker function
with its own memory, timeout and concurrency.
"""

import re
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from job_runners.building.botocore_data import known_services
from job_runners.errors import JobRunnersError

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


class UnusableAppFolder(JobRunnersError):
    """The app's folder has a mistake. The message says where it is and how to fix it."""


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
