"""Write a working job and its test into the project."""

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from job_runners import settings
from job_runners.building.app_folder import UnusableAppFolder, project_path, why_not_a_package
from job_runners.building.table_entry import entries, with_entry
from job_runners.places import COMMAND, PROJECT_VARIABLE
from job_runners.shipped.jobs.names import Jobs

_TEMPLATES = Path(__file__).with_name("project")
_DEFAULT_PACKAGE = "my_work"
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass
class Written:
    """The files written. If `entry` isn't None, you have to add it to `table` manually."""

    table: Path  # the file with JOBS
    entry: str | None = None
    files: list[Path] = field(default_factory=list)


def new_job(name: str, package: str | None, folder: Path | None = None) -> Written:
    """Write the job into a folder (default: the project), or raise UnusableAppFolder and write
    nothing."""
    _check_name(name)
    folder = folder or project_path()
    if folder is None:
        raise UnusableAppFolder(
            f"{PROJECT_VARIABLE} is empty, so there is no project. Unset it, or name a folder"
        )
    package = package or _default_package(folder)
    why = why_not_a_package(package)
    if why is not None:
        raise UnusableAppFolder(f"{folder / package}: {why}")
    return _write(folder, package, name)


def filled(source: str, facts: Mapping[str, str]) -> str:
    """Return the text of a file in the folder `project` with these facts in their places."""
    return Template((_TEMPLATES / source).read_text(encoding="utf-8")).substitute(facts)


def _write(folder: Path, package: str, name: str) -> Written:
    function = f"{package}.{name}:{name}"
    entry = f'"{name}": Job("{function}", retry=Retry(max_attempts=3)),'
    facts = {"name": name, "model": _camel(name), "title": _title(name), "entry": entry}
    facts["test"] = f"{COMMAND} test"
    table = folder / package / "__init__.py"
    written = Written(table)
    files = {
        folder / package / f"{name}.py": filled("job.in", facts),
        folder / settings.APP_TESTS / f"test_{name}.py": filled("test_job.in", facts),
    }
    existing = table.read_text(encoding="utf-8") if table.exists() else ""
    for path in files:
        if path.exists() or name in entries(existing):
            where = path if path.exists() else table
            raise UnusableAppFolder(f"{where} already has a job {name}. Choose another name")
    changed = with_entry(existing, entry) if existing.strip() else filled("jobs.in", facts)
    if changed is None:
        written.entry = entry
    else:
        files[table] = changed  # written last, because it refers to the other files
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.files.append(path)
    return written


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or len(name) > 64:
        near = re.sub(r"[^a-z0-9_]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())
        hint = f", such as {near}" if _NAME.fullmatch(near) and not keyword.iskeyword(near) else ""
        raise UnusableAppFolder(
            f"{name!r} can't be the name of a job. The job's function and file are named after it, "
            f"so use lowercase letters, digits and _{hint}"
        )
    if name in set(Jobs):
        raise UnusableAppFolder(f"Job Runners has a built-in job {name}. Choose another name")


def _default_package(folder: Path) -> str:
    packages = settings.packages_in(folder)
    if len(packages) > 1:
        raise UnusableAppFolder(
            f"{folder} has several packages. Choose one with --package: {', '.join(packages)}"
        )
    if packages:
        return packages[0]
    from_folder = re.sub(r"\W+", "_", folder.name.lower())
    return _DEFAULT_PACKAGE if why_not_a_package(from_folder) else from_folder


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _title(name: str) -> str:
    return name.replace("_", " ").strip().capitalize()
