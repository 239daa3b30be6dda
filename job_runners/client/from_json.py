"""Convert the API's JSON to models. The types of a model's fields say how to convert the values."""

from collections.abc import Mapping
from datetime import datetime
from types import NoneType
from typing import Any, Self

from job_runners.values import REQUIRED, Value, field


class FromJson(Value, kw_only=True):
    """The base class of the models that the client returns.

    `raw` is the API's JSON, which may have fields that are newer than this version of the client. A
    field that the JSON lacks has its default.
    """

    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, value: Mapping[str, Any], **more: Any) -> Self:
        """Return an instance with the values in the API's JSON. `more` has values from elsewhere.

        Raises KeyError if a required field is missing.
        """
        values = {"raw": value, **more}
        for name, own_field in cls.__value_fields__.items():
            if name in values:
                continue
            if value.get(name) is not None:
                values[name] = _convert(value[name], own_field.type)
            elif own_field.default is REQUIRED:
                values[name] = value[name]  # None, or a KeyError
        return cls(**values)


def _convert(value: Any, field_type: Any) -> Any:
    """Convert a JSON value to the type of a field. The value isn't null."""
    type_arguments: Any = getattr(field_type, "__args__", ())
    if NoneType in type_arguments:  # the type is `X | None`
        return _convert(value, type_arguments[0])
    if getattr(field_type, "__origin__", None) is tuple:
        return tuple(_convert(item, type_arguments[0]) for item in value)
    if isinstance(field_type, type) and issubclass(field_type, FromJson):
        return field_type.of(value) if value else None
    return datetime.fromisoformat(value) if field_type is datetime else value
