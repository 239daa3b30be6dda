"""Where the installed Job Runners came from, so that a new project can require the same."""

import json
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

from job_runners import __version__
from job_runners.building.app_config import UnusableAppFolder
from job_runners.places import CODE


@dataclass(frozen=True)
class OwnSource:
    """The requirement of the installed Job Runners, and its entry in [tool.uv.sources]."""

    requirement: str
    entry: str = ""  # empty for a package index
    wheel: Path | None = None  # the file, which the project gets a copy of

    @property
    def in_pyproject(self) -> str:
        """The table for pyproject.toml, or "" for a package index."""
        return f"\n[tool.uv.sources]\njob-runners = {{ {self.entry} }}\n" if self.entry else ""


def own_source() -> OwnSource:
    """Return where the installed Job Runners came from (PEP 610).

    Raises UnusableAppFolder if it came from a wheel that is gone.
    """
    exact = f"job-runners[app]=={__version__}"
    try:
        text = distribution("job-runners").read_text("direct_url.json")
    except PackageNotFoundError:  # this is a checkout
        return OwnSource("job-runners[app]", _in_folder(CODE))
    if text is None:
        return OwnSource(exact)
    origin = json.loads(text)
    url = urldefrag(origin["url"]).url
    if repository := origin.get("vcs_info"):
        commit = repository["commit_id"]
        return OwnSource("job-runners[app]", f'{repository["vcs"]} = "{url}", rev = "{commit}"')
    if not url.startswith("file:"):
        return OwnSource("job-runners[app]", f'url = "{url}"')
    path = Path(unquote(urlsplit(url).path))
    if "dir_info" in origin:
        return OwnSource("job-runners[app]", _in_folder(path))
    if not path.is_file():
        raise UnusableAppFolder(
            f"Job Runners was installed from {path}, which no longer exists. A project needs a "
            "copy of it. Put the wheel there again, and repeat the command"
        )
    return OwnSource(exact, f'path = "wheels/{path.name}"', path)


def _in_folder(path: Path) -> str:
    return f'path = "{path.as_posix()}", editable = true'
