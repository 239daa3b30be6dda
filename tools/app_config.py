"""An organisation's app.toml: what of AWS its work calls.

`services` has names of services, as botocore has them, of which every operation can be called; and
single operations, with the name of their service as IAM writes it: `"dynamodb:Scan"`.
"""

import tomllib
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from errors import JobRunnersError
from tools.botocore_data import ALL, Operations, known_services, operations_of

CONFIG = "app.toml"


class UnusableAppFolder(JobRunnersError):
    """The organisation's folder can't be used as it is. The message says where, and what to do."""


def read_operations(config: Path) -> Operations:
    """Return what app.toml names, by service: none if there is no such file.

    Raises UnusableAppFolder if it can't be read, or names what AWS does not have.
    """
    found: dict[str, frozenset[str]] = {}
    for entry in _services(config):
        service, colon, operation = entry.partition(":")
        _check(config, "service", service, known_services())
        if colon:
            _check(config, f"operation of {service}", operation, operations_of(service))
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
        raise UnusableAppFolder(f'{config}: there is no setting {min(read)}, only services = ["…"]')
    if not isinstance(services, list) or not all(isinstance(each, str) for each in services):
        raise UnusableAppFolder(
            f'{config}: services must be a list, as in services = ["ses", "dynamodb:Scan"]'
        )
    return services


def _check(config: Path, kind: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        near = get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else "use the name that AWS's own pages have"
        raise UnusableAppFolder(f"{config}: AWS has no {kind} {name!r}; {hint}")
