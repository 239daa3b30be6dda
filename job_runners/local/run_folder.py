"""Manage the folder .local, which exists only while a local AWS runs. Only one run can use it."""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from job_runners.cli.local_aws import HOME, STACK_FILE
from job_runners.cli.stack import Stack
from job_runners.local import env_file
from job_runners.local.problem import LocalProblem

KEPT_FOLDER = HOME.with_name(f"{HOME.name}.kept")  # for `job-runners run --keep`
KEPT_STATE = "state.jsonl"  # a file in this folder, whose first line has the port


def kept_port() -> int:
    """Return the port of the run that kept data, or 0. Links in the data have this port."""
    try:
        with (KEPT_FOLDER / KEPT_STATE).open(encoding="utf-8") as file:
            return int(json.loads(file.readline())["port"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


@contextlib.contextmanager
def exclusive_folder(home: Path = HOME) -> Iterator[Path]:
    """Yield `home` as an empty folder that only this run uses, and remove it at the end.

    If an earlier run was killed, remove its files first. Raises LocalProblem if another run is up.
    """
    # Lock the parent folder, which always exists. The system releases the lock when this process
    # ends, even if it is killed.
    folder = os.open(home.parent, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalProblem(_already_up_message(home)) from None
        if home.exists():
            shutil.rmtree(home)
        home.mkdir(mode=0o700)  # it contains the credentials of the run
        try:
            yield home
        finally:
            # If a program still adds files, the next run removes them.
            shutil.rmtree(home, ignore_errors=True)
    finally:
        os.close(folder)


@contextlib.contextmanager
def announce(stack: Stack, home: Path) -> Iterator[None]:
    """Write the stack's address and credentials to `home` during the with statement."""
    try:
        stack.save(home / STACK_FILE)
        env_file.save(stack, home)
        yield
    finally:
        for name in (STACK_FILE, *env_file.NAMES):
            (home / name).unlink(missing_ok=True)


def _already_up_message(home: Path) -> str:
    try:
        url = json.loads((home / STACK_FILE).read_text())["api_url"]
    except (FileNotFoundError, json.JSONDecodeError):
        return f"The local AWS of {home.parent} is starting, or stopping. Try again in a moment."
    return (
        f"The local AWS of {home.parent} is already up at {url}. "
        "Use that one, or stop it with Ctrl-C in its terminal."
    )
