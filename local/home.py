"""The folder .local: there only while a local AWS is up, and of one run at a time."""

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from local.build import ROOT
from local.emulator import stop_group
from local.problem import LocalProblem

HOME = ROOT / ".local"
STACK_FILE = HOME / "stack.json"


@contextlib.contextmanager
def only_run() -> Iterator[Path]:
    """Be the one run of this checkout; yields its empty folder, which is gone at the end.

    What a run that was killed outright left behind is stopped and removed first. Raises
    LocalProblem while another run is up.
    """
    # A lock on a folder that exists anyway: the system drops it however this process ends.
    folder = os.open(ROOT / "local", os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalProblem(_already_up()) from None
        _remove_leftovers()
        HOME.mkdir()
        try:
            yield HOME
        finally:
            shutil.rmtree(HOME, ignore_errors=True)
    finally:
        os.close(folder)


def _already_up() -> str:
    where = ""
    with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
        where = f" at {json.loads(STACK_FILE.read_text())['api_url']}"
    return (
        f"A local AWS of this checkout is already up{where}. "
        "Use that one, or stop it with Ctrl-C where it runs."
    )


def _remove_leftovers() -> None:
    process_file = HOME / "emulator.pid"
    with contextlib.suppress(FileNotFoundError, ValueError):
        leader = int(process_file.read_text())
        if _is_ours(leader):
            stop_group(leader)
    shutil.rmtree(HOME, ignore_errors=True)


def _is_ours(process: int) -> bool:
    """Whether a process is this checkout's ministack, and not another that got its number."""
    shown = subprocess.run(
        ["ps", "-o", "command=", "-p", str(process)], capture_output=True, text=True, check=False
    )
    return str(ROOT / ".venv-aws") in shown.stdout
