"""Hide values that the caller may not see: authors, and values from payloads."""

from job_runners.api import access
from job_runners.api.json_schema import TEXT, Schema, nullable
from job_runners.work import context

AUTHOR: Schema = {
    **nullable(TEXT),
    "description": "Role and name, such as `operator:user-1`. Only services see names of services",
}


def visible_author(recorded: str | None) -> str | None:
    """Return a recorded author, such as `operator:user-1`, as the caller may see it. Only services
    see the name of a service, which may be a person or a program of the stack's owner."""
    parsed = context.Author.of_record(recorded)
    if parsed is None or access.current_caller.get().is_service:
        return recorded
    return "service" if parsed.role == "service" else recorded


def visible_payload_value(value: str | None) -> str | None:
    """Return a value that may come from a payload, or None for a caller who sees no payloads."""
    return value if access.current_caller.get().sees_payloads else None


def visible_code(value: str | None) -> str | None:
    """Return a value that reveals the code, or None if the caller may not see it."""
    return value if access.current_caller.get().sees_tracebacks else None
