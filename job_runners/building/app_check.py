"""Check before a deploy that the app's packages can be imported.

They are imported from a built tree: the folder that becomes a function's code. Without the check,
a broken import would first show on AWS: the API would respond with 502, and the worker would run
nothing.
"""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

from job_runners.building.app_folder import AppFolder, UnusableAppFolder, how_to_add
from job_runners.building.import_check import TIME_LIMIT
from job_runners.building.samconfig import work_variables
from job_runners.places import CODE, relative_path

_IMPORT_CHECK = Path(__file__).with_name("import_check.py")
# An import that Python can't interrupt, such as one that waits in C, is ended after this time more.
_GRACE_SECONDS = 10.0
# Settings that every function has on AWS. The app's own settings are left out on purpose: tests and
# other functions don't have them either, so a module that reads one at import must fail the check.
_ENVIRONMENT = {"AWS_DEFAULT_REGION": "us-east-1", "JOBS_TABLE_NAME": "jobs"}
# The deployed sources. A function's zip contains nothing else of Job Runners.
SHIPPED = (
    "job_runners/__init__.py",
    "job_runners/api",
    "job_runners/aws",
    "job_runners/caches.py",
    "job_runners/clock.py",
    "job_runners/dashboard",
    "job_runners/django",
    "job_runners/engine",
    "job_runners/errors.py",
    "job_runners/handlers",
    "job_runners/names.py",
    "job_runners/runners",
    "job_runners/settings.py",
    "job_runners/shipped",
    "job_runners/store",
    "job_runners/values.py",
    "job_runners/work",
)
# The entry points that the template names, such as handlers.worker.handler. Don't rename them: a
# deploy updates a function's code and its settings in two calls. Between them, the function would
# have a name that its code lacks.
HANDLERS = ("api", "worker", "timer", "failures")


def check_imports(tree: Path, app: AppFolder) -> None:
    """Import the app's packages, and the code of each job and task that they define.

    `tree` has all that the packages may import, for this machine. Raises UnusableAppFolder with the
    file, the line and advice if an import fails.
    """
    sources = json.dumps({name: str(folder) for name, folder in app.sources.items()})
    # -I and -S hide this environment's packages from the process. With -B, it writes no bytecode.
    try:
        process = subprocess.run(
            [sys.executable, "-I", "-S", "-B", str(_IMPORT_CHECK), str(tree), sources],
            env={**_ENVIRONMENT, **work_variables()},
            cwd=app.path,
            capture_output=True,
            text=True,
            errors="replace",
            start_new_session=True,  # so that Ctrl-C doesn't reach it
            check=False,
            timeout=TIME_LIMIT + _GRACE_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise UnusableAppFolder(
            f"Your code can't be imported: its import has not ended after {error.timeout:g} s"
        ) from None
    if not process.stdout:  # import_check.py prints at least null, unless it ends early
        raise UnusableAppFolder("Your code can't be imported: the process that imported it ended")
    if problem := json.loads(process.stdout):
        raise UnusableAppFolder(problem_text(problem, app.sources, app.requirements))


def problem_text(
    problem: Mapping[str, Any], sources: Mapping[str, Path], requirements: Path | None
) -> str:
    """Return the text of a problem, with its file, its line and advice.

    `problem` is what import_check.describe returned. `sources` has the packages and modules whose
    lines may have caused it.
    """
    text = problem["text"]
    place = _place(problem, sources)
    if place is None and problem["is_ours"]:
        place = _definition_place(text, sources)
    message = f"{place}: {text}" if place else text
    advice = _advice(problem, sources, requirements)
    if not advice:
        return message
    sentence = message if message.endswith("?") else f"{message.rstrip('.')}."
    return f"{sentence} {advice}"


def _place(problem: Mapping[str, Any], sources: Mapping[str, Path]) -> str | None:
    """Return the source file and line that are nearest to an error, or None."""
    # If Job Runners refuses a definition, the mistake is in the line that calls Job Runners.
    skips_ours = problem["is_ours"] or problem["kind"] == "TypeError"
    for file, line in reversed(problem["places"]):
        path = Path(file)
        if skips_ours and path.is_relative_to(CODE / "job_runners"):
            continue
        if any(path.is_relative_to(source) for source in sources.values()):
            return f"{relative_path(path)}:{line}"
    return None


def _definition_place(text: str, sources: Mapping[str, Path]) -> str | None:
    """Return the file and line of the definition that an error's text names, or None.

    If only the file can be found, the line is 1.
    """
    quoted = re.search(r"'([^']+)'", text)
    for name, folder in sources.items():
        file = folder / "__init__.py"
        if not file.exists() or not re.search(rf"\b{name}(\.[A-Z]+\b| defines)", text):
            continue
        if quoted:
            key = rf"""["']{re.escape(quoted[1])}["']\s*:"""
            lines = file.read_text(encoding="utf-8").splitlines()
            for number, line in enumerate(lines, start=1):
                if re.search(key, line):
                    return f"{relative_path(file)}:{number}"
        return f"{relative_path(file)}:1"
    return None


def _advice(
    problem: Mapping[str, Any], sources: Mapping[str, Path], requirements: Path | None
) -> str:
    missing = problem["missing"]
    if missing == "job_runners.client":
        return (
            "The functions don't contain the client. In a job, call job.dispatch, which dispatches "
            "to the job's own stack"
        )
    if missing and missing.partition(".")[0] in sources:
        return "Your package has no such module: correct the import, or add the file"
    if missing:
        for name in packages_distributions().get(missing.partition(".")[0], ()):
            add = how_to_add(name, requirements, name)
            return f"This environment has it, but no lock pins it for the functions. {add}"
        add = how_to_add(f"the package that provides {missing}", requirements)
        return f"{add}. If your lock has it already, install what the lock pins"
    if problem["kind"] == "NameTakenTwice":
        return "Rename yours, here and in the code that dispatches it"
    if problem["kind"] == "AppSettingMissing":
        return (
            "The module reads it when it is imported. Read it in the function that needs it, so "
            "that tests and builds need no setting and a new value is used without a deploy"
        )
    if problem["may_be_setting"]:
        return (
            "The module does this when it is imported, without settings or AWS. Move it into the "
            "function that needs it"
        )
    return ""
