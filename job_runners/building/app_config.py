"""Read the app's app.toml: the AWS services that the functions can call, and the worker classes."""

import re
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from job_runners.building.botocore_data import known_services
from job_runners.errors import JobRunnersError

CONFIG = "app.toml"
_CLASS_NAME = re.compile("[a-z][a-z0-9]{0,15}")
_MOST_CLASSES = 8  # a stack has at most 500 resources
# The settings of a worker class, and their smallest and largest values. The first three have the
# limits of the template's parameters.
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
    if not isinstance(services, list) or not all(isinstance(each, str) for each in services):
        raise UnusableAppFolder(f'{config}: services must be a list, as in services = ["ses"]')
    for name in services:
        service, colon, _ = name.partition(":")
        if colon:
            raise UnusableAppFolder(
                f'{config}: services lists whole services. Write "{service}" instead of "{name}"'
            )
        if name not in known_services():
            near = get_close_matches(name, known_services(), n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]}?" if near else "Use the name that boto3.client takes"
            raise UnusableAppFolder(f"{config}: AWS has no service {name!r}. {hint}")
    return frozenset(services)


def read_workers(config: Path) -> Workers:
    """Return the worker classes in app.toml, in its order. There are none if it doesn't exist.

    Raises UnusableAppFolder for a class or a value that Lambda or the template would refuse.
    """
    workers = _read(config).get("workers", {})
    if not isinstance(workers, dict):
        raise UnusableAppFolder(f"{config}: workers must be tables, such as [workers.large]")
    for name, given in workers.items():
        place = class_place(config, name)
        if not _CLASS_NAME.fullmatch(name) or name == "default":
            raise UnusableAppFolder(
                f"{place}: {name!r} can't be the name of a worker class. A name has up to 16 "
                "lower-case letters and digits, begins with a letter, and isn't default"
            )
        if not isinstance(given, dict):
            raise UnusableAppFolder(f"{place}: {name} must be a table: [workers.{name}]")
        for setting, value in given.items():
            _check_setting(class_place(config, name, setting), setting, value)
    if len(workers) > _MOST_CLASSES:
        last = list(workers)[_MOST_CLASSES]
        raise UnusableAppFolder(
            f"{class_place(config, last)}: {last} is one worker class too many. At most "
            f"{_MOST_CLASSES} are possible, and {len(workers)} are declared"
        )
    return workers


def class_place(config: Path, name: str, setting: str = "") -> str:
    """Return the file and line at which a worker class, or a setting of it, is declared."""
    first = _line(config, rf"""\s*(\[\s*workers\s*\.\s*|workers\.)?["']?{re.escape(name)}\b""")
    key = rf"""[^#]*\b{re.escape(setting)}["']?\s*="""
    return f"{config}:{_line(config, key, first) if setting else first}"


def _line(config: Path, pattern: str, first: int = 1) -> int:
    """Return the number of the first line that begins with a pattern, from line `first` on."""
    lines = config.read_text(encoding="utf-8").splitlines()[first - 1 :]
    return next((n for n, line in enumerate(lines, first) if re.match(pattern, line)), first)


def _check_setting(place: str, setting: str, value: object) -> None:
    if setting not in CLASS_SETTINGS:
        near = get_close_matches(setting, CLASS_SETTINGS, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Use {', '.join(CLASS_SETTINGS)}"
        if setting == "services":
            hint = "Move it above the first table"
        raise UnusableAppFolder(f"{place}: a worker class has no setting {setting}. {hint}")
    least, most = CLASS_SETTINGS[setting]
    if type(value) is not int or not least <= value <= most:
        hint = f"It must be a whole number from {least} to {most}"
        if setting == "concurrency" and value == 0:
            hint = "With 0, Lambda would run no work of the class. To hold jobs, pause their types"
        raise UnusableAppFolder(f"{place}: {setting} is {value!r}. {hint}")


def _read(config: Path) -> dict[str, Any]:
    if not config.exists():
        return {}
    try:
        read = tomllib.loads(config.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UnusableAppFolder(f"{config} is not TOML: {error}") from None
    for name, value in read.items():
        if name not in ("services", "workers"):
            line = _line(config, rf"[^\w#]*{re.escape(name)}")
            said = f"unknown setting {name}. {_meant(name, value)}"
            raise UnusableAppFolder(f"{config}:{line}: {said}")
    return read


def _meant(name: str, value: object) -> str:
    """Return a hint at what an unknown setting was meant to be."""
    near = get_close_matches(name, ("services", "workers"), n=1)
    if isinstance(value, dict) and near:
        inner = next((each for each in value if isinstance(value[each], dict)), "NAME")
        return f"Did you mean [workers.{inner}]?"
    if isinstance(value, dict) and value.keys() <= CLASS_SETTINGS.keys():
        return f"Did you mean [workers.{name}]?"
    return f"Did you mean {near[0]}?" if near else "Use services and [workers.NAME]"
