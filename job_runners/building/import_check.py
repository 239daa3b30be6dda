"""Import the code in a folder as a function would: python -I -S import_check.py TREE MODULE...

The process can import only the standard library and the folder TREE. It imports the modules, and
then the code of each job and task that they define. It prints the first problem as JSON, or null.
"""

import importlib
import json
import os
import re
import signal
import sys
import traceback
from difflib import get_close_matches
from typing import Any

_TIME_LIMIT = 60.0  # seconds
# Mistakes in the line that raises them. Other errors may be due to a missing setting or service.
_MISTAKES = (SyntaxError, NameError, AttributeError, TypeError, ImportError)


class ImportTimeout(BaseException):
    """An import takes too long. Code that handles each Exception doesn't handle this one."""


def limit_time(seconds: float) -> None:
    """Raise ImportTimeout in the main thread after this time. 0 removes the limit."""

    def stop(*_: object) -> None:
        raise ImportTimeout(f"The import has not ended after {seconds:g} s")

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def main() -> None:
    """Print the problem, and end the process together with its threads."""
    limit_time(_TIME_LIMIT)
    tree, *modules = sys.argv[1:]
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # anything that the imported code prints goes to standard error
    sys.path.insert(0, tree)
    problem = None
    try:
        for name in modules:
            importlib.import_module(name)
        importlib.import_module("job_runners.engine.registry.registry").registry().resolve_all()
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


if __name__ == "__main__":
    main()
