"""Choose the tests for each mutation, and their order."""

import json
from collections import Counter
from pathlib import Path

from tools.mutants.collected import Executed
from tools.mutants.mutation import Mutation

_ANYWHERE = ""


class Noticing:
    """The lines that each test executes, and the mutations that each has noticed.

    `also` maps a file of the engine to prefixes of test names. These tests execute the file in
    another process, where lines aren't recorded. `last` has the test that noticed each mutation in
    the last run.
    """

    def __init__(self, also: dict[str, list[str]], last: dict[str, str] | None = None) -> None:
        self.tests: dict[str, Executed] = {}
        self.last = last or {}
        self._also = {file: tuple(names) for file, names in also.items()}
        # number of mutations that a test noticed, by place and test
        self._noticed: Counter[tuple[str, str]] = Counter()

    def tests_for(self, mutation: Mutation) -> dict[str, float]:
        """Return the tests that execute the changed lines, with their seconds, in order.

        The first is the one that noticed the mutation in the last run. Tests that noticed another
        mutation of the function, or of the file, come next. Then come tests that are fast or have
        noticed many others.
        """
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
    """Return the tests that noticed mutations in the last run, if that was saved."""
    try:
        last: dict[str, str] = json.loads(file.read_text())
    except (OSError, ValueError):  # without the file, the run only takes longer
        return {}
    return last


def write_last(file: Path, last: dict[str, str]) -> None:
    """Save which test noticed each mutation."""
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(last, indent=0))
