"""What JSON Schemas of the API are made of, and tables of fields: each gives an object that the API
answers with, and its schema."""

from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import names
from store.job_request import Status
from store.pauses import Kind

Schema = dict[str, Any]
_T = TypeVar("_T")


class Field(NamedTuple, Generic[_T]):
    """A field: its JSON Schema, and how its value is read from what is shown."""

    schema: Schema
    read: Callable[[_T], Any]


Fields = Mapping[str, Field[_T]]  # by their names in JSON

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "integer"}
TIME: Schema = {"type": "string", "format": "date-time"}
ID: Schema = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
STATUS: Schema = {"type": "string", "enum": [str(each) for each in Status]}
KIND: Schema = {"type": "string", "enum": [str(each) for each in Kind]}
NAME: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": names.LONGEST,
    "pattern": names.NAME,
}


def nullable(schema: Schema) -> Schema:
    """Return the schema of the same value or null."""
    return {**schema, "type": [schema["type"], "null"]}


def object_of(fields: Schema, **more: Any) -> Schema:
    """Return the schema of an object with all of these fields and no other."""
    return {
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
        **more,
    }


def list_of(name: str) -> Schema:
    """Return the schema of a list, whose items have the schema of this name."""
    return {"type": "array", "items": ref(name)}


def ref(name: str) -> Schema:
    """Return a reference to the schema of this name."""
    return {"$ref": f"#/components/schemas/{name}"}


def values(fields: Fields[_T], shown: _T) -> dict[str, Any]:
    """Return the JSON object that these fields make of what is shown."""
    return {name: field.read(shown) for name, field in fields.items()}


def properties(fields: Fields[Any]) -> Schema:
    """Return the properties of that object's schema."""
    return {name: field.schema for name, field in fields.items()}
