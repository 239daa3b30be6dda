"""List the packages that are deployed to Lambda, from the locks and the packages' metadata."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions

from packaging.utils import NormalizedName, canonicalize_name

from job_runners.errors import JobRunnersError

_PINNED = re.compile(r"^([\w.-]+)==(\S+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_LICENSES = {  # the licenses of packages whose metadata names none
    "cronsim": "BSD-3-Clause",
    "python-dateutil": "Apache-2.0 OR BSD-3-Clause",
}


class NotInstalled(JobRunnersError):
    """A package of a lock isn't installed. The message names it and says how to install it."""


@dataclass(frozen=True)
class Package:
    """One package at the version that a lock pins. Names are normalized."""

    name: str
    version: str
    hashes: tuple[str, ...]  # SHA-256 of each of its files; one of them is installed
    license: str  # an SPDX expression if the package has one, or else its own text


def packages(pins: str, environment: Sequence[str]) -> list[Package]:
    """Return the packages in the text of a lock, sorted by name.

    `environment` lists the folders in which they are installed, like sys.path. Raises NotInstalled.
    """
    distributions_by_name = {
        canonicalize_name(distribution.name): distribution
        for distribution in distributions(path=list(environment))
    }
    result = []
    for name, (version, entry) in sorted(dict(_pins(pins)).items()):
        distribution = distributions_by_name.get(name)
        if distribution is None or distribution.version != version:
            raise NotInstalled(f"{name} {version} is not installed. To install it, run make dev")
        package = Package(
            name=name,
            version=version,
            hashes=tuple(_HASH.findall(entry)),
            license=_license(name, distribution),
        )
        result.append(package)
    return result


def _pins(pins: str) -> Iterable[tuple[NormalizedName, tuple[str, str]]]:
    """Yield the name, the version and the lines of each package."""
    for entry in re.split(r"\n(?=\w)", pins):
        if match := _PINNED.match(entry):
            yield canonicalize_name(match[1]), (match[2], entry)


def _license(name: str, distribution: Distribution) -> str:
    def values(field: str) -> list[str]:
        return distribution.metadata.get_all(field) or []

    classifiers = [text for text in values("Classifier") if text.startswith("License :: ")]
    names = [classifier.split(" :: ")[-1] for classifier in classifiers]
    first_line, _, _ = "".join(values("License")).partition("\n")
    expression = "".join(values("License-Expression")) or _LICENSES.get(name)
    return expression or first_line or " OR ".join(names) or "unknown"
