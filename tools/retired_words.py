"""Find words that the project no longer uses: `python -m tools.retired_words`."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from job_runners.places import CODE

LIST = Path(__file__).with_suffix(".txt")
_SUFFIXES = (".py", ".js", ".md")
# Notes about earlier versions stay as they were written, and the app has its own words.
_EXEMPT = ("CHANGELOG.md", "tests/released/", "app/")


class Word(NamedTuple):
    """A retired word, its replacement, and the paths where it stays."""

    word: str
    instead: str
    stays: tuple[str, ...]


def words(text: str) -> list[Word]:
    """Parse a list of words: one per line, with its parts separated by bars."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found = []
    for line in lines:
        word, instead, *stays = (part.strip() for part in line.split("|"))
        paths = stays[0].split(",") if stays else []
        found.append(Word(word, instead, tuple(path.strip() for path in paths)))
    return found


def found_in(path: str, text: str, retired: list[Word]) -> Iterator[str]:
    """Yield a message for each retired word in a file's text, with its place and replacement."""
    for word in retired:
        if path.startswith((*_EXEMPT, *word.stays)):
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            if re.search(rf"\b{re.escape(word.word)}\b", line):
                yield f"{path}:{number}: {word.word!r} is retired: say {word.instead}"


def main() -> int:
    """Print each place that has a retired word. Return 1 if there is one."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=CODE, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    paths = [path for path in listed if path.endswith(_SUFFIXES) and (CODE / path).is_file()]
    retired = words(LIST.read_text())
    places = [
        place for path in paths for place in found_in(path, (CODE / path).read_text(), retired)
    ]
    print("\n".join(places), end="\n" if places else "")
    return 1 if places else 0


if __name__ == "__main__":
    sys.exit(main())
