"""Compile a build's sources to bytecode.

Without bytecode, imports take 2 to 3 times as long, and a function on Lambda can't write it. Python
ignores bytecode of another minor version, so a build must run the same version as the functions.
"""

import compileall
from pathlib import Path
from py_compile import PycInvalidationMode

from job_runners.errors import JobRunnersError
from job_runners.places import relative_path

_TASK_ROOT = "/var/task"  # where functions find their code


class DoesNotCompile(JobRunnersError):
    """A file can't be compiled."""


def compile_sources(tree: Path, path: Path) -> None:
    """Compile a file or a folder of a tree.

    Raises DoesNotCompile if a file doesn't compile, after compiling the others. The bytecode is
    unchecked: Python would otherwise compare it with the sources' times, which zipping changes.
    """
    compile_path = compileall.compile_dir if path.is_dir() else compileall.compile_file
    is_compiled = compile_path(
        path,
        quiet=2,  # the caller reports the file
        stripdir=str(tree),  # so that builds of the same sources are equal
        prependdir=_TASK_ROOT,
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )
    if not is_compiled:
        raise DoesNotCompile(f"{path} does not compile")


def first_mistake(source: Path) -> str | None:
    """Return the file, the line and the error of the first file that doesn't compile.

    Return None if all files compile on this Python.
    """
    files = sorted(source.rglob("*.py")) if source.is_dir() else [source]
    for file in files:
        try:
            compile(file.read_bytes(), file, "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None)
            reason = error.msg if isinstance(error, SyntaxError) else str(error)
            place = relative_path(file)
            if line:
                place = f"{place}:{line}"
            return f"{place}: {type(error).__name__}: {reason}. Correct that line"
    return None
