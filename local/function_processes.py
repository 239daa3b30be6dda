"""How ministack starts the processes of functions: from shared code, with a channel of their own.

Used in ministack's process alone. It replaces parts of ministack that have no other way in, and
refuses a version whose parts look different.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ministack.core import lambda_runtime

from local import function_code, worker_start

_LOOK_SECONDS = 0.1
_log = logging.getLogger("lambda_runtime")
_CALLS = ("sys.stdin.readline()", "_from_ministack.readline()", 2)  # how often it is there
_ANSWERS = ("_real_stdout = sys.stdout", "_real_stdout = _to_ministack", 1)


def share_code(folder: Path) -> None:
    """Have each process of a Python function run a tree that `folder` holds once for all."""
    lambda_runtime._PYTHON_WORKER_SCRIPT = start_script(lambda_runtime._PYTHON_WORKER_SCRIPT)
    SharingWorker.folder = folder
    lambda_runtime.Worker = SharingWorker
    lambda_runtime.kill_workers = _end_after_their_calls
    threading.Thread(target=_keep_renewing, daemon=True).start()


_kill_workers = lambda_runtime.kill_workers


def _end_after_their_calls(workers: Iterable[Any]) -> None:
    """End processes that are not to be called again; those that serve a call, when it is over.

    ministack would end them at once when a function's code is updated. On AWS an invocation ends on
    the version that it began on.
    """
    idle = []
    for worker in workers:
        if worker._lock.acquire(blocking=False):
            worker._lock.release()
            idle.append(worker)
        else:
            threading.Thread(target=_end_after_its_call, args=[worker], daemon=True).start()
    _kill_workers(idle)


def _end_after_its_call(worker: Any) -> None:
    with worker._lock:
        _kill_workers([worker])


def _keep_renewing() -> None:
    """Start a process of new code before a call needs it: one for each function, those first that
    were called last."""
    while True:
        time.sleep(_LOOK_SECONDS)
        with lambda_runtime._lock:
            first = [workers[0] for workers in lambda_runtime._workers.values() if workers]
        for worker in sorted(first, key=lambda each: each.last_used, reverse=True):
            if isinstance(worker, SharingWorker):
                worker.renew()


def start_script(script: str) -> str:
    """Return the whole script that a process runs, from ministack's part of it."""
    for theirs, ours, times in (_CALLS, _ANSWERS):
        if script.count(theirs) != times:
            raise RuntimeError(f"this ministack's script has {theirs!r} not {times} times")
        script = script.replace(theirs, ours)
    begin = Path(worker_start.__file__).read_text(encoding="utf-8")
    return f"{begin}\n\n_from_ministack, _to_ministack = begin()\n{script}"


class SharingWorker(lambda_runtime.Worker):  # type: ignore[misc]
    """One process of a function, and the one after it, running the code that is in force."""

    folder: Path  # of all code

    def __init__(self, name: str, config: dict[str, Any], code_zip: bytes) -> None:
        super().__init__(name, config, code_zip)
        self._python = config.get("Runtime", "").startswith("python")
        self._digest = hashlib.sha256(code_zip).hexdigest()
        self._tree: Path | None = None
        self._proc: Any = None
        if self._python:
            function_code.unpack(self.folder, self._digest, code_zip)

    def invoke(self, *arguments: Any, **named: Any) -> Any:
        """Serve a call, by a new process if other code is in force than this one runs."""
        with self._lock:
            self._end_if_old()
        return super().invoke(*arguments, **named)

    def renew(self) -> None:
        """Replace the process if it runs old code, and no call."""
        if self._lock.acquire(blocking=False):
            try:
                if self._end_if_old():
                    self._spawn()
                    self._cold = False
            except Exception as error:  # noqa: BLE001  (the next call tries again, and is told)
                _log.warning("No process of new code for %s: %s", self.func_name, error)
                self._proc = None
            finally:
                self._lock.release()

    def _end_if_old(self) -> bool:
        """End a process that runs other code than is in force; whether there was one."""
        old = self._python and self._tree != function_code.in_force(self.folder, self._digest)
        if not old or self._proc is None:
            return False
        process, self._proc = self._proc, None
        process.terminate()
        threading.Thread(target=process.wait, daemon=True).start()
        return True

    def _spawn(self) -> None:
        if self._python:
            self._tree = function_code.in_force(self.folder, self._digest)
            # ministack unpacks it where the process starts.
            self.code_zip = function_code.naming(self._tree, worker_start.TREE_FILE)
        super()._spawn()
