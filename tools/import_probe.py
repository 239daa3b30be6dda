"""Imports an organisation's work from a built tree: python -I -S tools/import_probe.py TREE NAME…

It finds the standard library and the tree, and nothing else, as a function would. Prints a line of
JSON: null, or the first thing that is wrong, with its place in the tree as file and line.
"""

import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

# Where functions find their code on AWS, and so where compiled code says that it is.
TASK_ROOT = "/var/task"


def main() -> None:
    """Import the modules that are named, then every entry of the registry."""
    tree, *names = sys.argv[1:]
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the code prints while it is imported is no answer
    sys.path.insert(0, tree)
    json.dump(_problem(Path(tree), names), answer)
    answer.flush()
    os._exit(0)  # whatever threads or exit handlers the code has left


def _problem(tree: Path, names: list[str]) -> dict[str, Any] | None:
    try:
        for name in names:
            importlib.import_module(name)
        registry = importlib.import_module("runners.registry").registry()
        registry.resolve_all()
    except BaseException as error:  # noqa: BLE001  (a module may also end the process)
        return _told(error, tree)
    return None


def _told(error: BaseException, tree: Path) -> dict[str, Any]:
    """Return what is wrong, and the place in the tree that is nearest to it."""
    places = [
        (file, frame.lineno)
        for frame in traceback.extract_tb(error.__traceback__)
        if (file := _in_tree(frame.filename, tree)) is not None
    ]
    text = str(error)
    if isinstance(error, SyntaxError):
        text = error.msg
        if error.filename and (file := _in_tree(error.filename, tree)):
            places.append((file, error.lineno))
    return {
        "kind": type(error).__name__,
        "text": text,
        "missing": error.name if isinstance(error, ModuleNotFoundError) else None,
        "places": places,
        "own": type(error).__module__.partition(".")[0] in ("errors", "runners", "work"),
    }


def _in_tree(file: str, tree: Path) -> str | None:
    """Return a file's path in the tree, or None for one that is elsewhere."""
    path = Path(file)
    for root in (Path(TASK_ROOT), tree):
        if path.is_relative_to(root):
            return str(path.relative_to(root))
    return None


if __name__ == "__main__":
    main()
