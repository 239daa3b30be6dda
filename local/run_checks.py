"""What a local run counted beside what it had to count."""

from typing import NamedTuple


class Check(NamedTuple):
    """One number, or several in one text."""

    what: str
    counted: int | str | None
    expected: int | str

    @property
    def right(self) -> bool:
        """Whether it is as it had to be."""
        return self.counted == self.expected

    def __str__(self) -> str:
        return f"{self.what}: {self.counted}, expected {self.expected}"
