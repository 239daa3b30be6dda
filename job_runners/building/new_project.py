"""Create a project: python -m job_runners.building.new_project FOLDER [--github]

`jobs init` calls it. It prints JSON: the files that it wrote.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from string import Template

from job_runners import __version__
from job_runners.building.app_folder import UnusableAppFolder, why_not_a_package
from job_runners.building.target import this_python
from job_runners.places import CODE, PROJECT_VARIABLE

_TEMPLATES = Path(__file__).with_name("project")
_FILES = {
    "pyproject.toml": "pyproject.toml.in",
    "samconfig.toml": "samconfig.toml.in",
    "README.md": "readme.in",
    ".gitignore": "gitignore.in",
}
_WORKFLOWS = {
    ".github/workflows/test.yml": "test.yml.in",
    ".github/workflows/deploy.yml": "deploy.yml.in",
}
# A new folder may already have these.
_HARMLESS = frozenset({".git", ".venv", "venv", ".idea", ".vscode", "LICENSE"})


def new_project(folder: Path, *, github: bool) -> list[Path]:
    """Write the project, and return its files. Raises UnusableAppFolder, and then writes none."""
    name = _name(folder)
    package = name.replace("-", "_")
    if (why := why_not_a_package(package)) is not None:
        raise UnusableAppFolder(f"The project's package can't be {package}: {why}")
    if folder.exists() and {each.name for each in folder.iterdir()} - _HARMLESS:
        raise UnusableAppFolder(f"{folder} isn't empty. Choose a new or an empty folder")
    facts = {"name": name, "package": package, "python": this_python(), "requirement": pin()}
    written = []
    for path, source in {**_FILES, **(_WORKFLOWS if github else {})}.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        text = (_TEMPLATES / source).read_text(encoding="utf-8")
        file.write_text(Template(text).substitute(facts), encoding="utf-8")
        written.append(file)
    return written + _first_job(folder, package)


def pin() -> str:
    """Return the requirement of the installed Job Runners, with the extra `app`.

    It names the file or address that this version was installed from, if it wasn't installed from
    a package index (PEP 610).
    """
    try:
        text = distribution("job-runners").read_text("direct_url.json")
    except PackageNotFoundError:  # this is a checkout
        return f"job-runners[app] @ {CODE.as_uri()}"
    if text is None:
        return f"job-runners[app]=={__version__}"
    origin = json.loads(text)
    hashes = origin.get("archive_info", {}).get("hashes", {})
    fragment = f"#sha256={hashes['sha256']}" if "sha256" in hashes else ""
    return f"job-runners[app] @ {origin['url']}{fragment}"


def _name(folder: Path) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")
    return name if name[:1].isalpha() else f"jobs-{name}".strip("-")


def _first_job(folder: Path, package: str) -> list[Path]:
    command = [sys.executable, "-P", "-m", "job_runners.building.new_job", "first_job"]
    paths = [str(CODE), os.environ.get("PYTHONPATH", "")]
    environment = {
        **{name: value for name, value in os.environ.items() if name != "APP"},
        PROJECT_VARIABLE: str(folder.resolve()),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    done = subprocess.run(
        [*command, "--package", package],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise UnusableAppFolder(done.stderr.strip())
    return [Path(each) for each in json.loads(done.stdout)["files"]]


def main() -> int:
    """Write the project that the command line names, and return the exit code."""
    arguments = argparse.ArgumentParser(prog="python -m job_runners.building.new_project")
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--github", action="store_true")
    given = arguments.parse_args()
    try:
        written = new_project(given.folder, github=given.github)
    except UnusableAppFolder as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps({"files": [str(each) for each in written]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
