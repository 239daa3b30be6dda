"""Import trees of code as a function would: python -I -S job_runners/building/import_check.py

It can import only the standard library and the tree. For each tree, it reads one line of JSON:
{"tree": folder, "modules": [names]}. It answers with one line: {"problem": null}, or the first
problem with these modules or with the entries of the registry.

A child process imports each tree. The parent imports the modules that aren't the app's (pydantic,
botocore…), so that later children inherit them. These modules take most of the time.
"""

import importlib
import json
import os
import re
import sys
import threading
import traceback
from difflib import get_close_matches
from pathlib import Path
from typing import Any

# The folder of a function's code on AWS, which is also the path in compiled code.
TASK_ROOT = "/var/task"
# The modules whose own error messages describe a wrong definition.
_OURS = frozenset({"job_runners"})
_ENDED: dict[str, Any] = {
    "kind": "Ended",
    "text": "the process that imported it ended",
    "missing": None,
    "places": [],
    "own": True,
    "declared": False,
    "nearest": None,
}


def main() -> None:
    """Check each tree that is named on standard input."""
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # anything that the imported code prints goes to standard error
    for line in sys.stdin:
        request = json.loads(line)
        found = _import_in_child(request["tree"], request["modules"])
        print(json.dumps({"problem": found["problem"]}), file=output, flush=True)
        if threading.active_count() == 1:  # a process with threads must not fork
            _preload(request["tree"], found["others"])


def _import_in_child(tree: str, modules: list[str]) -> dict[str, Any]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as out:
            json.dump(_import(tree, modules), out)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else {"problem": _ENDED, "others": []}


def _import(tree: str, modules: list[str]) -> dict[str, Any]:
    sys.path.insert(0, tree)
    problem = None
    try:
        for name in modules:
            importlib.import_module(name)
        importlib.import_module("job_runners.engine.registry.registry").registry().resolve_all()
    except BaseException as error:  # noqa: BLE001  (a module may also end the process)
        problem = _describe(error, tree)
    ours = {name.partition(".")[0] for name in modules}
    others = [
        name
        for name, module in sys.modules.items()
        if name.partition(".")[0] not in ours
        and (getattr(module, "__file__", None) or "").startswith(tree)
    ]
    return {"problem": problem, "others": others}


def _describe(error: BaseException, tree: str) -> dict[str, Any]:
    """Describe an error, and list the places in the tree that lead to it, the nearest last.

    `own` means that Job Runners raised the error, whose text then names what is wrong. `declared`
    means that Python refused the arguments of one of our definitions.
    """
    own = type(error).__module__.partition(".")[0] in _OURS
    declared = _is_definition_error(error)
    places = [
        (file, frame.lineno)
        for frame in traceback.extract_tb(error.__traceback__)
        if (file := _path_in_tree(frame.filename, tree)) is not None
        and not ((own or declared) and file.partition("/")[0] in _OURS)
    ]
    if isinstance(error, SyntaxError) and error.filename:
        places.append((_path_in_tree(error.filename, tree) or error.filename, error.lineno))
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    text = getattr(error, "without_advice", text)  # app_check.py has its own advice
    if isinstance(error, NameError | AttributeError) and not own:
        # The formatted error may also suggest a similar name.
        text = str(traceback.TracebackException.from_exception(error))
    no_such_name = re.match(r"cannot import name '(\w+)' from '([\w.]+)'", text)
    return {
        "kind": type(error).__name__,
        "text": no_such_name[0] if no_such_name else text,
        "missing": error.name if isinstance(error, ModuleNotFoundError) else None,
        "places": places,
        "own": own,
        "declared": declared,
        "nearest": _nearest(no_such_name) if no_such_name else None,
    }


def _nearest(asked: re.Match[str]) -> str | None:
    """Return the name in the module that is most similar to the missing one."""
    module = sys.modules.get(asked[2])
    names = [*dir(module), *getattr(module, "__all__", ())]
    return next(iter(get_close_matches(asked[1], names, n=1)), None)


def _is_definition_error(error: BaseException) -> bool:
    """Return whether an error is about the arguments of one of our definitions.

    job_runners/values.py raises "Unique: the argument 'by' is missing", and Python raises
    "Each.__init__() missing 1 required …".
    """
    called = re.match(r"(\w+)(?:\.__init__\(\)|: the argument | takes \d+ positional)", str(error))
    return (
        isinstance(error, TypeError)
        and called is not None
        and hasattr(sys.modules.get("job_runners.work"), called[1])
    )


def _path_in_tree(file: str, tree: str) -> str | None:
    """Return a file's path in the tree, or None if it is outside the tree."""
    for root in (TASK_ROOT, tree):
        if Path(file).is_relative_to(root):
            return str(Path(file).relative_to(root))
    return None


def _preload(tree: str, others: list[str]) -> None:
    """Import the modules that don't belong to the app, for the next children."""
    sys.path.insert(0, tree)
    for name in others:
        try:
            importlib.import_module(name)
        except Exception:  # noqa: BLE001, S112  (the child imports it again, and reports the error)
            continue
    sys.path.remove(tree)


if __name__ == "__main__":
    main()
