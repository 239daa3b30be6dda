"""Imports a new tree of code as a function would: python -I -S local/import_check.py

It finds the standard library and the tree, and nothing else. A line of JSON comes in for each tree,
{"tree": folder, "modules": [names]}, and one goes out: {"problem": null}, or what was wrong.

Each tree is imported in a child of this process, which keeps what the tree has from others
(pydantic, botocore…) from one time to the next: that is most of what an import takes.
"""

import importlib
import json
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

# Where functions find their code on AWS, and so where compiled code says that it is.
TASK_ROOT = "/var/task"


def main() -> None:
    """Check each tree that is named on standard input."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the code prints while it is imported is no answer
    for line in sys.stdin:
        asked = json.loads(line)
        found = _in_a_child(asked["tree"], asked["modules"])
        print(json.dumps({"problem": found["problem"]}), file=answers, flush=True)
        if threading.active_count() == 1:  # a process with threads must not have children this way
            _keep(asked["tree"], found["others"])


def _in_a_child(tree: str, modules: list[str]) -> dict[str, Any]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as out:
            json.dump(_import(tree, modules), out)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        text = told.read()
    os.waitpid(child, 0)
    ended = {"text": "the process that imported it ended", "file": None, "line": None}
    return json.loads(text) if text else {"problem": ended, "others": []}


def _import(tree: str, modules: list[str]) -> dict[str, Any]:
    sys.path.insert(0, tree)
    problem = None
    try:
        for name in modules:
            importlib.import_module(name)
    except BaseException as error:  # noqa: BLE001  (a module may also end the process)
        problem = _told(error, tree)
    else:
        problem = _registry_problem()
    ours = {name.partition(".")[0] for name in modules}
    others = [
        name
        for name, module in sys.modules.items()
        if name.partition(".")[0] not in ours
        and (getattr(module, "__file__", None) or "").startswith(tree)
    ]
    return {"problem": problem, "others": others}


def _registry_problem() -> dict[str, Any] | None:
    """Return what is wrong with the tables of jobs and tasks: a name taken twice, no function…"""
    try:
        importlib.import_module("runners.registry").registry()
    except Exception as error:  # noqa: BLE001  (a person reads it)
        return {"text": f"{type(error).__name__}: {error}", "file": None, "line": None}
    return None


def _told(error: BaseException, tree: str) -> dict[str, Any]:
    """Return what is wrong, and the place in the tree that is nearest to it."""
    places = [
        (file, frame.lineno)
        for frame in traceback.extract_tb(error.__traceback__)
        if (file := _in_tree(frame.filename, tree)) is not None
    ]
    if isinstance(error, SyntaxError) and error.filename:
        places.append((_in_tree(error.filename, tree) or error.filename, error.lineno))
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    file, line = places[-1] if places else (None, None)
    return {"text": f"{type(error).__name__}: {text}", "file": file, "line": line}


def _in_tree(file: str, tree: str) -> str | None:
    """Return a file's path in the tree, or None for one that is elsewhere."""
    for root in (TASK_ROOT, tree):
        if Path(file).is_relative_to(root):
            return str(Path(file).relative_to(root))
    return None


def _keep(tree: str, others: list[str]) -> None:
    """Import the modules that are not ours, for the children to come."""
    sys.path.insert(0, tree)
    for name in others:
        try:
            importlib.import_module(name)
        except Exception:  # noqa: BLE001, S112  (the child imports it again, and says what is wrong)
            continue
    sys.path.remove(tree)


if __name__ == "__main__":
    main()
