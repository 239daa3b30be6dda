"""Find where Job Runners was installed from, so that a new project can require the same source."""

import json
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

from job_runners import __version__
from job_runners.building.app_config import UnusableAppFolder
from job_runners.places import CODE


@dataclass(frozen=True)
class InstalledSource:
    """How a project's pyproject.toml requires the installed Job Runners."""

    requirement: str
    entry: str = ""  # in [tool.uv.sources]; empty for a package index
    wheel: Path | None = None  # a file that the project needs a copy of

    @property
    def in_pyproject(self) -> str:
        """The table for pyproject.toml, or "" for a package index."""
        return f"\n[tool.uv.sources]\njob-runners = {{ {self.entry} }}\n" if self.entry else ""


def installed_source() -> InstalledSource:
    """Return where Job Runners was installed from, which direct_url.json records (PEP 610).

    Raises UnusableAppFolder if it was installed from a wheel that no longer exists.
    """
    exact_requirement = f"job-runners[app]=={__version__}"
    try:
        text = distribution("job-runners").read_text("direct_url.json")
    except PackageNotFoundError:  # this is a checkout
        return InstalledSource("job-runners[app]", _in_folder(CODE))
    if text is None:
        return InstalledSource(exact_requirement)
    origin = json.loads(text)
    url = urldefrag(origin["url"]).url
    if repository := origin.get("vcs_info"):
        commit = repository["commit_id"]
        return InstalledSource(
            "job-runners[app]", f'{repository["vcs"]} = "{url}", rev = "{commit}"'
        )
    if not url.startswith("file:"):
        return InstalledSource("job-runners[app]", f'url = "{url}"')
    path = Path(unquote(urlsplit(url).path))
    if "dir_info" in origin:
        return InstalledSource("job-runners[app]", _in_folder(path))
    if not path.is_file():
        raise UnusableAppFolder(
            f"Job Runners was installed from {path}, which no longer exists. A project needs a "
            "copy of it. Put the wheel there again, and repeat the command"
        )
    return InstalledSource(exact_requirement, f'path = "wheels/{path.name}"', path)


def _in_folder(path: Path) -> str:
    return f'path = "{path.as_posix()}", editable = true'
