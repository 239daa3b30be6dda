"""Make ministack's function processes run shared code, which can't disturb their calls.

Calls and answers don't use standard input and output, because the code and its child processes do.
Only ministack's process uses this module. It replaces parts of ministack that have no hook. It
raises an error if these parts look different in another version of ministack.
"""

import contextlib
import hashlib
import logging
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ministack.core import lambda_runtime

from emulated_aws import function_code, worker_start
from emulated_aws.live_log import LiveLog, mark_written

_CHECK_SECONDS = 0.1  # seconds between two checks for new code
_log = logging.getLogger("lambda_runtime")
# A snippet of ministack's script, our replacement, and how often the snippet occurs.
_CALLS = ("sys.stdin.readline()", "_from_ministack.readline()", 2)
_ANSWERS = ("_real_stdout = sys.stdout", "_real_stdout = _to_ministack", 1)


def share_code(folder: Path) -> None:
    """Make each process of a Python function run a shared tree in `folder`."""
    lambda_runtime._PYTHON_WORKER_SCRIPT = start_script(lambda_runtime._PYTHON_WORKER_SCRIPT)
    SharingWorker.folder = folder
    lambda_runtime.Worker = SharingWorker
    lambda_runtime.kill_workers = _end_after_their_calls
    threading.Thread(target=_keep_renewing, daemon=True).start()


_kill_workers = lambda_runtime.kill_workers


def _end_after_their_calls(workers: Iterable[Any]) -> None:
    """End processes that will get no more calls. If one serves a call, it finishes the call first.

    When a function's code is updated, ministack would end all of its processes at once. On AWS, an
    invocation finishes on the version that it started on.
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
    """Start processes with new code before a call needs them, one for each function.

    The most recently called functions come first.
    """
    while True:
        time.sleep(_CHECK_SECONDS)
        with lambda_runtime._lock:
            first = [workers[0] for workers in lambda_runtime._workers.values() if workers]
        for worker in sorted(first, key=lambda each: each.last_used, reverse=True):
            if isinstance(worker, SharingWorker):
                worker.renew()


def start_script(script: str) -> str:
    """Return the whole script of a function's process. `script` is ministack's part of it."""
    for theirs, ours, times in (_CALLS, _ANSWERS):
        if script.count(theirs) != times:
            raise RuntimeError(f"ministack's script doesn't have {theirs!r} exactly {times} times")
        script = script.replace(theirs, ours)
    begin = Path(worker_start.__file__).read_text(encoding="utf-8")
    return f"{begin}\n\n_from_ministack, _to_ministack = begin()\n{script}"


class SharingWorker(lambda_runtime.Worker):  # type: ignore[misc]
    """A function's process. It is replaced by a new one when the active code changes."""

    folder: Path  # the folder of all code

    def __init__(self, name: str, config: dict[str, Any], code_zip: bytes) -> None:
        super().__init__(name, config, code_zip)
        self._python = config.get("Runtime", "").startswith("python")
        self._digest = hashlib.sha256(code_zip).hexdigest()
        self._tree: Path | None = None
        self._proc: Any = None
        if self._python:
            function_code.unpack(self.folder, self._digest, code_zip)

    def invoke(self, *arguments: Any, **named: Any) -> Any:
        """Serve a call, with a new process if this one does not run the active code."""
        with self._lock:
            self._end_if_old()
        answer = super().invoke(*arguments, **named)
        if self._python:
            mark_written(answer.get("log", ""))
        return answer

    def renew(self) -> None:
        """Replace the process if it runs old code and serves no call."""
        if self._lock.acquire(blocking=False):
            try:
                if self._end_if_old():
                    self._spawn()
                    self._cold = False
            except Exception as error:  # noqa: BLE001  (the next call tries again, and raises)
                _log.warning(
                    "Could not start a process with the new code for %s: %s", self.func_name, error
                )
                self._proc = None
            finally:
                self._lock.release()

    def _end_if_old(self) -> bool:
        """End the process if it runs old code. Return whether there was one to end."""
        old = self._python and self._tree != function_code.active_tree(self.folder, self._digest)
        if not old or self._proc is None:
            return False
        process, self._proc = self._proc, None
        process.terminate()
        threading.Thread(target=process.wait, daemon=True).start()
        return True

    def _read_stderr(self) -> None:
        """Log the lines of the process as it prints them. ministack runs this in a thread."""
        if not self._python:
            super()._read_stderr()
            return
        log, queue = LiveLog(self.config), self._stderr_queue
        with contextlib.suppress(Exception):  # as ministack does: the pipe may be closed
            for line in self._proc.stderr:
                # Keep reading after an error, or the process blocks on a full pipe.
                with contextlib.suppress(Exception):
                    log.write(line.rstrip("\n"))
                queue.put(line.rstrip("\n"))

    def _spawn(self) -> None:
        if self._python:
            self._tree = function_code.active_tree(self.folder, self._digest)
            # ministack unpacks this zip in the folder where the process starts.
            self.code_zip = function_code.zip_with_path(self._tree, worker_start.TREE_FILE)
        super()._spawn()
