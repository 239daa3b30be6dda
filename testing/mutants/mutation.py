"""A change to one file of the engine, as data."""

from dataclasses import dataclass
from pathlib import Path


class DoesNotApply(Exception):
    """A listed change whose text is not in its file exactly once: the code was changed, or the
    list is wrong."""


@dataclass(frozen=True)
class Mutation:
    """`what` says in one line what is different. It names the mutation, with its file and function:
    line numbers move too often."""

    file: str
    function: str
    what: str
    source: str  # of the whole file, changed
    lines: tuple[int, int]  # first and last one of what was changed, as they are in the original

    @property
    def name(self) -> str:
        """The one name of this mutation."""
        return f"{self.file} {self.function}: {self.what}"

    @property
    def place(self) -> str:
        """Where to look."""
        return f"{self.file}:{self.lines[0]}"


def replaced(
    root: Path, file: str, *, find: str, replace: str, function: str, what: str
) -> Mutation:
    """Return the mutation that puts one text in the place of another. Raises DoesNotApply."""
    path = root / file
    if not path.is_file():
        raise DoesNotApply(f"{file} is not there, for: {what}")
    source = path.read_text()
    count = source.count(find)
    if count != 1:
        raise DoesNotApply(f"{file} has {count} times, not once: {find!r}, for: {what}")
    first = source[: source.index(find)].count("\n") + 1
    lines = (first, first + find.rstrip("\n").count("\n"))
    return Mutation(file, function, what, source.replace(find, replace), lines)
