"""The Job Runners that is installed, and whether it is the one that the project pins.

They differ when a colleague has upgraded the project, until you install what you pulled.
"""

import json
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from urllib.parse import unquote, urldefrag

from packaging.requirements import InvalidRequirement, Requirement

from job_runners import __version__
from job_runners.building.app_config import UnusableAppFolder
from job_runners.building.pinned import read_pinned
from job_runners.places import CODE, COMMAND, ROOT

_FILE = re.compile(r"/job_runners-(?P<version>[^-/]+)(?:-[^/]*\.whl|\.tar\.gz)$")
_SHA256 = "sha256="


class NotAsPinned(UnusableAppFolder):
    """The project pins another Job Runners than the one that is installed."""


def pin() -> str:
    """Return the requirement of the installed Job Runners, with the extra `app`.

    If this version wasn't installed from a package index, the requirement names the file or address
    that it was installed from (PEP 610).
    """
    origin = _installed_from()
    if origin is None:
        return f"job-runners[app]=={__version__}"
    fragment = f"#{_SHA256}{origin.sha256}" if origin.sha256 else ""
    return f"job-runners[app] @ {origin.url}{fragment}"


def check() -> None:
    """Raise NotAsPinned if the project pins another Job Runners than the installed one."""
    if problem := difference():
        raise NotAsPinned(problem)


def difference() -> str | None:
    """Return a line that says how the pin differs from what is installed, or None if it doesn't."""
    try:
        pinned = read_pinned(ROOT)
        wanted = Requirement(pinned.on_this_machine(pinned.requirement))
    except (UnusableAppFolder, InvalidRequirement):  # another tool may install it
        return None
    file = _FILE.search(unquote(urldefrag(wanted.url).url)) if wanted.url else None
    versions = str(wanted.specifier) or (f"=={file['version']}" if file else "")
    if not Requirement(f"job-runners{versions}").specifier.contains(__version__, prereleases=True):
        return (
            f"pyproject.toml pins Job Runners {versions.removeprefix('==')}, but {__version__} is "
            f"installed. Run pip install -e . in {ROOT}."
        )
    installed = _installed_from()
    if wanted.url is None or (origin := _origin(wanted.url)).is_same(installed, file is not None):
        return None
    source = installed.url if installed else "a package index"
    source = "" if source == origin.url else f", from {source}"
    # pip would not install it, because a file of the same version is installed.
    return (
        f"pyproject.toml pins Job Runners from {origin.url}, but another build of {__version__} is "
        f"installed{source}. Run {COMMAND} upgrade."
    )


@dataclass(frozen=True)
class _Origin:
    """The file, folder or repository of a Job Runners."""

    url: str
    sha256: str | None

    def is_same(self, installed: "_Origin | None", is_file: bool) -> bool:
        """Return whether `installed`, which has the same version, came from here.

        A file of a known version may be installed from any place, unless the hashes differ.
        """
        if is_file:
            hashes = {self.sha256, installed.sha256 if installed else None} - {None}
            return len(hashes) < 2
        return installed is not None and installed.url == self.url


def _installed_from() -> _Origin | None:
    """Return where the installed Job Runners came from, or None for a package index."""
    try:
        text = distribution("job-runners").read_text("direct_url.json")
    except PackageNotFoundError:  # this is a checkout
        return _origin(CODE.as_uri())
    if text is None:
        return None
    found = json.loads(text)
    url = found["url"]
    if repository := found.get("vcs_info"):
        revision = repository.get("requested_revision")
        url = f"{repository['vcs']}+{url}" + (f"@{revision}" if revision else "")
    return _origin(url, found.get("archive_info", {}).get("hashes", {}).get("sha256"))


def _origin(address: str, sha256: str | None = None) -> _Origin:
    url, fragment = urldefrag(address)  # uv writes the hash as a fragment, pip writes it apart
    if fragment.startswith(_SHA256):
        sha256 = fragment.removeprefix(_SHA256)
    # What is installed doesn't name the password that an address may have.
    return _Origin(re.sub(r"//[^/@]*@", "//", url).rstrip("/"), sha256)
