"""Payloads against their models: what a function takes, and whether a payload is that.

Apart from the definitions, because pydantic is half of a cold start, and whoever only needs to know
the rules of a job does without.
"""

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

from pydantic import BaseModel, ValidationError
from pydantic.config import ExtraValues

from errors import InvalidDefinition, InvalidPayload

# A payload of 2.5 MB can be wrong in 600,000 places, and to list them takes 700 MB of memory.
_LISTED_AT_MOST = 1000


def model_of(function: Callable[..., Any], expected: tuple[str, ...]) -> type[BaseModel]:
    """Return the model that a function annotates its `payload` with; raise InvalidDefinition unless
    it has one, and takes just the expected parameters."""
    parameters = tuple(inspect.signature(function).parameters)
    name = f"{function.__module__}.{function.__qualname__}"
    if parameters != expected:
        raise InvalidDefinition(
            f"{name}({', '.join(parameters)}) must take exactly ({', '.join(expected)})"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise InvalidDefinition(f"{name} has a yield: a generator, of which nothing would run")
    model = get_type_hints(function).get("payload")
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise InvalidDefinition(f"{name}: annotate `payload` with a pydantic model")
    return model


def validate_new(name: str, model: type[BaseModel], payload: object) -> BaseModel:
    """Return a payload that is to be dispatched as its model; raise InvalidPayload with every field
    that is wrong, or that the model does not have.

    A typo in the name of an optional field would succeed otherwise. Only a model that says
    `extra="allow"` or `extra="ignore"` in its own config takes other fields, in its parts too.
    """
    is_open = model.model_config.get("extra") in ("allow", "ignore")
    extra: ExtraValues | None = None if is_open else "forbid"
    return _validated(name, lambda: model.model_validate(payload, extra=extra))


def validate(name: str, model: type[BaseModel], payload: object) -> BaseModel:
    """Return a payload that was dispatched before as its model; raise InvalidPayload with every
    field that is wrong.

    Fields that the model does not have are ignored, whatever it says of them: the API that took
    them may be newer than this worker, and a job in flight must not fail of that.
    """
    return _validated(name, lambda: _lenient(model, payload))


def problems(error: ValidationError, root: str) -> list[dict[str, str]]:
    """Return what pydantic found wrong, as field and reason, never the value: it may be secret."""
    count = error.error_count()
    if count > _LISTED_AT_MOST:
        return [{"field": root or "body", "why": f"{count:,} values are wrong, too many to list"}]
    return [
        {
            "field": ".".join([root, *map(str, each["loc"])]).strip(".") or "body",
            "why": each["msg"].removeprefix("Value error, "),
        }
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def _lenient(model: type[BaseModel], payload: object) -> BaseModel:
    try:
        return model.model_validate(payload)
    except ValidationError:  # of such fields, or of others: then this raises it again
        return model.model_validate(payload, extra="ignore")


def _validated(name: str, validated: Callable[[], BaseModel]) -> BaseModel:
    try:
        return validated()
    except ValidationError as error:
        raise InvalidPayload(name, problems(error, "payload")) from None
