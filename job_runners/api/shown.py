"""What several views share: authors, and values that not every caller sees."""

from job_runners.api import access
from job_runners.api.json_schema import TEXT, Schema, nullable
from job_runners.work import context

AUTHOR: Schema = {
    **nullable(TEXT),
    "description": "Role and name, such as `operator:user-1`. Only services see names of services",
}


def author(recorded: str | None) -> str | None:
    """Return an author as the caller may see it. Only services see the name of a service, which may
    be a person or a program of the stack's owner."""
    found = context.Author.of_record(recorded)
    if found is None or access.current_caller.get().is_service:
        return recorded
    return found.role if found.role == "service" else recorded


def if_payloads_are_seen(value: str | None) -> str | None:
    """Return a value that may come from a payload, or None for a caller who sees no payloads."""
    return value if access.current_caller.get().sees_payloads else None
