"""Which tests a mutation is shown to, and in which order."""

import json
from collections import Counter
from pathlib import Path

from testing.mutants.collected import Executed
from testing.mutants.mutation import Mutation

_ANYWHERE = ""


class Noticing:
    """What each test executes, and which have noticed what so far.

    `also` names, by file of the engine, how the names of tests begin that come by in another
    process, where nobody sees which lines they execute. `last` says by which test each mutation, by
    its name, was noticed the last time.
    """

    def __init__(self, also: dict[str, list[str]], last: dict[str, str] | None = None) -> None:
        self.tests: dict[str, Executed] = {}
        self.last = last or {}
        self._also = {file: tuple(names) for file, names in also.items()}
        self._noticed: Counter[tuple[str, str]] = Counter()  # by place and test

    def coming_by(self, mutation: Mutation) -> dict[str, float]:
        """Return the tests that come by the changed lines, with the seconds each takes: first the
        one that noticed it the last time; then those that noticed another change of the function,
        or of the file; then those that are likely to notice soon, for they are quick or have
        noticed much elsewhere."""
        first, last = mutation.lines
        changed = set(range(first, last + 1))
        also = self._also.get(mutation.file, ())
        found = [
            name
            for name, executed in self.tests.items()
            if changed & set(executed["lines"].get(mutation.file, ())) or name.startswith(also)
        ]
        function, file, _ = _places(mutation)
        found.sort(
            key=lambda name: (
                name != self.last.get(mutation.name),
                -self._noticed[function, name],
                -self._noticed[file, name],
                self.tests[name]["seconds"] / (1 + self._noticed[_ANYWHERE, name]),
            )
        )
        return {name: self.tests[name]["seconds"] for name in found}

    def remember(self, mutation: Mutation, test: str) -> None:
        """Remember that the test has noticed the mutation."""
        self.last[mutation.name] = test
        for place in _places(mutation):
            self._noticed[place, test] += 1


def _places(mutation: Mutation) -> tuple[str, str, str]:
    return f"{mutation.file} {mutation.function}", mutation.file, _ANYWHERE


def read_last(file: Path) -> dict[str, str]:
    """Return who noticed what the last time, if that was written down."""
    try:
        last: dict[str, str] = json.loads(file.read_text())
    except (OSError, ValueError):  # it saves time, and is made again
        return {}
    return last


def write_last(file: Path, last: dict[str, str]) -> None:
    """Write down who noticed what."""
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(last, indent=0))
