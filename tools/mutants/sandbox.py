"""Run pieces of work, such as tests under a mutation, on copies of the project.

Each copy has a server: a process that has collected the tests, and forks for each piece of work. So
the work starts with all imports done, and can't affect later work.
"""

import importlib
import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Self

from tools.mutants.collected import Collected, collect
from tools.mutants.mutation import DoesNotApply, Mutation

# Third-party packages that are slow to import. The first process imports them for all forked ones.
_SLOW_IMPORTS = (
    "aws_lambda_powertools.event_handler",
    "aws_lambda_powertools.metrics",
    "boto3",
    "moto.core.models",
    "moto.dynamodb.models",
    "moto.s3.models",
    "pydantic",
    "pynamodb.models",
    "pytest",
)
_IGNORED_FILES = shutil.ignore_patterns(
    "__pycache__",
    "node_modules",
    *(".git", ".venv", ".venv-aws", ".venv-scan", ".venv-model", ".build", ".aws-sam", ".local"),
    ".*_cache",
)
_POLL_SECONDS = 0.01  # seconds between checks whether a process has ended
_children: set[int] = set()  # working children of this process


@dataclass(frozen=True)
class Work:
    """A call on the collected tests, under a mutation if there is one, in at most `seconds`.

    It returns JSON.
    """

    do: Callable[[Collected], Any]
    seconds: float
    mutation: Mutation | None = None


@dataclass(frozen=True)
class Outcome:
    """The outcome of a piece of work."""

    index: int
    result: Any  # None if the process died or hung
    seconds: float
    hung: bool  # its time was over, so it was killed
    why_not: str | None = None  # why the mutation could not be applied


@dataclass
class _Server:
    pid: int
    pipe: Connection


class Sandbox:
    """A copy of the project for each of `jobs` processes. `files` are the tests."""

    def __init__(self, root: Path, jobs: int, files: list[str]) -> None:
        self._root = root  # copied only at the start, because it may change during the run
        self._home = root / ".build" / "mutants" / str(os.getpid())
        self._jobs = jobs
        self._files = files
        self._servers: list[_Server] = []

    def __enter__(self) -> Self:
        for name in _SLOW_IMPORTS:
            importlib.import_module(name)
        shutil.rmtree(self._home, ignore_errors=True)
        try:
            for number in range(self._jobs):
                self._servers.append(_start(_copy(self._root, self._home / str(number)), self))
            for server in self._servers:
                _receive(server)  # wait until it is ready
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            os.kill(server.pid, signal.SIGTERM)
            os.waitpid(server.pid, 0)
        shutil.rmtree(self._home, ignore_errors=True)

    def do_all(self, work: Iterable[Work]) -> Iterator[Outcome]:
        """Do every piece of work, and yield outcomes as they come.

        Take a piece from `work` only when a process is free.
        """
        waiting = enumerate(work)
        busy: dict[Any, _Server] = {}
        free = [*self._servers]
        while True:
            while free and (next_work := next(waiting, None)) is not None:
                server = free.pop()
                server.pipe.send(next_work)
                busy[server.pipe] = server
            if not busy:
                return
            for pipe in wait(list(busy)):
                server = busy.pop(pipe)
                outcome: Outcome = _receive(server)
                free.append(server)
                yield outcome

    def serve(self, copy: Path, pipe: Connection) -> None:
        """Collect the tests, then do the work that arrives through the pipe, until it is closed."""

        def do_work(tests: Collected) -> None:
            pipe.send("ready")
            while True:
                try:
                    index, work = pipe.recv()
                except EOFError:
                    return
                with _mutated_file(copy, work.mutation, index):
                    pipe.send(_run_in_child(index, work, tests))

        _import_from(copy)
        collect(self._files, copy, do_work)


def _receive(server: _Server) -> Any:
    try:
        return server.pipe.recv()
    except EOFError:
        sys.exit("The tests can't be collected, or a process of the sandbox has died. See above.")


def _start(copy: Path, sandbox: Sandbox) -> _Server:
    server_pipe, child_pipe = Pipe()
    pid = os.fork()
    if pid:
        child_pipe.close()
        return _Server(pid, server_pipe)
    output = copy.with_suffix(".output")
    try:
        server_pipe.close()
        os.setsid()
        signal.signal(signal.SIGTERM, _end)
        os.chdir(copy)
        with output.open("w") as file:
            os.dup2(file.fileno(), 1)
        sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
        sandbox.serve(copy, child_pipe)
        sys.stderr.write(output.read_text()[-2000:])
    finally:
        os._exit(0)


@contextmanager
def _mutated_file(copy: Path, mutation: Mutation | None, index: int) -> Iterator[None]:
    """Write the mutation to the disk too, for other processes that tests start."""
    if mutation is None:
        yield
        return
    path = copy / mutation.file
    before, original = path.stat(), path.read_bytes()
    path.write_text(mutation.source)
    # Python recognizes outdated bytecode by the source's size and its time in seconds. Mutations
    # could have the same ones, so each gets another time.
    os.utime(path, (index, index))
    try:
        yield
    finally:
        path.write_bytes(original)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _run_in_child(index: int, work: Work, tests: Collected) -> Outcome:
    result_file = tests.copy.with_suffix(".json")
    result_file.unlink(missing_ok=True)
    started = time.monotonic()
    pid = os.fork()
    if not pid:
        try:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            result_file.write_text(json.dumps(_run_work(work, tests)))
        except BaseException:  # noqa: BLE001 - the error is in the output, and there is no result
            traceback.print_exc()
        finally:
            os._exit(0)
    ended = False
    _children.add(pid)
    while not ended and time.monotonic() - started < work.seconds:
        time.sleep(_POLL_SECONDS)
        ended = bool(os.waitpid(pid, os.WNOHANG)[0])
    _kill(pid)
    if not ended:
        os.waitpid(pid, 0)
    seconds = time.monotonic() - started
    if not ended or not result_file.exists():
        return Outcome(index, None, seconds, hung=not ended)
    return Outcome(index, seconds=seconds, hung=False, **json.loads(result_file.read_text()))


def _kill(pid: int) -> None:
    """Kill a child and the processes that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    _children.discard(pid)


def _end(*_: object) -> None:
    """Kill the child of this process, and end this process."""
    for pid in [*_children]:
        _kill(pid)
    os._exit(0)


def _run_work(work: Work, tests: Collected) -> dict[str, Any]:
    if work.mutation is not None:
        try:
            tests.apply(work.mutation)
        except DoesNotApply as error:
            return {"result": None, "why_not": str(error)}
    return {"result": work.do(tests)}


def _import_from(copy: Path) -> None:
    """Forget this project's imported modules, so that they are imported again from the copy.

    Keep the modules of this package, because they are in use.
    """
    here = Path(sys.modules[__name__].__file__ or "").parents[2]
    ours = {path.stem for path in here.iterdir() if not path.name.startswith(".")}
    for name in [*sys.modules]:
        if name.partition(".")[0] in ours and not f"{name}.".startswith("tools.mutants."):
            del sys.modules[name]
    others = (path for path in sys.path if Path(path or ".").resolve() != here)
    sys.path[:] = [str(copy), str(copy / "tests" / "support"), *others]


def _copy(root: Path, to: Path) -> Path:
    """Copy the project without generated files. Environments are linked."""
    shutil.copytree(root, to, ignore=_IGNORED_FILES, symlinks=True)
    for name in (".venv", ".venv-aws", ".venv-model"):
        if (root / name).exists():
            (to / name).symlink_to(root / name)
    return to
