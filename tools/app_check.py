"""Checks that an organisation's work can be imported from a built tree, before it is deployed.

What fails here would have been an API that answers 502 and a worker that runs nothing.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from tools.app_folder import AppFolder, UnusableAppFolder, our_names
from tools.import_check import TASK_ROOT
from tools.work_parameters import work_variables

IMPORT_CHECK = Path(__file__).with_name("import_check.py")
_SECONDS = 60
# Errors of a line that would be wrong anywhere. Another error may come from what is not there.
_MISTAKES = frozenset(
    {
        *("SyntaxError", "IndentationError", "TabError", "NameError", "UnboundLocalError"),
        *("AttributeError", "TypeError", "IndexError", "ZeroDivisionError", "RecursionError"),
    }
)
# What every function has on AWS. The template's own settings are left out: a module that needs one
# of them to be imported could not be imported by a test, or by another function.
_ENVIRONMENT = {"AWS_DEFAULT_REGION": "us-east-1", "JOBS_TABLE_NAME": "jobs"}


def check_dependencies(tree: Path, app: AppFolder) -> None:
    """Raise UnusableAppFolder if a dependency has a module of a name that is ours or the app's.

    `tree` is where the dependencies have been installed, and nothing else.
    """
    rooms = our_names() - {"tests"}  # which many ship by mistake, and nobody imports
    for entry in sorted(tree.iterdir()):
        name = entry.name.removesuffix(".py")
        if name in app.packages:
            whose, instead = "your own work", "or rename your package"
        elif name in rooms:
            whose, instead = "Job Runners", "or use another"
        else:
            continue
        distribution = _distribution(tree, entry.name)
        raise UnusableAppFolder(
            f"{app.requirements} needs {distribution}, which has a module {name}. So "
            f"has {whose}, and only one of them could be imported: do without it, {instead}"
        )


def _distribution(tree: Path, entry: str) -> str:
    """Return the name of what has installed this file or folder."""
    for found in distributions(path=[str(tree)]):
        if any(file.parts[0] == entry for file in found.files or ()):
            return found.name
    return "something"


def check_imports(tree: Path, app: AppFolder | None, extensions: Sequence[str]) -> None:
    """Raise UnusableAppFolder, with file, line and what to do, if a package of the app, a module of
    `extensions` or an entry of their tables can't be imported from a tree built for this machine.
    """
    sources = app.sources if app else {}
    question = json.dumps({"tree": str(tree), "modules": [*sources]})
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-B", str(IMPORT_CHECK)],
            env={**_ENVIRONMENT, **work_variables(), "EXTENSIONS": ",".join(extensions)},
            cwd=tree,
            input=question + "\n",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UnusableAppFolder(f"Your work is not imported after {_SECONDS} s") from None
    if not done.stdout:
        raise UnusableAppFolder(f"Your work can't be imported: {done.stderr.strip()}")
    problem: dict[str, Any] | None = json.loads(done.stdout)["problem"]
    if problem is not None:
        requirements = app.requirements if app else None
        raise UnusableAppFolder(described(problem, Places(tree, sources, requirements)))


class Places:
    """Where the packages and modules of a tree that are to be told of come from, by their names."""

    def __init__(self, tree: Path, sources: Mapping[str, Path], requirements: Path | None) -> None:
        self._sources = sources
        self.requirements = requirements  # where a distribution that is missing belongs
        packages = "|".join(map(re.escape, self._sources)) or "(?!)"
        # A place that is said while it is imported is told from the current folder.
        roots = "|".join(
            re.escape(f"{root}/") for root in (TASK_ROOT, str(tree), os.path.relpath(tree))
        )
        self._path = re.compile(rf"(?:{roots}|(?<![\w/.]))((?:{packages})/[\w/.-]+\.py)")

    def is_own(self, place: str) -> bool:
        """Return whether a file of the tree is one of those."""
        return place.partition("/")[0] in self._sources

    def source(self, place: str) -> str:
        """Return the file that a file of the tree was copied from, from the current folder."""
        name, _, rest = place.partition("/")
        path = Path(place)
        if name in self._sources:
            path = self._sources[name] / rest if rest else self._sources[name]
        return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)

    def rewritten(self, text: str) -> str:
        """Return a text with their files named as they are in their folders."""
        return self._path.sub(lambda found: self.source(found[1]), text)

    def package_named_in(self, text: str) -> str | None:
        """Return the line where a text's quoted name is in the tables of a package it names."""
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
    """Return what tools/import_check.py has found, as file, line, what is wrong and what to do."""
    kind, text = problem["kind"], places.rewritten(problem["text"])
    own = [place for place in problem["places"] if places.is_own(place[0])]
    where = None
    if own:
        file, line = own[-1]
        where = f"{places.source(file)}:{line}"
    elif problem["own"]:
        where = places.package_named_in(text)
    said = text if problem["own"] else f"{kind}: {text}" if text else kind
    described = f"{where}: {said}" if where else said
    advice = _advice(problem, places)
    if not advice:
        return described
    end = "" if described.endswith("?") else "."
    return f"{described.rstrip('.')}{end} {advice}"


def _advice(problem: Mapping[str, Any], places: Places) -> str:
    kind, missing = problem["kind"], problem["missing"]
    if missing and places.is_own(missing.replace(".", "/")):
        return "There is no such module in your package: correct the import, or add the file"
    if missing:
        requirements = places.requirements or "the requirements"
        return f"Add what provides {missing} to {requirements}, then run make lock"
    if kind == "NameTakenTwice":
        return "Rename yours, here and where it is dispatched"
    if problem["declared"] or kind in _MISTAKES:
        return "Correct that line"
    if problem["own"]:
        return ""
    if kind == "ImportError":
        return f"Did you mean {problem['nearest']}?" if problem["nearest"] else "Correct the import"
    return (
        "This happens when the module is imported, where there are no settings and no AWS: do it "
        "in the function that needs it"
    )
