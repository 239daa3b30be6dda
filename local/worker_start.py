"""How the process of a function begins, before ministack's own script goes on in it.

This file's text is put before that script: here is no import of ours. The process starts in a
folder of its own, with a file that names the tree of code to run.
"""

import os
import sys
from pathlib import Path
from typing import IO

TREE_FILE = ".tree"


def begin() -> tuple[IO[str], IO[str]]:
    """Take ministack's channel out of reach, and link the code into the current folder.

    Return where calls come from, and where their answers go. The channel is standard input and
    output. Left there, what the function or a program that it starts prints could break an answer
    or be taken for one, and a program that reads its standard input would take the next call away.
    """
    nothing = os.open(os.devnull, os.O_RDONLY)
    calls = _take_over(0, "r", nothing)
    os.close(nothing)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)  # the old one may have read ahead
    answers = _take_over(1, "w", 2)  # what is printed is logged, as on AWS
    _link_code()
    return calls, answers


def _take_over(descriptor: int, mode: str, instead: int) -> IO[str]:
    """Return a file of what the descriptor is, which no program that is started inherits, and put
    another descriptor in its place."""
    taken = os.fdopen(os.dup(descriptor), mode, encoding="utf-8")
    os.dup2(instead, descriptor)
    return taken


def _link_code() -> None:
    """Fill the current folder with links to what the tree holds.

    What the function writes beside its code stays in this folder. (AWS would refuse it.)
    """
    named = Path(TREE_FILE)
    tree = Path(named.read_text(encoding="utf-8"))
    named.unlink()
    for entry in tree.iterdir():
        Path(entry.name).symlink_to(entry)
