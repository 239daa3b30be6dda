"""Work done on a copy of the project, in a process of its own that has its imports behind it."""

import importlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

# What takes long to import and is not ours: imported once, for every process that is forked.
_HEAVY = (
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
_NOT_COPIED = shutil.ignore_patterns(
    "__pycache__",
    "node_modules",
    *(".git", ".venv", ".venv-aws", ".venv-scan", ".venv-model", ".build", ".aws-sam", ".local"),
    ".*_cache",
)
_LOOK = 0.05  # seconds between looks whether a process has ended

Work = Callable[[Path], Any]
"""Done inside the copy whose path it is given; what it returns is JSON."""


@dataclass(frozen=True)
class Outcome:
    """What a piece of work came to. `result` is None if it `hung`, and was ended after so many
    seconds; or if it died."""

    index: int
    result: Any
    seconds: float
    hung: bool


@dataclass
class _Running:
    index: int
    copy: Path
    started: float
    until: float


class Sandbox:
    """As many copies of the project as there are processes at a time."""

    def __init__(self, root: Path, jobs: int) -> None:
        self._root = root  # read once: it may change while this is at work
        self._home = root / ".build" / "mutants" / str(os.getpid())
        self._jobs = jobs
        self._unchanged = self._home / "unchanged"
        self._free: list[Path] = []
        self._running: dict[int, _Running] = {}

    def __enter__(self) -> Self:
        for name in _HEAVY:
            importlib.import_module(name)
        shutil.rmtree(self._home, ignore_errors=True)
        _copy(self._root, self._unchanged)
        self._free = [self._new(self._home / str(number)) for number in range(self._jobs)]
        return self

    def __exit__(self, *_: object) -> None:
        for pid in self._running:
            _kill(pid)
        shutil.rmtree(self._home, ignore_errors=True)

    def _new(self, to: Path) -> Path:
        return shutil.copytree(self._unchanged, to, symlinks=True)

    def do_all(self, work: list[tuple[Work, float]]) -> Iterator[Outcome]:
        """Do every piece of work, each in a process of its own and for as many seconds as are given
        with it. Outcomes come as they are known."""
        waiting = list(enumerate(work))
        while waiting or self._running:
            while waiting and self._free:
                index, (do, seconds) = waiting.pop(0)
                copy, now = self._free.pop(), time.monotonic()
                self._running[_fork(do, copy)] = _Running(index, copy, now, now + seconds)
            for pid in _ended(self._running):
                done = self._running.pop(pid)
                result = _result(done.copy)
                if result is None:  # it can't have tidied up
                    shutil.rmtree(done.copy)
                    self._new(done.copy)
                self._free.append(done.copy)
                now = time.monotonic()
                yield Outcome(done.index, result, now - done.started, hung=now > done.until)


def _ended(running: dict[int, _Running]) -> Iterable[int]:
    """Those that are over, by themselves or because their time was."""
    ended = []
    for pid, each in running.items():
        if os.waitpid(pid, os.WNOHANG)[0]:
            ended.append(pid)
        elif time.monotonic() > each.until:
            _kill(pid)
            ended.append(pid)
    if not ended:
        time.sleep(_LOOK)
    return ended


def _kill(pid: int) -> None:
    os.killpg(pid, signal.SIGKILL)  # what it has started too
    os.waitpid(pid, 0)


def _fork(work: Work, copy: Path) -> int:
    (copy / "result.json").unlink(missing_ok=True)
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        os.chdir(copy)
        with (copy / "output.txt").open("w") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1)
        _from(copy)
        (copy / "result.json").write_text(json.dumps(work(copy)))
    finally:
        os._exit(0)


def _from(copy: Path) -> None:
    """Import this project's modules anew, and from the copy. Those of this package stay: they are
    at work."""
    here = Path(sys.modules[__name__].__file__ or "").parents[2]
    ours = {each.stem for each in here.iterdir() if not each.name.startswith(".")}
    for name in [*sys.modules]:
        if name.partition(".")[0] in ours and not f"{name}.".startswith("testing.mutants."):
            del sys.modules[name]
    sys.path[:] = [str(copy), *(each for each in sys.path if Path(each or ".").resolve() != here)]


def _result(copy: Path) -> Any:
    found = copy / "result.json"
    return json.loads(found.read_text()) if found.exists() else None


def _copy(root: Path, to: Path) -> Path:
    """Return the project, without what is made from it. Environments are used where they are."""
    shutil.copytree(root, to, ignore=_NOT_COPIED, symlinks=True)
    for name in (".venv", ".venv-aws", ".venv-model"):
        if (root / name).exists():
            (to / name).symlink_to(root / name)
    return to
