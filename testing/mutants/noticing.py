"""Which tests a mutation is shown to, and in which order."""

from collections import Counter

from testing.mutants.collected import Executed
from testing.mutants.mutation import Mutation

_ANYWHERE = ""


class Noticing:
    """What each test executes, and which have noticed what so far.

    `also` names, by file of the engine, how the names of tests begin that come by in another
    process, where nobody sees which lines they execute.
    """

    def __init__(self, also: dict[str, list[str]]) -> None:
        self.tests: dict[str, Executed] = {}
        self._also = {file: tuple(names) for file, names in also.items()}
        self._noticed: Counter[tuple[str, str]] = Counter()  # by place and test

    def coming_by(self, mutation: Mutation) -> dict[str, float]:
        """Return the tests that come by the changed lines, with the seconds each takes: first those
        that noticed another change of the function, or of the file; then those that are likely to
        notice soon, for they are quick or have noticed much elsewhere."""
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
                -self._noticed[function, name],
                -self._noticed[file, name],
                self.tests[name]["seconds"] / (1 + self._noticed[_ANYWHERE, name]),
            )
        )
        return {name: self.tests[name]["seconds"] for name in found}

    def remember(self, mutation: Mutation, test: str) -> None:
        """Remember that the test has noticed the mutation."""
        for place in _places(mutation):
            self._noticed[place, test] += 1


def _places(mutation: Mutation) -> tuple[str, str, str]:
    return f"{mutation.file} {mutation.function}", mutation.file, _ANYWHERE
