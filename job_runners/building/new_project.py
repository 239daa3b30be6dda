"""Create the folder of a new project that runs jobs with Job Runners, for `job-runners new`."""

import json
import re
import shutil
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

from job_runners import __version__
from job_runners.building.app_folder import UnusableAppFolder, package_name_problem
from job_runners.building.new_job import fill_template, new_job
from job_runners.building.samconfig import this_python
from job_runners.building.uv import uv, uv_command, with_advice
from job_runners.places import CODE

_FILES = {
    "pyproject.toml": "pyproject.toml.in",
    "samconfig.toml": "samconfig.toml.in",
    "README.md": "readme.in",
    ".gitignore": "gitignore.in",
    ".python-version": "python-version.in",
}
_WORKFLOWS = {
    ".github/workflows/test.yml": "test.yml.in",
    ".github/workflows/deploy.yml": "deploy.yml.in",
    ".github/workflows/advisories.yml": "advisories.yml.in",
}
# A folder with these files and folders still counts as empty.
_IGNORED = frozenset({".git", ".venv", "venv", ".idea", ".vscode", "LICENSE"})


def new_project(folder: Path, *, github: bool) -> list[Path]:
    """Write the project, and return its files. `github` adds workflows for GitHub Actions.

    uv.lock isn't written: call `lock`. Raises UnusableAppFolder.
    """
    name = project_name(folder)
    package = name.replace("-", "_")
    problem = package_name_problem(package)
    if problem is not None:
        raise UnusableAppFolder(f"The project's package can't be {package}: {problem}")
    if folder.exists() and {path.name for path in folder.iterdir()} - _IGNORED:
        raise UnusableAppFolder(f"{folder} isn't empty. Choose a new or an empty folder")
    requirement, entry, wheel = installed_source()
    values = {
        "name": name,
        "package": package,
        "python": this_python(),
        "requirement": requirement,
        "source": f"\n[tool.uv.sources]\njob-runners = {{ {entry} }}\n" if entry else "",
    }
    templates = _FILES | _WORKFLOWS if github else _FILES
    files = [folder / path for path in templates]
    for file, template in zip(files, templates.values(), strict=True):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(fill_template(template, values), encoding="utf-8")
    if wheel:  # each machine can install its copy
        files.append(folder / "wheels" / wheel.name)
        files[-1].parent.mkdir()
        shutil.copyfile(wheel, files[-1])
    return files + new_job("first_job", package, folder.resolve()).files


def lock(folder: Path) -> str | None:
    """Write uv.lock. Return None, or a message if it can't be written.

    A project whose jobs need no packages works without a lock.
    """
    process = uv(["lock"], folder)
    if process.returncode == 0:
        return None
    return (
        f"uv.lock was not written. To write it, run {uv_command('lock')} in {folder}. "
        f"Now it fails:\n{with_advice(process.stderr, platform='this machine')}"
    )


def project_name(folder: Path) -> str:
    """Derive the project's name from its folder's name."""
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")
    if not name:
        return "jobs"
    return name if name[0].isalpha() else f"jobs-{name}"


def installed_source() -> tuple[str, str, Path | None]:
    """Return how a project's pyproject.toml requires the installed Job Runners.

    That is the requirement, the entry in [tool.uv.sources] ("" for a package index), and a wheel
    that the project needs a copy of, or None. direct_url.json (PEP 610) records the source. Raises
    UnusableAppFolder if it is a wheel that no longer exists.
    """
    requirement, exact_requirement = "job-runners[app]", f"job-runners[app]=={__version__}"
    try:
        text = distribution("job-runners").read_text("direct_url.json")
    except PackageNotFoundError:  # this is a checkout
        return requirement, _in_folder(CODE), None
    if text is None:
        return exact_requirement, "", None
    origin = json.loads(text)
    url = urldefrag(origin["url"]).url
    path = Path(unquote(urlsplit(url).path))
    if repository := origin.get("vcs_info"):
        commit = repository["commit_id"]
        return requirement, f'{repository["vcs"]} = "{url}", rev = "{commit}"', None
    if not url.startswith("file:"):
        return requirement, f'url = "{url}"', None
    if "dir_info" in origin:
        return requirement, _in_folder(path), None
    if not path.is_file():
        raise UnusableAppFolder(
            f"Job Runners was installed from {path}, which no longer exists. A project needs a "
            "copy of it. Put the wheel there again, and repeat the command"
        )
    return exact_requirement, f'path = "wheels/{path.name}"', path


def _in_folder(path: Path) -> str:
    return f'path = "{path.as_posix()}", editable = true'
