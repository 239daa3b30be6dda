"""The sentences of a Markdown page, and how many words each has."""

import re
from collections.abc import Iterator

_FENCE = re.compile(r"^ *(```|~~~)")
_ROW = re.compile(r"^\s*\|")
_PROMISES = re.compile(r"promise|guarantee", re.IGNORECASE)  # in the header of a table
# A sentence ends before a capital, a digit, a quote, code or a bracket.
_END = re.compile(r"(?<=[.!?])[\"')\]*_]*\s+(?=[\"'(\[`*_]*[A-Z0-9`])")


def sentences(page: str) -> Iterator[str]:
    """Yield the sentences of a page: of its paragraphs, list items and cells.

    Code blocks and headings have none. Tables that list promises are left out: there each cell has
    to name every condition.
    """
    for block in _blocks(page):
        yield from (each for each in _END.split(block) if each.strip())


def words(sentence: str) -> int:
    """Return the number of words of a sentence. A piece of code counts as one."""
    plain = re.sub(r"`[^`]*`", "code", sentence)
    plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", plain)
    return len(re.findall(r"[\w'’]+(?:[-/.,:][\w'’]+)*", plain))


def _blocks(page: str) -> Iterator[str]:
    lines: list[str] = []
    in_code = promises = False
    header: str | None = None
    for line in [*page.splitlines(), ""]:
        if _FENCE.match(line):
            in_code = not in_code
            line = ""
        elif in_code:
            continue
        if _ROW.match(line):
            if header is None:
                header, promises = line, bool(_PROMISES.search(line))
            elif not promises and not set(line) <= set("|-: "):
                yield from (cell.strip() for cell in re.split(r"(?<!\\)\|", line) if cell.strip())
            line = ""
        else:
            header = None
        starts_block = not line.strip() or re.match(r"\s*([-*+]|\d+\.)\s|#|<", line)
        if starts_block and lines:
            yield " ".join(lines)
            lines = []
        if line.strip() and not line.startswith(("#", "<")):
            lines.append(re.sub(r"^\s*([-*+]|\d+\.)\s+", "", line).strip())
