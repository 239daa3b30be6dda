"""The folder .local: there only while a local AWS is up, and of one run at a time."""

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from job_runners.cli.local_aws import HOME, STACK_FILE
from local.emulator import PROCESS_FILE, stop_group
from local.problem import LocalProblem
from tools.build import ROOT


@contextlib.contextmanager
def only_run(home: Path = HOME) -> Iterator[Path]:
    """Be the one run in `home`; yields that folder, empty, which is gone at the end.

    What a run that was killed outright left behind is stopped and removed first. Raises
    LocalProblem while another run is up.
    """
    # A lock on a folder that exists anyway: the system drops it however this process ends.
    folder = os.open(home.parent, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalProblem(_already_up(home)) from None
        _remove_leftovers(home)
        home.mkdir(mode=0o700)  # it holds the credentials of the run
        try:
            yield home
        finally:
            # First what says that it is up: the copies of the functions' code take a while.
            (home / STACK_FILE).unlink(missing_ok=True)
            shutil.rmtree(home, ignore_errors=True)
    finally:
        os.close(folder)


def _already_up(home: Path) -> str:
    try:
        url = json.loads((home / STACK_FILE).read_text())["api_url"]
    except (FileNotFoundError, json.JSONDecodeError):
        return "A local AWS of this checkout is just starting, or stopping. Try again in a moment."
    return (
        f"A local AWS of this checkout is already up at {url}. "
        "Use that one, or stop it with Ctrl-C where it runs."
    )


def _remove_leftovers(home: Path) -> None:
    with contextlib.suppress(FileNotFoundError, ValueError):
        leader = int((home / PROCESS_FILE).read_text())
        if _is_ours(leader):
            stop_group(leader)
    shutil.rmtree(home, ignore_errors=True)


def _is_ours(process: int) -> bool:
    """Whether a process is this checkout's ministack, and not another that got its number."""
    shown = subprocess.run(
        ["ps", "-o", "command=", "-p", str(process)], capture_output=True, text=True, check=False
    )
    return str(ROOT / ".venv-aws") in shown.stdout
