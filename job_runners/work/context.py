"""The id and the author of the request that caused the current work, from the HTTP call to the last
attempt."""

from contextvars import ContextVar
from typing import NamedTuple

_LONGEST_NAME = 80  # characters; the row has the name, and is billed by its size on every write


class Author(NamedTuple):
    """The caller of a request. `name` is the token's subject, or the ARN of the signer."""

    role: str
    name: str
    organization_id: str | None = None

    @property
    def recorded(self) -> str:
        """Return the author as rows store it: the role and the name, without control characters.
        If the name is an ARN, only its part after the account is stored."""
        name = "".join(each for each in self.name if each.isprintable())
        if name.startswith("arn:"):
            name = name.split(":", 5)[-1]
        return f"{self.role}:{name[:_LONGEST_NAME]}"

    @staticmethod
    def of_record(recorded: str | None) -> "Author | None":
        """Return the author that a row stores, or None."""
        if recorded is None:
            return None
        role, _, name = recorded.partition(":")
        return Author(role, name)


request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
author: ContextVar[Author | None] = ContextVar("author", default=None)


def recorded_author() -> str | None:
    """Return the current author as rows store it, or None if there is none."""
    known = author.get()
    return known.recorded if known else None
