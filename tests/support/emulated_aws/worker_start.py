"""Run first in a Lambda function's process, ahead of ministack's own script.

The text of this file is put in front of that script, so it can't import our modules. The process
starts in a folder of its own, with a file that contains the path of the tree of code to run.
"""

import os
import sys
from pathlib import Path
from typing import IO

TREE_FILE = ".tree"


def begin() -> tuple[IO[str], IO[str]]:
    """Move ministack's channel to other files, and link the code into the current folder.

    Return the file of incoming calls and the file for their answers. The channel was standard input
    and output, which the function and its child processes use too. Their output could break an
    answer or look like one. If a child process read its input, it would take the next call.
    """
    devnull = os.open(os.devnull, os.O_RDONLY)
    calls = _take_over(0, "r", devnull)
    os.close(devnull)
    # Replace sys.stdin, because the old file may have buffered input.
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    answers = _take_over(1, "w", 2)  # printed text goes to the log, as on AWS
    _link_code()
    return calls, answers


def _take_over(descriptor: int, mode: str, instead: int) -> IO[str]:
    """Return a file for the descriptor's stream, which child processes don't inherit.

    The descriptor itself becomes a copy of `instead`.
    """
    taken = os.fdopen(os.dup(descriptor), mode, encoding="utf-8")
    os.dup2(instead, descriptor)
    return taken


def _link_code() -> None:
    """Fill the current folder with links to the files of the tree.

    Files that the function writes next to its code stay in this folder. (AWS would refuse to write
    them.)
    """
    tree_file = Path(TREE_FILE)
    tree = Path(tree_file.read_text(encoding="utf-8"))
    tree_file.unlink()
    for entry in tree.iterdir():
        Path(entry.name).symlink_to(entry)
