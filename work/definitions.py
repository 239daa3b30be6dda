"""What a job and a task are: a function with a typed payload, and the rules it runs under."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from pydantic import BaseModel, ValidationError
from pydantic.config import ExtraValues

import names
from errors import InvalidDefinition, InvalidPayload
from work.retry import Retry

DAY_IN_SECONDS = 24 * 60 * 60.0
# A payload of 2.5 MB can be wrong in 600,000 places, and to list them takes 700 MB of memory.
_LISTED_AT_MOST = 1000


@dataclass(frozen=True)
class Job:
    """Long-running work, tracked in a JobRequest.

    `function(job, payload)` gets a RunningJob and its payload, and returns what the row keeps as
    the job's result: JSON, a pydantic model, or None. Without `retry` it never runs twice.

    `timeout` is how many seconds one attempt may take, over all its legs (None: as long as it
    keeps checkpointing). `max_legs` bounds how often it is claimed in all. A job that nobody could
    start within `start_within` seconds of being queued fails as never started. One that
    `needs_campaign` is refused without a `campaign_id`.
    """

    function: Callable[..., Any]
    retry: Retry | None = None
    queue_name: str = "default"
    timeout: float | None = None
    max_legs: int = 200
    start_within: float = DAY_IN_SECONDS
    needs_campaign: bool = False
    payload_model: type[BaseModel] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "payload_model", _payload_model(self.function, ("job", "payload")))
        if not names.is_name(self.queue_name):
            raise InvalidDefinition(f"Job(queue_name={self.queue_name!r}): must be {names.RULE}")
        for name in ("timeout", "max_legs", "start_within"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise InvalidDefinition(f"Job({name}={value}): must be above 0")


@dataclass(frozen=True)
class Task:
    """A small fire-and-forget call: no row, no result.

    `function(payload)` gets its payload. Without `retry` a task that fails is logged and counted,
    and that is all. Lambda may deliver any task twice: what must not happen twice is a job.
    """

    function: Callable[..., None]
    retry: Retry | None = None
    payload_model: type[BaseModel] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "payload_model", _payload_model(self.function, ("payload",)))


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


def _payload_model(function: Callable[..., Any], expected: tuple[str, ...]) -> type[BaseModel]:
    parameters = tuple(inspect.signature(function).parameters)
    name = f"{function.__module__}.{function.__qualname__}"
    if parameters != expected:
        raise InvalidDefinition(
            f"{name}({', '.join(parameters)}) must take exactly ({', '.join(expected)})"
        )
    model = get_type_hints(function).get("payload")
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise InvalidDefinition(f"{name}: annotate `payload` with a pydantic model")
    return model
