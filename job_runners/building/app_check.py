"""Check before a deploy that the app's packages can be imported from a built tree.

Otherwise a broken import would only be noticed on AWS: the API would answer 502, and the worker
would run nothing.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from job_runners.building.app_folder import AppFolder, UnusableAppFolder, our_names
from job_runners.building.function_files import source_of
from job_runners.building.import_check import TASK_ROOT
from job_runners.building.old_names import MOVED, renamed
from job_runners.building.work_parameters import work_variables
from job_runners.places import COMMAND

IMPORT_CHECK = Path(__file__).with_name("import_check.py")
_TIMEOUT = 60  # seconds
# These errors come from the line itself. Other errors may come from a missing setting or service.
_MISTAKES = frozenset(
    {
        *("SyntaxError", "IndentationError", "TabError", "NameError", "UnboundLocalError"),
        *("AttributeError", "TypeError", "IndexError", "ZeroDivisionError", "RecursionError"),
    }
)
_NO_SETTING = "AppSettingMissing"
# Settings that every function has on AWS. The template's own settings are left out, because a
# module that needs one of them at import couldn't be imported by a test or another function.
_ENVIRONMENT = {"AWS_DEFAULT_REGION": "us-east-1", "JOBS_TABLE_NAME": "jobs"}


def check_dependencies(tree: Path, app: AppFolder) -> None:
    """Raise UnusableAppFolder if a dependency's module has the name of one of ours or the app's.

    `tree` contains the installed dependencies and nothing else.
    """
    # Many packages install `tests` by mistake, and no code uses it.
    reserved = our_names() - {"tests"}
    for entry in sorted(tree.iterdir()):
        name = entry.name.removesuffix(".py")
        if name in app.packages:
            whose, instead = "your own code", "or rename your package"
        elif name in reserved:
            whose, instead = "Job Runners", "or use another one"
        else:
            continue
        distribution = _distribution(tree, entry.name)
        raise UnusableAppFolder(
            f"{app.requirements} needs {distribution}, which has a module {name}. So "
            f"has {whose}, and Python can import only one of them. Remove the dependency, {instead}"
        )


def _distribution(tree: Path, entry: str) -> str:
    """Return the name of the distribution that installed this file or folder."""
    for found in distributions(path=[str(tree)]):
        if any(file.parts[0] == entry for file in found.files or ()):
            return found.name
    return "a package"


def check_imports(tree: Path, app: AppFolder) -> None:
    """Import the app's packages, and the work that they define.

    `tree` must be built for this machine. Raises UnusableAppFolder with the file, the line and
    advice if an import fails.
    """
    sources = app.sources
    request = json.dumps({"tree": str(tree), "modules": [*sources]})
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-B", str(IMPORT_CHECK)],
            env={**_ENVIRONMENT, **work_variables()},
            cwd=tree,
            input=request + "\n",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UnusableAppFolder(f"Importing your code took more than {_TIMEOUT} s") from None
    if not done.stdout:
        raise UnusableAppFolder(f"Your code can't be imported: {done.stderr.strip()}")
    problem: dict[str, Any] | None = json.loads(done.stdout)["problem"]
    if problem is not None:
        raise UnusableAppFolder(described(problem, Places(tree, sources, app.requirements)))


class Places:
    """The sources of the packages and modules in a tree, for messages about them.

    `sources` maps the name of each package to the folder that it was copied from. `requirements` is
    the file to which a missing distribution has to be added.
    """

    def __init__(self, tree: Path, sources: Mapping[str, Path], requirements: Path | None) -> None:
        self._sources = sources
        self.requirements = requirements
        packages = "|".join(map(re.escape, self._sources)) or "(?!)"
        # Error messages name a file by its path in the tree, or by that path below these folders.
        roots = "|".join(
            re.escape(f"{root}/") for root in (TASK_ROOT, str(tree), os.path.relpath(tree))
        )
        self._path = re.compile(rf"(?:{roots}|(?<![\w/.]))((?:{packages})/[\w/.-]+\.py)")

    def is_own(self, place: str) -> bool:
        """Return whether a file of the tree belongs to one of these packages."""
        return source_of(place, self._sources) is not None

    def source(self, place: str) -> str:
        """Return the path of a file's source, relative if it is inside the current folder."""
        path = source_of(place, self._sources) or Path(place)
        return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)

    def rewritten(self, text: str) -> str:
        """Replace the paths of files in the tree with the paths of their sources."""
        return self._path.sub(lambda found: self.source(found[1]), text)

    def entry_named_in(self, text: str) -> str | None:
        """Return the file and line of the table entry that an error text names, or None."""
        quoted = re.search(r"'([^']+)'", text)
        for name, folder in self._sources.items():
            table = rf"\b{re.escape(name)}\.(JOBS|TASKS|QUEUES|RECURRING|AROUND)\b"
            named = re.search(rf"{table}|\b{name} defines", text)
            if not named or not (folder / "__init__.py").exists():
                continue
            file = self.source(f"{name}/__init__.py")
            lines = (folder / "__init__.py").read_text(encoding="utf-8").splitlines()
            for number, line in enumerate(lines, start=1):
                if quoted and re.search(rf"""["']{re.escape(quoted[1])}["']\s*:""", line):
                    return f"{file}:{number}"
            return f"{file}:1"
        return None


def described(problem: Mapping[str, Any], places: Places) -> str:
    """Format a problem from import_check.py as file, line, error and advice."""
    kind, text = problem["kind"], places.rewritten(problem["text"])
    own = [place for place in problem["places"] if places.is_own(place[0])]
    where = None
    if own:
        file, line = own[-1]
        where = f"{places.source(file)}:{line}"
    elif problem["own"]:
        where = places.entry_named_in(text)
    if kind == _NO_SETTING:
        text = f"{kind}: {text}"
    error = text if problem["own"] else f"{kind}: {text}" if text else kind
    message = f"{where}: {error}" if where else error
    advice = _advice(problem, places)
    if not advice:
        return message
    end = "" if message.endswith("?") else "."
    return f"{message.rstrip('.')}{end} {advice}"


def _advice(problem: Mapping[str, Any], places: Places) -> str:
    kind, missing = problem["kind"], problem["missing"]
    if missing and places.is_own(missing.replace(".", "/")):
        return "Your package has no such module: correct the import, or add the file"
    if missing in MOVED:
        return (
            f"Since version 0.3 it is {renamed(missing)}. To rewrite all such imports, run "
            f"{COMMAND} adopt"
        )
    if missing == "job_runners.client":
        return (
            "The functions don't contain the client. In a job, call job.dispatch, which dispatches "
            "to the job's own stack"
        )
    if missing:
        requirements = places.requirements or "the requirements"
        return f"Add the package that provides {missing} to {requirements}, then run {COMMAND} lock"
    if kind == "NameTakenTwice":
        return "Rename yours, here and in the code that dispatches it"
    if kind == _NO_SETTING:
        return (
            "The module reads it when it is imported. Read it in the function that needs it, so "
            "that tests and builds need no setting and a new value is used without a deploy"
        )
    if problem["declared"] or kind in _MISTAKES:
        return "Correct that line"
    if problem["own"]:
        return ""
    if kind == "ImportError":
        return f"Did you mean {problem['nearest']}?" if problem["nearest"] else "Correct the import"
    return (
        "The module does this when it is imported, without settings or AWS. Move it into the "
        "function that needs it"
    )
