"""Find the fields of payload models, and make the values of payloads comparable.

The functions that need pydantic import it themselves, because that takes half of a cold start.
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
    return bool(find_fields(payload_model, name))


def shadows_job_field(payload_model: "type[BaseModel]", name: str) -> bool:
    """Return whether payloads have a field that could be mistaken for the job's own field `name`.

    A `JobEnded` has such fields too, but they have the same values as the job's own. So return
    False for it.
    """
    if not has_field(payload_model, name):
        return False
    from job_runners.work.job_ended import JobEnded  # imported here because few payloads need it

    return not issubclass(payload_model, JobEnded)


def find_fields(payload_model: "type[BaseModel]", name: str | None) -> list[str]:
    """Return the names of a model's fields that have this name or alias."""
    fields = payload_model.model_fields
    if name in fields:
        return [name]
    return [key for key, field in fields.items() if name in (field.alias, field.validation_alias)]


def canonical(value: Any) -> Any:
    """Return a value as JSON values, which are the same for equal values in every process.

    Sets are sorted, times are converted to UTC, and 1.0 becomes 1. A secret becomes its value, not
    stars. A decimal becomes its text, and True stays distinct from 1.
    """
    from decimal import Decimal

    from pydantic import BaseModel
    from pydantic_core import to_jsonable_python

    if isinstance(value, BaseModel):
        return {name: canonical(field_value) for name, field_value in value}
    if isinstance(value, Mapping):
        items = sorted(value.items(), key=_key_as_text)
        return [[canonical(key), canonical(item_value)] for key, item_value in items]
    if isinstance(value, set | frozenset):
        return sorted((canonical(item) for item in value), key=_as_json_text)
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if hasattr(value, "get_secret_value"):
        value = value.get_secret_value()
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = f"{(value - _EPOCH) // timedelta(microseconds=1)} microseconds"
    if isinstance(value, Decimal):
        value = _canonical_decimal(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 1.0 is 1, and -0.0 is 0
    return to_jsonable_python(value, bytes_mode="hex")


def _canonical_decimal(value: "Decimal") -> str:
    """Return the same text for all decimals that are equal, such as 1.5 and 1.50."""
    from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal

    if not value.is_finite():
        return str(value)
    digits = len(value.as_tuple().digits)
    exact = Context(prec=digits, Emin=MIN_EMIN, Emax=MAX_EMAX)  # the default would round
    if not value:
        value = Decimal(0)  # not -0
    return str(value.normalize(exact))


def _as_json_text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _key_as_text(item: tuple[Any, Any]) -> str:
    return str(item[0])
