"""Read the fields of payloads, and compare their values.

Importing pydantic is half of a cold start, so this module imports it only when a value is compared.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from decimal import Decimal

    from pydantic import BaseModel

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def has_field(payload_model: "type[BaseModel]", name: str | None) -> bool:
    """Return whether a payload's model has a field of this name or alias."""
    return bool(fields_named(payload_model, name))


def hides_own(payload_model: "type[BaseModel]", name: str) -> bool:
    """Return whether a payload has a field that could be taken for the job's own field `name`.

    A `JobEnded` is no such payload: its fields have the values of the follow-up's own.
    """
    if not has_field(payload_model, name):
        return False
    from job_runners.work.job_ended import JobEnded  # imported here because few payloads get here

    return not issubclass(payload_model, JobEnded)


def fields_named(payload_model: "type[BaseModel]", name: str | None) -> list[str]:
    """Return the names of a model's fields that have this name or alias."""
    fields = payload_model.model_fields
    if name in fields:
        return [name]
    return [own for own, each in fields.items() if name in (each.alias, each.validation_alias)]


def plain(value: Any) -> Any:
    """Return a value as JSON. Equal values have the same JSON in every process.

    So sets are sorted, a moment has the same text in every time zone, and 1.0 becomes 1. A secret
    becomes its value, not stars. A decimal becomes its text, and True stays distinct from 1.
    """
    from decimal import Decimal

    from pydantic import BaseModel
    from pydantic_core import to_jsonable_python

    if isinstance(value, BaseModel):
        return {name: plain(each) for name, each in value}
    if isinstance(value, Mapping):
        return [[plain(name), plain(each)] for name, each in sorted(value.items(), key=_by_name)]
    if isinstance(value, set | frozenset):
        return sorted((plain(each) for each in value), key=_sorted_json)
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if hasattr(value, "get_secret_value"):
        value = value.get_secret_value()
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = f"{(value - _EPOCH) // timedelta(microseconds=1)} microseconds"
    if isinstance(value, Decimal):
        value = _plain_decimal(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 1.0 is 1, and -0.0 is 0
    return to_jsonable_python(value, bytes_mode="hex")


def _plain_decimal(value: "Decimal") -> str:
    """Return the text that all equal decimals share, however many digits they have."""
    from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal

    if not value.is_finite():
        return str(value)
    digits = len(value.as_tuple().digits)
    exact = Context(prec=digits, Emin=MIN_EMIN, Emax=MAX_EMAX)
    return str((value or Decimal(0)).normalize(exact))


def _sorted_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _by_name(item: tuple[Any, Any]) -> str:
    return str(item[0])
