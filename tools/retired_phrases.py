"""Keep stilted English from coming back: `python -m tools.retired_phrases`, part of `make lint`.

retired_phrases.toml lists the phrases, and how many of them each directory still has. A directory
may not have more. If it has fewer, lower its number with `--lower`, so that the numbers only fall.
If you move files, move their numbers by hand, and leave the total as it is.
"""

import argparse
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from job_runners.places import CODE

LIST = Path(__file__).with_suffix(".toml")
_SUFFIXES = (".html", ".js", ".md", ".py", ".sh", ".tla", ".toml", ".yaml", ".yml")
_EXEMPT = (
    "app/",  # the app has its own words
    "docs/contributing/style.md",  # names the phrases
    "tests/docs/test_retired_phrases.py",
    "tests/released/",  # stored by earlier versions
    "tools/retired_phrases.toml",
    "tools/retired_words.txt",
)
_COUNTS = "[counts]\n"


class Place(NamedTuple):
    """A line with a retired phrase, and what to write instead."""

    path: str
    line: int
    phrase: str
    instead: str

    @property
    def directory(self) -> str:
        """Return the directory of the file, "." for the root."""
        return str(PurePosixPath(self.path).parent)

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.phrase!r}: write {self.instead}"


def places(path: str, text: str, phrases: dict[str, str]) -> Iterator[Place]:
    """Yield each retired phrase in a text. `phrases` maps patterns to what to write instead."""
    if path.startswith(_EXEMPT):
        return
    if path == "CHANGELOG.md":
        text = _unreleased(text)
    for number, line in enumerate(text.splitlines(), start=1):
        for pattern, instead in phrases.items():
            for found in re.finditer(pattern, line, re.IGNORECASE):
                yield Place(path, number, found[0], instead)


def _unreleased(changelog: str) -> str:
    """Return the part of a changelog about the next version."""
    released = re.search(r"^## \d", changelog, re.MULTILINE)
    return changelog[: released.start()] if released else changelog


def complaints(found: list[Place], allowed: dict[str, int], total: int) -> Iterator[str]:
    """Yield a message for each directory with too many phrases and each outdated number."""
    by_directory = Counter(place.directory for place in found)
    for directory in sorted(by_directory.keys() | allowed.keys()):
        count, limit = by_directory[directory], allowed.get(directory, 0)
        if count > limit:
            yield from (str(place) for place in found if place.directory == directory)
            text = f"{count} retired phrases, {limit} are allowed. Rewrite the new ones."
            yield f"{directory}: {text}"
        elif count < limit:
            yield f"{directory}: {count} retired phrases left of {limit}. Lower the number: --lower"
    if sum(allowed.values()) > total:
        yield f"The numbers add up to more than the total, {total}. They may only fall."


def lowered(settings: str, found: list[Place]) -> str:
    """Return the settings with each number lowered to the current one, and with the new total."""
    allowed: dict[str, int] = tomllib.loads(settings)["counts"]
    by_directory = Counter(place.directory for place in found)
    counts = {name: min(limit, by_directory[name]) for name, limit in sorted(allowed.items())}
    lines = [f'"{name}" = {count}\n' for name, count in counts.items() if count]
    head = settings[: settings.index(_COUNTS)]
    head = re.sub(r"^total = \d+", f"total = {sum(counts.values())}", head, flags=re.MULTILINE)
    return head + _COUNTS + "".join(lines)


def main() -> int:
    """Print the problems. Return 1 if there are any."""
    parser = argparse.ArgumentParser(prog="python -m tools.retired_phrases", description=__doc__)
    parser.add_argument(
        "--lower", action="store_true", help="lower the numbers to the current ones"
    )
    options = parser.parse_args()
    settings = tomllib.loads(LIST.read_text())
    found = [
        place
        for path in _tracked()
        for place in places(path, (CODE / path).read_text(), settings["phrases"])
    ]
    if options.lower:
        LIST.write_text(lowered(LIST.read_text(), found))
        settings = tomllib.loads(LIST.read_text())
    messages = list(complaints(found, settings["counts"], settings["total"]))
    print("\n".join(messages), end="\n" if messages else "")
    return 1 if messages else 0


def _tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=CODE, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return [path for path in listed if path.endswith(_SUFFIXES) and (CODE / path).is_file()]


if __name__ == "__main__":
    sys.exit(main())
