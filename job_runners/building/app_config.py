"""Read the app's app.toml, which lists the AWS operations that the app's code calls.

Each entry of `services` is a service or one operation. A service, by its name in botocore, stands
for all of its operations. An operation is written as in IAM: `"dynamodb:Scan"`.
"""

import tomllib
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from job_runners.building.botocore_data import ALL, Operations, known_services, operations_of
from job_runners.errors import JobRunnersError

CONFIG = "app.toml"


class UnusableAppFolder(JobRunnersError):
    """The app's folder has a mistake. The message says where it is and how to fix it."""


def read_operations(config: Path) -> Operations:
    """Return the operations in app.toml, by service. There are none if the file doesn't exist.

    Raises UnusableAppFolder if the file can't be read, or names a service or operation that AWS
    doesn't have.
    """
    found: dict[str, frozenset[str]] = {}
    for entry in _services(config):
        service, colon, operation = entry.partition(":")
        _check_name(config, "service", service, known_services())
        if colon:
            _check_name(config, f"operation of {service}", operation, operations_of(service))
        found[service] = found.get(service, frozenset()) | ({operation} if colon else ALL)
    return {service: ALL if named >= ALL else named for service, named in found.items()}


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
        raise UnusableAppFolder(
            f'{config}: services must be a list, as in services = ["ses", "dynamodb:Scan"]'
        )
    return services


def _check_name(config: Path, kind: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        near = get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"Did you mean {near[0]}?" if near else "Use the name from the AWS documentation"
        raise UnusableAppFolder(f"{config}: AWS has no {kind} {name!r}. {hint}")
