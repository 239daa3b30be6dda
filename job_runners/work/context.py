"""Context variables with the id and the author of the request that caused the current work.

They are set while the API handles that request, and in each invocation of the jobs and tasks that
the request dispatched.
"""

from contextvars import ContextVar
from typing import NamedTuple

_MAX_NAME_LENGTH = 80  # characters; each write of a row is billed by the row's size


class Author(NamedTuple):
    """The caller of a request. `name` is the subject of its token, or the ARN of its signer."""

    role: str
    name: str
    organization_id: str | None = None

    @property
    def recorded(self) -> str:
        """Return the author as rows store it: the role and the name, without control characters.

        Of an ARN, only the part after the account is stored.
        """
        name = "".join(character for character in self.name if character.isprintable())
        if name.startswith("arn:"):
            name = name.split(":", 5)[-1]
        return f"{self.role}:{name[:_MAX_NAME_LENGTH]}"

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
    current_author = author.get()
    return current_author.recorded if current_author else None
