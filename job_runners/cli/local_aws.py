"""The local AWS that `make run` starts, as those who use it know it."""

from pathlib import Path

from job_runners.cli.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".local"  # there only while it is up
STACK_FILE = "stack.json"  # in that folder
OUTDATED_FILE = "outdated.txt"  # there too: what is saved and not in force, on one line

REGION = "us-east-1"


def find() -> Stack | None:
    """Its stack, while it is up."""
    try:
        return Stack.load(HOME / STACK_FILE)
    except FileNotFoundError:
        return None


def outdated() -> str | None:
    """Return what is saved and not in force there, on one line."""
    try:
        return (HOME / OUTDATED_FILE).read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None
