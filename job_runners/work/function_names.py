"""Load functions that an app names in texts of the form "package.module:function".

A module is imported when one of its functions is first used. So more jobs don't make cold starts
slower, and a job whose module can't be imported doesn't affect other jobs.
"""

import gc
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from job_runners import values
from job_runners.errors import InvalidDefinition
from job_runners.work.errors import AppSettingMissing, FunctionNotLoaded


def check_form(function: str) -> None:
    """Raise InvalidDefinition for text that isn't the name of a function in a module."""
    module, _, name = function.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), name)):
        raise InvalidDefinition(
            f"{function!r} must be written as 'package.module:function', "
            "such as 'acme.letters:count'"
        )


class Place:
    """A line of a file. Its text is built only if an error needs it, because that is slow."""

    def __init__(self, file: str, line: int | None) -> None:
        self.file = file
        self.line = line

    def __str__(self) -> str:
        """Return the place as text for people."""
        return f"{_relative(self.file)}, line {self.line}"


def caller_outside(file: str) -> Place:
    """Return the place in the app that has called the code of `file`, such as a definition.

    This is the nearest place in the call stack outside `file` and the code of dataclasses.
    """
    place = Place("", None)
    for frame, line in traceback.walk_stack(sys._getframe(1)):
        place = Place(frame.f_code.co_filename, line)
        # The __init__ of a dataclass is compiled from text, in a file named "<string>".
        if place.file not in (file, values.__file__, "<string>"):
            break
    return place


def load(function: str, declared_in: object) -> Any:
    """Import and return the function with this name.

    `declared_in` is the place that names it, for the error. Raises FunctionNotLoaded, which also
    says where the import failed, and how to fix it. The next call after an error tries again.
    """
    module_name, _, name = function.partition(":")
    try:
        with _without_garbage_collection():
            module = import_module(module_name)
    except (Exception, SystemExit) as error:
        raise FunctionNotLoaded(function, declared_in, _explanation(module_name, error)) from error
    try:
        return getattr(module, name)
    except AttributeError:
        from difflib import get_close_matches  # imported here because only this error needs it

        nearest = get_close_matches(name, vars(module), n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]!r}?" if nearest else "correct the name, or define it"
        where = _relative(getattr(module, "__file__", None) or module_name)
        raise FunctionNotLoaded(
            function, declared_in, f"{where} does not define {name}; {hint}"
        ) from None


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Disable the garbage collector in the block: imports make many objects but no garbage."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _explanation(module_name: str, error: BaseException) -> str:
    """Explain why a module can't be imported, without a final period."""
    missing_module = error.name if isinstance(error, ModuleNotFoundError) else None
    # The missing module may be the module of the function itself, or a package that contains it.
    if f"{module_name}.".startswith(f"{missing_module}."):
        return f"there is no module {missing_module}. Correct the name, or add the file"
    where = _failing_line(module_name, error)
    return f"{where}: {type(error).__name__}: {_message(error)}. {_advice(error, missing_module)}"


def _message(error: BaseException) -> str:
    """Return an error's message, without a final period and without advice."""
    if isinstance(error, AppSettingMissing):
        # Its advice is for a function that reads the setting. It doesn't help with an import.
        return error.without_advice
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return text.removesuffix(".") or "without a message"


def _advice(error: BaseException, missing_module: str | None) -> str:
    if missing_module:
        return (
            f"Add the package that provides {missing_module} to the project's requirements and "
            "lock, for example with uv add, or add the missing file"
        )
    if isinstance(error, SyntaxError | ImportError | NameError):
        return "Correct that line"
    return (
        "A module is imported at build time too, with no settings and no AWS: leave to the "
        "function what needs them"
    )


def _failing_line(module_name: str, error: BaseException) -> str:
    """Return the file and line that led to the error, in the module's own package if possible."""
    if isinstance(error, SyntaxError) and error.filename:
        return str(Place(error.filename, error.lineno))
    places = [
        Place(frame.filename, frame.lineno)
        for frame in reversed(traceback.extract_tb(error.__traceback__))
        if not _is_import_machinery(frame.filename)
    ]
    package = sys.modules.get(module_name.partition(".")[0])
    folder = Path(getattr(package, "__file__", None) or __file__).parent
    in_package = [place for place in places if Path(place.file).is_relative_to(folder)]
    return str(next(iter(in_package or places), "on import"))


def _is_import_machinery(file: str) -> bool:
    """Return whether a file belongs to the import itself, and not to the imported code."""
    if file.startswith("<frozen ") or file == __file__:
        return True
    return Path(file).parts[-2:] == ("importlib", "__init__.py")


def _relative(file: str) -> str:
    """Return the path relative to the working directory, if the file is below it."""
    path = Path(file)
    if not path.is_relative_to(Path.cwd()):
        return file
    return str(path.relative_to(Path.cwd()))
