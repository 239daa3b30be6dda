"""Check before a deploy that the app's packages can be imported from a built tree.

Otherwise a broken import would only be noticed on AWS: the API would answer 502, and the worker
would run nothing.
"""

import json
import re
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from job_runners.building.app_folder import AppFolder, UnusableAppFolder
from job_runners.building.function_files import source_of
from job_runners.building.package_files import how_to_add
from job_runners.building.work_parameters import work_variables
from job_runners.places import relative_path

# The folder of a function's code on AWS, which is also the path in compiled code.
TASK_ROOT = "/var/task"
_IMPORT_CHECK = Path(__file__).with_name("import_check.py")
# Settings that every function has on AWS. The template's own settings are left out, because a
# module that needs one of them at import couldn't be imported by a test or another function.
_ENVIRONMENT = {"AWS_DEFAULT_REGION": "us-east-1", "JOBS_TABLE_NAME": "jobs"}


def check_imports(tree: Path, app: AppFolder) -> None:
    """Import the app's packages, and the work that they define.

    `tree` must be built for this machine. Raises UnusableAppFolder with the file, the line and
    advice if an import fails.
    """
    process = start_import(tree, app.packages, {**_ENVIRONMENT, **work_variables()})
    if problem := import_problem(process, tree, app.sources, app.requirements):
        raise UnusableAppFolder(problem)


def start_import(
    tree: Path, modules: Collection[str], variables: Mapping[str, str]
) -> subprocess.Popen[str]:
    """Start a process that imports these modules of a tree, with these environment variables."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", str(_IMPORT_CHECK), str(tree), *modules],
        env=variables,
        cwd=tree,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,  # so that Ctrl-C doesn't reach it
    )


def import_problem(
    process: subprocess.Popen[str],
    tree: Path,
    sources: Mapping[str, Path],
    requirements: Path | None,
) -> str | None:
    """Wait for the process, and return the first problem as file, line, error and advice.

    `sources` maps the name of each package in the tree to the folder that it was copied from.
    """
    answer, _ = process.communicate()
    if not answer:
        return "Your code can't be imported: the process that imported it ended, or took over 60 s"
    found: dict[str, Any] | None = json.loads(answer)
    return None if found is None else problem_text(found, tree, sources, requirements)


def problem_text(
    found: Mapping[str, Any], tree: Path, sources: Mapping[str, Path], requirements: Path | None
) -> str:
    """Return a problem that import_check.describe has described, with its place and advice.

    The other arguments are those of `import_problem`.
    """
    text = found["text"]
    for name, source in sources.items():  # the text has paths of compiled code, or in the tree
        path = rf"(?:{TASK_ROOT}/|{re.escape(str(tree))}/|(?<![\w/.])){name}(?=(/[\w/.-]+)?\.py)"
        text = re.sub(path, relative_path(source), text)
    where = _place(found, tree, sources) or (_entry_in(text, sources) if found["own"] else None)
    advice = _advice(found, sources, requirements)
    message = f"{where}: {text}" if where else text
    if not advice:
        return message
    return f"{message.rstrip('.')}{'' if message.endswith('?') else '.'} {advice}"


def _place(found: Mapping[str, Any], tree: Path, sources: Mapping[str, Path]) -> str | None:
    """Return the source file and line that are nearest to an error, or None."""
    for file, line in reversed(found["places"]):
        place = file.removeprefix(f"{TASK_ROOT}/").removeprefix(f"{tree}/")
        source = source_of(place, sources)
        # The definitions of Job Runners raise errors about the line that calls them.
        if source and (not place.startswith("job_runners/") or not _is_of_definition(found)):
            return f"{relative_path(source)}:{line}"
    return None


def _is_of_definition(found: Mapping[str, Any]) -> bool:
    return bool(found["own"]) or found["kind"] == "TypeError"


def _entry_in(text: str, sources: Mapping[str, Path]) -> str | None:
    """Return the file and line of the table entry that an error text names, or None."""
    quoted = re.search(r"'([^']+)'", text)
    for name, folder in sources.items():
        file = folder / "__init__.py"
        if file.exists() and re.search(rf"\b{name}(\.[A-Z]+\b| defines)", text):
            key = quoted and re.compile(rf"""["']{re.escape(quoted[1])}["']\s*:""")
            lines = enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
            found = (number for number, line in lines if key and key.search(line))
            return f"{relative_path(file)}:{next(found, 1)}"
    return None


def _advice(
    found: Mapping[str, Any], sources: Mapping[str, Path], requirements: Path | None
) -> str:
    missing = found["missing"]
    if missing == "job_runners.client":
        return (
            "The functions don't contain the client. In a job, call job.dispatch, which dispatches "
            "to the job's own stack"
        )
    if missing and missing.partition(".")[0] in sources:
        return "Your package has no such module: correct the import, or add the file"
    if missing:
        add = how_to_add(f"the package that provides {missing}", requirements)
        return f"{add}. If your lock has it already, install what the lock pins"
    if found["kind"] == "NameTakenTwice":
        return "Rename yours, here and in the code that dispatches it"
    if found["kind"] == "AppSettingMissing":
        return (
            "The module reads it when it is imported. Read it in the function that needs it, so "
            "that tests and builds need no setting and a new value is used without a deploy"
        )
    if found["may_be_setting"]:
        return (
            "The module does this when it is imported, without settings or AWS. Move it into the "
            "function that needs it"
        )
    return ""
