"""The figures of docs/operate/scale.md."""

import re
from functools import cache

from job_runners.places import ROOT


@cache
def scale_page() -> str:
    """Return the page."""
    return (ROOT / "docs/operate/scale.md").read_text()


def cells(start: str) -> list[str]:
    """Return the cells of the only table row that starts with this text, without the first."""
    (row,) = (each for each in scale_page().splitlines() if each.startswith(f"| {start}"))
    return [each.strip() for each in row.strip("|").split("|")[1:]]


def more_units(start: str, *, waits: bool = False) -> int:
    """Return how many more write units a job of this kind costs."""
    numbers = re.findall(r"\d+", cells(start)[0])
    return int(numbers[waits])
