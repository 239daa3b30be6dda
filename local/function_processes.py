"""How ministack starts the processes of functions: from shared code, with a channel of their own.

Used in ministack's process alone. It replaces parts of ministack that have no other way in, and
refuses a version whose parts look different.
"""

import hashlib
import threading
from pathlib import Path
from typing import Any

from ministack.core import lambda_runtime

from local import function_code, worker_start

_CALLS = ("sys.stdin.readline()", "_from_ministack.readline()", 2)  # how often it is there
_ANSWERS = ("_real_stdout = sys.stdout", "_real_stdout = _to_ministack", 1)


def share_code(folder: Path) -> None:
    """Have each process of a Python function run a tree that `folder` holds once for all."""
    lambda_runtime._PYTHON_WORKER_SCRIPT = start_script(lambda_runtime._PYTHON_WORKER_SCRIPT)
    lambda_runtime.Worker = _worker_class(folder)


def start_script(script: str) -> str:
    """Return the whole script that a process runs, from ministack's part of it."""
    for theirs, ours, times in (_CALLS, _ANSWERS):
        if script.count(theirs) != times:
            raise RuntimeError(f"this ministack's script has {theirs!r} not {times} times")
        script = script.replace(theirs, ours)
    begin = Path(worker_start.__file__).read_text(encoding="utf-8")
    return f"{begin}\n\n_from_ministack, _to_ministack = begin()\n{script}"


def _worker_class(folder: Path) -> type:
    """Return ministack's class of a process, changed to run the code in force in `folder`."""

    class SharingWorker(lambda_runtime.Worker):  # type: ignore[misc]
        """One process of a function, and the one after it."""

        def __init__(self, name: str, config: dict[str, Any], code_zip: bytes) -> None:
            super().__init__(name, config, code_zip)
            self._python = config.get("Runtime", "").startswith("python")
            self._digest = hashlib.sha256(code_zip).hexdigest()
            self._tree: Path | None = None
            self._proc: Any = None
            if self._python:
                function_code.unpack(folder, self._digest, code_zip)

        def invoke(self, *arguments: Any, **named: Any) -> Any:
            """Serve a call, by a new process if other code is in force than this one runs."""
            if self._python and self._tree != function_code.in_force(folder, self._digest):
                self._end_process()
            return super().invoke(*arguments, **named)

        def _end_process(self) -> None:
            with self._lock:
                process, self._proc = self._proc, None
            if process is not None:
                process.terminate()
                threading.Thread(target=process.wait, daemon=True).start()

        def _spawn(self) -> None:
            if self._python:
                self._tree = function_code.in_force(folder, self._digest)
                # ministack unpacks it where the process starts.
                self.code_zip = function_code.naming(self._tree, worker_start.TREE_FILE)
            super()._spawn()

    return SharingWorker
