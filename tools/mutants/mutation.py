"""A change to one file of the engine, as data."""

import ast
from dataclasses import dataclass
from pathlib import Path

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class DoesNotApply(Exception):
    """A list no longer fits the code, for example because a listed text doesn't occur once."""


@dataclass(frozen=True)
class Mutation:
    """One change to the source of a file.

    `what` describes it in one line. The mutation's name consists of the file, the function and
    `what`. It has no line number, because line numbers change too often.
    """

    file: str
    function: str
    what: str
    source: str  # the source of the whole file, with the change
    lines: tuple[int, int]  # first and last changed line, in the original

    @property
    def name(self) -> str:
        """The unique name of this mutation."""
        return f"{self.file} {self.function}: {self.what}"

    @property
    def place(self) -> str:
        """The file and line of this mutation."""
        return f"{self.file}:{self.lines[0]}"


def replace_text(
    root: Path, file: str, *, find: str, replace: str, function: str, what: str
) -> Mutation:
    """Return the mutation that replaces one text with another. Raises DoesNotApply."""
    path = root / file
    if not path.is_file():
        raise DoesNotApply(f"{file} doesn't exist, for: {what}")
    source = path.read_text()
    count = source.count(find)
    if count != 1:
        raise DoesNotApply(
            f"{file} has this text {count} times instead of once: {find!r}, for: {what}"
        )
    first = source[: source.index(find)].count("\n") + 1
    lines = (first, first + find.rstrip("\n").count("\n"))
    functions = (node for node in ast.walk(ast.parse(source)) if isinstance(node, _FUNCTIONS))
    if not any(node.lineno <= first <= (node.end_lineno or 0) for node in functions):
        raise DoesNotApply(f"{file} has this text outside a function: {find!r}, for: {what}")
    return Mutation(file, function, what, source.replace(find, replace), lines)
