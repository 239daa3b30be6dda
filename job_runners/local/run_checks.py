"""Compare the counts of a local run with the expected ones."""

from typing import NamedTuple


class Check(NamedTuple):
    """A count, or several counts in one text, with the expected value."""

    what: str
    counted: int | str | None
    expected: int | str

    @property
    def right(self) -> bool:
        """Whether the count is the expected one."""
        return self.counted == self.expected

    def __str__(self) -> str:
        return f"{self.what}: {self.counted}, expected {self.expected}"
