"""Make the bytecode for a build.

Functions on Lambda can't write bytecode. Without it, imports take 2 to 3 times as long. Python
ignores the bytecode of other minor versions, so a build needs the version that the functions run.
"""

import compileall
import os
import subprocess
from functools import cache
from pathlib import Path
from py_compile import PycInvalidationMode

from job_runners.building.target import Target, this_python
from job_runners.errors import JobRunnersError
from job_runners.places import relative_path

_TASK_ROOT = "/var/task"  # where functions find their code


class DoesNotCompile(JobRunnersError):
    """A file can't be compiled. The message says where the mistake is."""


class NoPythonForTarget(JobRunnersError):
    """This machine doesn't have the functions' version of Python."""

    def __init__(self, target: Target) -> None:
        self.target = target
        super().__init__(
            f"Functions run on Python {target.python} (PythonRuntime in samconfig.toml). This is "
            f"Python {this_python()}, and no python{target.python} is on PATH or in pyenv to make "
            "their bytecode. Without bytecode, each start takes 2 to 3 times as long. Install "
            f"Python {target.python}, or set PythonRuntime=python{this_python()}"
        )


def check_python(target: Target) -> None:
    """Raise NoPythonForTarget if this machine can't make bytecode for the target."""
    if target.python != this_python() and interpreter(target.python) is None:
        raise NoPythonForTarget(target)


def compile_sources(target: Target, tree: Path, path: Path) -> None:
    """Compile a file or a folder of a tree. Raises NoPythonForTarget or DoesNotCompile.

    Before it raises DoesNotCompile, it compiles the other files.

    The bytecode is unchecked. Otherwise, Python would compare it with file times, which zipping
    changes.
    """
    if target.python == this_python():
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
    else:
        _compile_with_another(target, tree, path)


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
            shown = relative_path(file)
            place = f"{shown}:{line}" if line else shown
            return f"{place}: {type(error).__name__}: {reason}. Correct that line"
    return None


def _compile_with_another(target: Target, tree: Path, path: Path) -> None:
    python = interpreter(target.python)
    if python is None:
        raise NoPythonForTarget(target)
    command = [python, "-I", "-m", "compileall", "-q", "-s", str(tree), "-p", _TASK_ROOT]
    command += ["--invalidation-mode", "unchecked-hash", str(path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        mistakes = done.stdout.strip().replace(f"{tree}/", "").replace(f"{_TASK_ROOT}/", "")
        raise DoesNotCompile(f"This does not compile on Python {target.python}:\n{mistakes}")


@cache
def interpreter(version: str) -> str | None:
    """Return the path of a Python of this version (such as 3.13), or None if there is none.

    Run each candidate, because a name on PATH may be a shim that fails.
    """
    folders = [Path(each) for each in os.get_exec_path()]
    folders += sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin"))
    program = "import sys; sys.stdout.write('%d.%d' % sys.version_info[:2])"
    for folder in folders:
        python = folder / f"python{version}"
        if python.is_file() and os.access(python, os.X_OK):
            answer = subprocess.run(
                [python, "-I", "-c", program], capture_output=True, text=True, check=False
            )
            if answer.stdout == version:
                return str(python)
    return None
