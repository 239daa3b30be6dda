"""Which request the work at hand comes from, from the HTTP call to the last attempt, and who made
it."""

from contextvars import ContextVar
from typing import NamedTuple

_KEPT = 80  # characters of a name in a row, which is billed on every write


class Author(NamedTuple):
    """Who asked for what is done. `name` is the subject of a token, or the ARN that signed."""

    role: str
    name: str
    organization_id: str | None = None

    @property
    def recorded(self) -> str:
        """Return what a row keeps: the role and the name, without characters that would steer a
        terminal; of an ARN only what comes after the account."""
        name = "".join(each for each in self.name if each.isprintable())
        if name.startswith("arn:"):
            name = name.split(":", 5)[-1]
        return f"{self.role}:{name[:_KEPT]}"

    @staticmethod
    def of_record(recorded: str | None) -> "Author | None":
        """Return the author that a row names, as far as it does."""
        if recorded is None:
            return None
        role, _, name = recorded.partition(":")
        return Author(role, name)


request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
author: ContextVar[Author | None] = ContextVar("author", default=None)


def recorded_author() -> str | None:
    """Return what a row keeps of who asked for this; None if nobody is known to have."""
    known = author.get()
    return known.recorded if known else None
