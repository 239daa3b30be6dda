"""Validate payloads against their pydantic models, and convert results to JSON.

Importing pydantic takes half of a cold start. So this module is separate from the definitions of
jobs: code that needs only a job's settings doesn't import this.
"""

import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_type_hints

from pydantic import BaseModel, ValidationError
from pydantic.config import ExtraValues

from job_runners.errors import InvalidDefinition, InvalidPayload
from job_runners.store import blobs
from job_runners.work.errors import ResultNotJson

# A payload of 2.5 MB can have 600,000 errors, and listing them takes 700 MB of memory.
_MAX_LISTED = 1000
# A job's follow-up is either a job type or a webhook. Pydantic's error paths contain one of these
# tags for it. Callers don't know the tags, so `problems` removes them.
JOB_TYPE_FORM = "<job type>"
WEBHOOK_FORM = "<webhook>"


def model_of(function: Callable[..., Any], expected: tuple[str, ...]) -> type[BaseModel]:
    """Return the model with which a function's `payload` parameter is annotated.

    Raises InvalidDefinition if there is none, or if the parameters aren't the `expected` ones.
    """
    parameters = tuple(inspect.signature(function).parameters)
    name = f"{function.__module__}.{function.__qualname__}"
    if parameters != expected:
        raise InvalidDefinition(
            f"{name}({', '.join(parameters)}) must take exactly ({', '.join(expected)})"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise InvalidDefinition(f"{name} is a generator (it has a yield), so its body wouldn't run")
    model = get_type_hints(function).get("payload")
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise InvalidDefinition(f"{name}: annotate `payload` with a pydantic model")
    return model


def validate_new(name: str, model: type[BaseModel], payload: object) -> BaseModel:
    """Return the payload of a new job or task as an instance of its model.

    Raises InvalidPayload with every wrong or unknown field. Unknown fields are refused, because
    otherwise a typo in an optional field's name would pass. If the model's own config has
    `extra="allow"` or `extra="ignore"`, they are accepted, and each nested model follows its own
    config.
    """
    accepts_unknown = model.model_config.get("extra") in ("allow", "ignore")
    extra: ExtraValues | None = None if accepts_unknown else "forbid"
    return _validate_with(name, lambda: model.model_validate(payload, extra=extra))


def validate(name: str, model: type[BaseModel], payload: object) -> BaseModel:
    """Return the payload of a job or task that was dispatched earlier as an instance of its model.

    Raises InvalidPayload with every wrong field. Unknown fields are ignored even if the model
    forbids them, because a newer version of the model may have accepted the payload.
    """
    return _validate_with(name, lambda: _validate_leniently(model, payload))


def problems(error: ValidationError, root: str) -> list[dict[str, str]]:
    """Return pydantic's errors as fields and reasons, without the values, which may be secret.

    The fields' names begin with `root`, which is "" for the fields of a request itself.
    """
    count = error.error_count()
    if count > _MAX_LISTED:
        return [{"field": root or "body", "why": f"{count:,} values are wrong, too many to list"}]
    return [
        {
            "field": _path(root, details["loc"]),
            "why": details["msg"].removeprefix("Value error, "),
        }
        for details in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def _path(root: str, parts: Iterable[int | str]) -> str:
    """Return a field's path, such as `payload.names.0`, or "body" for a whole request."""
    names = [str(part) for part in parts if part not in (JOB_TYPE_FORM, WEBHOOK_FORM)]
    path = ".".join([root, *names]).strip(".")  # the first or the last part may be empty
    return path or "body"


def _validate_leniently(model: type[BaseModel], payload: object) -> BaseModel:
    try:
        return model.model_validate(payload)  # keeps unknown fields if the model allows them
    except ValidationError:
        # Try again without the unknown fields. If they weren't the only problem, this raises again.
        return model.model_validate(payload, extra="ignore")


def _validate_with(name: str, validate_payload: Callable[[], BaseModel]) -> BaseModel:
    """Return the validated payload. Raises InvalidPayload, which names the job or task."""
    try:
        return validate_payload()
    except ValidationError as error:
        raise InvalidPayload(name, problems(error, "payload")) from None


def as_object(payload: Mapping[str, Any] | BaseModel | None) -> dict[str, Any]:
    """Return the payload of a child or task as a JSON object."""
    if isinstance(payload, BaseModel):
        return payload.model_dump(mode="json")
    return dict(payload or {})


def as_json(result: Any) -> Any:
    """Return a result as the JSON values that a later read will return. Raises ResultNotJson."""
    if isinstance(result, BaseModel):
        result = result.model_dump(mode="json")
    try:
        return json.loads(blobs.compact_json(result))
    except (TypeError, ValueError, RecursionError) as error:
        raise ResultNotJson(str(error)) from error
