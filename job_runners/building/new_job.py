"""Add a working example job and its test to a project, for `job-runners new`."""

import ast
import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from job_runners import settings
from job_runners.building.app_folder import UnusableAppFolder, package_name_problem, project_path
from job_runners.places import COMMAND, PROJECT_VARIABLE
from job_runners.shipped.jobs.names import Jobs

_TEMPLATES = Path(__file__).with_name("project")
_DEFAULT_PACKAGE = "my_work"
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass
class NewJob:
    """The files of a new job."""

    table: Path  # the file that defines JOBS
    entry: str | None = None  # what the user has to add to JOBS, if the code can't
    files: list[Path] = field(default_factory=list)


def new_job(name: str, package: str | None, folder: Path | None = None) -> NewJob:
    """Write the job into a folder (default: the project).

    If that isn't possible, raise UnusableAppFolder and write nothing.
    """
    _check_name(name)
    folder = folder or project_path()
    if folder is None:
        raise UnusableAppFolder(
            f"{PROJECT_VARIABLE} is empty, so there is no project. Unset it, or name a folder"
        )
    package = package or _default_package(folder)
    problem = package_name_problem(package)
    if problem is not None:
        raise UnusableAppFolder(f"{folder / package}: {problem}")
    return _write(folder, package, name)


def fill_template(template: str, values: Mapping[str, str]) -> str:
    """Return the text of a file in the folder `project`, with `values` in its placeholders."""
    return Template((_TEMPLATES / template).read_text(encoding="utf-8")).substitute(values)


def _write(folder: Path, package: str, name: str) -> NewJob:
    function = f"{package}.{name}:{name}"
    entry = f'"{name}": Job("{function}", retry=Retry(max_attempts=3)),'
    values = {
        "name": name,
        "model": _camel_case(name),
        "title": _title(name),
        "entry": entry,
        "test": f"{COMMAND} test",
    }
    job = NewJob(table=folder / package / "__init__.py")
    files = {
        folder / package / f"{name}.py": fill_template("job.in", values),
        folder / settings.APP_TESTS / f"test_{name}.py": fill_template("test_job.in", values),
    }
    old_jobs = job.table.read_text(encoding="utf-8") if job.table.exists() else ""
    for path in files:
        if path.exists() or name in literal_keys(old_jobs):
            duplicate = path if path.exists() else job.table
            raise UnusableAppFolder(f"{duplicate} already has a job {name}. Choose another name")
    new_jobs = add_entry(old_jobs, entry) if old_jobs.strip() else fill_template("jobs.in", values)
    if new_jobs is None:
        job.entry = entry
    else:
        files[job.table] = new_jobs  # written last, because it refers to the other files
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        job.files.append(path)
    return job


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or len(name) > 64:
        snake_case = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
        suggestion = re.sub(r"[^a-z0-9_]+", "_", snake_case)
        hint = ""
        if _NAME.fullmatch(suggestion) and not keyword.iskeyword(suggestion):
            hint = f", such as {suggestion}"
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
    folder_name = re.sub(r"\W+", "_", folder.name.lower())
    return _DEFAULT_PACKAGE if package_name_problem(folder_name) else folder_name


def _camel_case(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _title(name: str) -> str:
    return name.replace("_", " ").strip().capitalize()


_INDENT = "    "


def add_entry(source: str, entry: str) -> str | None:
    """Return the source with the line `entry` as the first entry of JOBS.

    Return None if that isn't safe, because JOBS isn't one literal dictionary or the file doesn't
    import the classes in the entry.
    """
    statements = list(re.finditer(r"^JOBS\b[^=\n]*=\s*", source, re.MULTILINE))
    classes = set(re.findall(r"\b[A-Z]\w+(?=\()", entry))
    if len(statements) != 1 or not classes <= _imported_names(source):
        return None
    after_brace = statements[0].end() + 1
    before, after = source[:after_brace], source[after_brace:]
    rest_of_line, line_break, below = after.partition("\n")
    code, _, _comment = rest_of_line.partition("#")
    if line_break and not code.strip():
        changed = f"{before}{rest_of_line}\n{_INDENT}{entry}\n{below}"
    else:
        indent = "" if after.startswith("}") else _INDENT
        changed = f"{before}\n{_INDENT}{entry}\n{indent}{after}"
    # If the new source is wrong in any way, it has no additional key.
    return changed if len(_keys(changed)) == len(_keys(source)) + 1 else None


def literal_keys(source: str) -> set[str]:
    """Return the keys of JOBS that are literals."""
    return {str(key.value) for key in _keys(source) if isinstance(key, ast.Constant)}


def _keys(source: str) -> list[ast.expr | None]:
    keys: list[ast.expr | None] = []
    for statement in _statements(source):
        if not isinstance(statement, ast.Assign | ast.AnnAssign):
            continue
        if isinstance(statement.value, ast.Dict) and ast.unparse(statement).startswith("JOBS"):
            keys += statement.value.keys
    return keys


def _imported_names(source: str) -> set[str]:
    names: set[str] = set()
    for statement in _statements(source):
        if isinstance(statement, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in statement.names}
    return names


def _statements(source: str) -> list[ast.stmt]:
    try:
        return ast.parse(source).body
    except SyntaxError:
        return []
