"""Read the app's app.toml. Its list `services` names AWS services that the functions can call."""

import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from job_runners.building.botocore_data import known_services
from job_runners.errors import JobRunnersError

CONFIG = "app.toml"


class UnusableAppFolder(JobRunnersError):
    """The app's folder has a mistake. The message says where it is and how to fix it."""


def read_services(config: Path) -> frozenset[str]:
    """Return the services in app.toml. There are none if the file doesn't exist.

    Raises UnusableAppFolder if the file can't be read, or names a service that AWS doesn't have.
    """
    services = _services(config)
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


def _services(config: Path) -> list[str]:
    if not config.exists():
        return []
    try:
        read: dict[str, Any] = tomllib.loads(config.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UnusableAppFolder(f"{config} is not TOML: {error}") from None
    services = read.pop("services", [])
    if read:
        raise UnusableAppFolder(
            f'{config}: unknown setting {min(read)}. The only setting is services = ["…"]'
        )
    if not isinstance(services, list) or not all(isinstance(each, str) for each in services):
        raise UnusableAppFolder(f'{config}: services must be a list, as in services = ["ses"]')
    return services
