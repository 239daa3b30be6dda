"""Import the code in a folder as a function would: python -I -S import_check.py TREE SOURCES

SOURCES is JSON: the folder of each package to check, by its name. The process can import only these
packages, the standard library and the folder TREE. It imports the packages, and then the code of
each job and task that they define. At last, it looks for imports that run later, such as those
inside functions. It prints the first problem as JSON, or null.
"""

import ast
import importlib
import json
import os
import re
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_file_location
from pathlib import Path
from typing import Any

TIME_LIMIT = 60.0  # seconds
_IMPORT_ERRORS = re.compile(r"\b(ImportError|ModuleNotFoundError)\b")
# Mistakes in the line that raises them. Other errors may be due to a missing setting or service.
_MISTAKES = (SyntaxError, NameError, AttributeError, TypeError, ImportError)


class ImportTimeout(BaseException):
    """An import takes too long. Code that handles each Exception doesn't handle this one."""


def limit_time(seconds: float) -> None:
    """Raise ImportTimeout in the main thread after this time. 0 removes the limit."""

    def stop(*_: object) -> None:
        raise ImportTimeout(f"The import has not ended after {seconds:g} s")

    signal.signal(signal.SIGALRM, stop)
    # Again each second, because the imported code may handle the first one.
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)


def main() -> None:
    """Print the problem, and end the process together with its threads."""
    limit_time(TIME_LIMIT)
    tree, sources = sys.argv[1], json.loads(sys.argv[2])
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # anything that the imported code prints goes to standard error
    sys.path.insert(0, tree)
    sys.meta_path.insert(0, _Finder(sources))
    problem = None
    try:
        for name in sources:
            importlib.import_module(name)
        importlib.import_module("job_runners.engine.registry.registry").registry().resolve_all()
        problem = find_missing(sources)
    except BaseException as error:  # noqa: BLE001  (a module may also end the process)
        problem = describe(error)
    limit_time(0)
    json.dump(problem, output)
    output.flush()
    os._exit(0)


def describe(error: BaseException) -> dict[str, Any]:
    """Describe an error, with the lines of its traceback, innermost last.

    `is_ours` means that Job Runners raised the error. Its text then names the mistake.
    """
    kind = type(error).__name__
    is_ours = type(error).__module__.partition(".")[0] == "job_runners"
    frames = traceback.extract_tb(error.__traceback__)
    places = [(frame.filename, frame.lineno) for frame in frames]
    text = str(error)
    if isinstance(error, SyntaxError):
        text = error.msg
        places.append((error.filename or "", error.lineno))
    elif isinstance(error, NameError | AttributeError) and not is_ours:
        # A traceback may suggest a similar name, which str(error) lacks.
        text = str(traceback.TracebackException.from_exception(error))
    elif match := re.match(r"cannot import name '(\w+)' from '([\w.]+)'", text):
        text = match[0]
        module = sys.modules.get(match[2])
        # __all__ may have names that the module imports only when they are used.
        names = [*dir(module), *getattr(module, "__all__", ())]
        similar = get_close_matches(match[1], names, n=1)
        if similar:
            text += f". Did you mean '{similar[0]}'?"
    text = getattr(error, "without_advice", text)  # app_check.py adds its own advice
    if not is_ours or kind == "AppSettingMissing":
        text = f"{kind}: {text}".rstrip(": ")
    return {
        "kind": kind,
        "text": text,
        "missing": error.name if isinstance(error, ModuleNotFoundError) else None,
        "places": places,
        "is_ours": is_ours,
        "may_be_setting": not is_ours and not isinstance(error, _MISTAKES),
    }


class _Finder:
    """Finds packages in these folders, by their names."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self._sources = sources

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        """Return how to import a package, or None if it is not one of these."""
        if name not in self._sources:
            return None
        folder = self._sources[name]
        file = Path(folder, "__init__.py")
        return spec_from_file_location(name, file, submodule_search_locations=[folder])


def find_missing(sources: Mapping[str, str]) -> dict[str, Any] | None:
    """Describe the first import of a module that this process can't find, or return None.

    Imports inside functions count. Imports for type checkers don't, and neither do those whose
    failure the code handles, nor those in tests.
    """
    for folder in sources.values():
        for file in sorted(Path(folder).rglob("*.py")):
            path = file.relative_to(folder)
            is_test = path.name == "conftest.py" or path.name.startswith("test_")
            if is_test or "tests" in path.parts:
                continue
            for name, line in _required_imports(ast.parse(file.read_bytes(), file)):
                if name not in sys.stdlib_module_names and find_spec(name) is None:
                    error = ModuleNotFoundError(f"No module named {name!r}", name=name)
                    return describe(error) | {"places": [(str(file), line)]}
    return None


def _required_imports(node: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield the top-level module and the line of each import below a node that must succeed."""
    if isinstance(node, ast.Import):
        yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module.partition(".")[0], node.lineno
    optional = _optional_parts(node)
    for child in ast.iter_child_nodes(node):
        if child not in optional:
            yield from _required_imports(child)


def _optional_parts(node: ast.AST) -> Sequence[ast.AST]:
    """Return a node's children that never run, or in which a failed import is handled."""
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        return node.orelse if isinstance(node.test, ast.UnaryOp) else node.body
    if isinstance(node, ast.Try) and any(_handles_imports(each.type) for each in node.handlers):
        return [*node.body, *node.handlers]
    if isinstance(node, ast.With) and any(_handles_imports(i.context_expr) for i in node.items):
        return node.body
    return []


def _handles_imports(error_type: ast.expr | None) -> bool:
    return error_type is None or bool(_IMPORT_ERRORS.search(ast.unparse(error_type)))


if __name__ == "__main__":
    main()
