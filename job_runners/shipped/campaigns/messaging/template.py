"""Templates for texts: `Hi {first_name}` becomes `Hi Ann`. Braces have no other use."""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from job_runners.shipped.campaigns.messaging.sms import LONGEST

FIELDS = ("first_name", "last_name", "zip", "external_id")

_FIELD = re.compile(r"\{([^{}]*)\}")
_KNOWN = ", ".join(f"{{{name}}}" for name in FIELDS)


def _check_fields(template: str) -> str:
    unknown = next((name for name in _FIELD.findall(template) if name not in FIELDS), None)
    if unknown is not None:
        raise ValueError(f"{{{unknown[:50]}}} isn't a field of a contact; use {_KNOWN}")
    rest = _FIELD.sub("", template)
    if "{" in rest or "}" in rest:
        raise ValueError(f"has a single brace; use braces only for fields: {_KNOWN}")
    if not rest.strip():
        raise ValueError("must have text besides a contact's fields, which may be empty")
    return template


Template = Annotated[
    str, StringConstraints(min_length=1, max_length=LONGEST), AfterValidator(_check_fields)
]


def filled(template: str, values: Mapping[str, str | None]) -> str:
    """Fill in the template for one person. Fields without a value become empty."""
    return _FIELD.sub(lambda field: values[field[1]] or "", template)
