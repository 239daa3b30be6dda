"""Read the API's JSON into values, by the types of their fields."""

from collections.abc import Mapping
from datetime import datetime
from types import NoneType
from typing import Any, Self

from job_runners.values import REQUIRED, Value


class FromJson(Value):
    """A value that the API returns.

    A field that an older API lacks has its default. A field that is unknown to this version is only
    in `raw`, which is the API's JSON.
    """

    @classmethod
    def of(cls, value: Mapping[str, Any], **more: Any) -> Self:
        """Return the value in the API's JSON, with the fields in `more`, which the JSON lacks.

        Raises KeyError if a required field is missing.
        """
        fields = dict(more)
        for name, each in cls.__own_fields__.items():
            if name in fields:
                continue
            if name == "raw":
                fields[name] = value
            elif value.get(name) is not None:
                fields[name] = _read(each.type, value[name])
            elif each.default is REQUIRED:
                fields[name] = value[name]
        return cls(**fields)


def _read(kind: Any, value: Any) -> Any:
    """Return a value of JSON as a value of a field's type."""
    parts: Any = getattr(kind, "__args__", ())
    if NoneType in parts:
        return _read(parts[0], value)
    if getattr(kind, "__origin__", None) is tuple:
        return tuple(_read(parts[0], each) for each in value)
    if isinstance(kind, type) and issubclass(kind, FromJson):
        return kind.of(value) if value else None
    return datetime.fromisoformat(value) if kind is datetime else value
