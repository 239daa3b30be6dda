"""Parse the API's JSON into models, by the types of their fields."""

from collections.abc import Mapping
from datetime import datetime
from types import NoneType
from typing import Any, Self

from job_runners.values import REQUIRED, Value, field


class FromJson(Value, kw_only=True):
    """The base class of the models that the client returns.

    A field that the API leaves out has its default. A field that this version doesn't know is only
    in `raw`, which is the API's JSON.
    """

    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, value: Mapping[str, Any], **more: Any) -> Self:
        """Return the model of the API's JSON, with fields in `more` that the JSON lacks.

        Raises KeyError if a required field is missing.
        """
        fields = {"raw": value, **more}
        for name, own_field in cls.__value_fields__.items():
            if name in fields:
                continue
            if value.get(name) is not None:
                fields[name] = _parse(own_field.type, value[name])
            elif own_field.default is REQUIRED:
                fields[name] = value[name]
        return cls(**fields)


def _parse(field_type: Any, value: Any) -> Any:
    """Return a JSON value as a value of a field's type."""
    arguments: Any = getattr(field_type, "__args__", ())
    if NoneType in arguments:
        return _parse(arguments[0], value)
    if getattr(field_type, "__origin__", None) is tuple:
        return tuple(_parse(arguments[0], item) for item in value)
    if isinstance(field_type, type) and issubclass(field_type, FromJson):
        return field_type.of(value) if value else None
    return datetime.fromisoformat(value) if field_type is datetime else value
