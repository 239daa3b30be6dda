"""Build the objects in the API's responses, and their JSON Schemas.

Such an object is called a view. Its `Fields` define it once: `build_view` makes the view from them,
and `properties` makes the view's schema.
"""

from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from job_runners import clock, names
from job_runners.store.job_request import Status
from job_runners.store.pauses import Kind

Schema = dict[str, Any]
_T = TypeVar("_T")


class Field(NamedTuple, Generic[_T]):
    """A field of a view."""

    schema: Schema
    # A function that gets the value from the object that is shown. By default, the value is the
    # object's attribute with the field's name. A time is converted to the API's format.
    read: Callable[[_T], Any] | None = None
    about: str = ""  # the description in the schema


Fields = Mapping[str, Field[_T]]  # the fields of a view by their names in JSON

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "integer"}
TIME: Schema = {"type": "string", "format": "date-time"}
ID: Schema = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
STATUS: Schema = {"type": "string", "enum": [str(status) for status in Status]}
KIND: Schema = {"type": "string", "enum": [str(kind) for kind in Kind]}
NAME: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": names.MAX_LENGTH,
    "pattern": names.NAME,
}


def nullable(schema: Schema, description: str | None = None) -> Schema:
    """Return the schema of a value that may be null."""
    schema = {**schema, "type": [schema["type"], "null"]}
    if description is not None:
        schema["description"] = description
    return schema


AUTHOR = nullable(
    TEXT, "Role and name, such as `operator:user-1`. Only services see names of services"
)


def object_of(fields: Schema, **more: Any) -> Schema:
    """Return the schema of an object with all of these fields and no others. `more` has further
    keywords of the schema."""
    return {
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
        **more,
    }


def list_of(name: str) -> Schema:
    """Return the schema of a list of items with the named schema."""
    return {"type": "array", "items": ref(name)}


def ref(name: str) -> Schema:
    """Return a reference to the named schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def build_view(fields: Fields[_T], source: _T) -> dict[str, Any]:
    """Return the JSON object that shows `source` to a caller."""
    return {name: _read_value(name, field, source) for name, field in fields.items()}


def _read_value(name: str, field: Field[_T], source: _T) -> Any:
    if field.read is not None:
        return field.read(source)
    value = getattr(source, name)
    return time_of(value) if field.schema.get("format") == TIME["format"] else value


def time_of(milliseconds: int | None) -> str | None:
    """Return a time in the API's format."""
    return None if milliseconds is None else clock.iso(milliseconds)


def properties(fields: Fields[Any]) -> Schema:
    """Return the schema of each of a view's fields."""
    schemas = {}
    for name, field in fields.items():
        schemas[name] = field.schema
        if field.about:
            schemas[name] = {**field.schema, "description": field.about}
    return schemas
