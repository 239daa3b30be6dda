"""Kills the processes that the local AWS runs our worker in, as Lambda may at any time."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from emulated_aws.emulator import PROCESS_FILE
from local_stack import Deployed


def old(pid: int) -> bool:
    """Whether a process is past its start: the local AWS, not Lambda, starts the next ones without
    their code if one dies before."""
    try:
        return time.time() - Path(f"/proc/{pid}").stat().st_mtime > 1.5
    except OSError:
        return False


@contextmanager
def killer(
    deployed: Deployed,
    chance: random.Random,
    at_most: int,
    *,
    gap: tuple[float, float] = (0.1, 1.5),
    may_kill: Callable[[int], bool] = old,
) -> Iterator[list[int]]:
    """Kill worker processes at random while the block runs; gives the pids. `gap` is the shortest
    and the longest time between two, in seconds. `may_kill` says which processes may be killed.
    """
    killed: list[int] = []
    done = threading.Event()

    def kill() -> None:
        while len(killed) < at_most and not done.wait(chance.uniform(*gap)):
            left = [pid for pid in workers(deployed.tree) if pid not in killed]
            if alive := [pid for pid in left if may_kill(pid)]:
                killed.append(chance.choice(alive))
                os.kill(killed[-1], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        done.set()
        thread.join()


def workers(tree: Path) -> list[int]:
    """Return the processes that the local AWS runs our worker in: its own children, by their
    variables."""
    parent = (tree.parent.parent / PROCESS_FILE).read_text()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_child = process.joinpath("stat").read_text().rsplit(")", 1)[1].split()[1] == parent
            variables = process.joinpath("environ").read_bytes().split(b"\0")
            name = next(each for each in variables if each.startswith(b"AWS_LAMBDA_FUNCTION_NAME"))
            if is_child and b"WorkerFunction" in name:
                found.append(int(process.name))
        except (OSError, StopIteration):
            continue  # ended meanwhile, or no function of ours
    return found
