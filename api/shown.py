"""What several views show alike: who did it, and when."""

import clock
from api import access
from api.json_schema import TEXT, Schema, nullable
from work import context

AUTHOR: Schema = {
    **nullable(TEXT),
    "description": "Role and name, as `operator:user-1`. Only services see which service it was",
}


def author(recorded: str | None) -> str | None:
    """Return who did it. Which program or person of ours a service is, is not for its
    organisation."""
    found = context.Author.of_record(recorded)
    if found is None or access.asking.get().is_service:
        return recorded
    return found.role if found.role == "service" else recorded


def time_of(milliseconds: int | None) -> str | None:
    """Return a time as the API writes it."""
    return None if milliseconds is None else clock.iso(milliseconds)
