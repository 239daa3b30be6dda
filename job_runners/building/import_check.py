"""Import a tree of code as a function would: python -I -S import_check.py TREE MODULE...

The process can import only the standard library and the tree. It imports the modules, and then the
code of each entry of the registry. It prints the first problem as JSON, or null.
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

_TIMEOUT = 60  # seconds
# These errors come from the line itself. Other errors may come from a missing setting or service.
_MISTAKES = (SyntaxError, NameError, AttributeError, TypeError, ImportError)


def main() -> None:
    """Print the problem, and end the process together with its threads."""
    signal.alarm(_TIMEOUT)
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
    json.dump(problem, output)
    output.flush()
    os._exit(0)


def describe(error: BaseException) -> dict[str, Any]:
    """Describe an error, with the places that lead to it, the nearest last.

    `own` means that Job Runners raised the error, whose text then names what is wrong.
    """
    kind = type(error).__name__
    own = type(error).__module__.partition(".")[0] == "job_runners"
    places = [(each.filename, each.lineno) for each in traceback.extract_tb(error.__traceback__)]
    text = str(error)
    if isinstance(error, SyntaxError):
        text = error.msg
        places.append((error.filename or "", error.lineno))
    elif isinstance(error, NameError | AttributeError) and not own:
        # Python may add a similar name, which str(error) lacks.
        text = str(traceback.TracebackException.from_exception(error))
    elif no_such_name := re.match(r"cannot import name '(\w+)' from '([\w.]+)'", text):
        module = sys.modules.get(no_such_name[2])
        names = [*dir(module), *getattr(module, "__all__", ())]  # some are imported at first use
        near = get_close_matches(no_such_name[1], names, n=1)
        text = no_such_name[0] + (f". Did you mean '{near[0]}'?" if near else "")
    text = getattr(error, "without_advice", text)  # app_check.py has its own advice
    return {
        "kind": kind,
        "text": text if own and kind != "AppSettingMissing" else f"{kind}: {text}".rstrip(": "),
        "missing": error.name if isinstance(error, ModuleNotFoundError) else None,
        "places": places,
        "own": own,
        "may_be_setting": not own and not isinstance(error, _MISTAKES),
    }


if __name__ == "__main__":
    main()
