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
    definition: str | None = None  # what the user has to add to JOBS, if the code can't
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
    definition = f'"{name}": Job("{function}", retry=Retry(max_attempts=3)),'
    values = {
        "name": name,
        "model": "".join(part.capitalize() for part in name.split("_")),
        "title": name.replace("_", " ").strip().capitalize(),
        "definition": definition,
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
    new_jobs = (
        add_definition(old_jobs, definition)
        if old_jobs.strip()
        else fill_template("jobs.in", values)
    )
    if new_jobs is None:
        job.definition = definition
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


def add_definition(source: str, definition: str) -> str | None:
    """Return the source with the line `definition` as the first item of JOBS.

    Return None if that isn't safe, because JOBS isn't one literal dictionary or the file doesn't
    import the classes in the definition.
    """
    table = _table(source)
    classes = set(re.findall(r"\b[A-Z]\w+(?=\()", definition))
    if table is None or not classes <= _imported_names(source):
        return None
    lines = source.splitlines(keepends=True)
    line = lines[table.lineno - 1].encode()
    brace_end = table.col_offset + 1  # in bytes
    before, after = line[:brace_end].decode(), line[brace_end:].decode()
    new_line = f"    {definition}\n"
    if not after.partition("#")[0].strip():
        lines[table.lineno - 1] += new_line
    else:
        indent = "" if after.startswith("}") else "    "
        lines[table.lineno - 1] = f"{before}\n{new_line}{indent}{after}"
    return "".join(lines)


def literal_keys(source: str) -> set[str]:
    """Return the keys of JOBS that are literals."""
    table = _table(source)
    keys = table.keys if table else []
    return {str(key.value) for key in keys if isinstance(key, ast.Constant)}


def _table(source: str) -> ast.Dict | None:
    """Return the dictionary JOBS, or None unless one statement alone defines it as a literal."""
    statements = [each for each in _statements(source) if re.match(r"JOBS\b", ast.unparse(each))]
    match statements:
        case [ast.Assign(value=ast.Dict() as table) | ast.AnnAssign(value=ast.Dict() as table)]:
            return table
    return None


def _imported_names(source: str) -> set[str]:
    imports = [each for each in _statements(source) if isinstance(each, ast.ImportFrom)]
    return {alias.asname or alias.name for each in imports for alias in each.names}


def _statements(source: str) -> list[ast.stmt]:
    try:
        return ast.parse(source).body
    except SyntaxError:
        return []
