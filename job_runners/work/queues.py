"""Declare the limits of a queue: how many of its jobs run at once, and how fast they start.

A queue that isn't declared has no limits. Declare queues in `QUEUES`, in the same module as `JOBS`:

    QUEUES = {"mailings": Queue(slots=3, per="organization_id", rate=Rate(30, seconds=60))}
"""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Literal, cast, get_args, get_origin

from job_runners import names
from job_runners.errors import InvalidDefinition
from job_runners.store.rate import Rate, is_positive_integer
from job_runners.values import Value
from job_runners.work import function_names
from job_runners.work.payload_values import canonical, find_fields, has_field, shadows_job_field

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["MAX_SLOTS", "MAX_WAITING", "WHOLE_QUEUE", "Queue", "Rate"]

MAX_SLOTS: Final = 100  # a limit, so that a single query reads all slots of a queue's key
MAX_WAITING: Final = 100_000
MAX_KEY_LENGTH: Final = 64  # characters
_ORGANIZATION: Final = "organization_id"
WHOLE_QUEUE: Final = "*"  # the key of a job that gets no key of its own from `per`

# Values that match this are used as keys unchanged. Other values are hashed, because they could
# break the table's keys, contain control characters, or look like "*" or a hash. "#" separates the
# parts of the table's keys.
_USABLE_KEY = rf"(?!\*$|h-[0-9a-f]{{32}}$)[^#{names.FORBIDDEN}\ud800-\udfff]{{1,{MAX_KEY_LENGTH}}}"


class Queue(Value, kw_only=True):
    """The limits of a queue. Set `slots`, `rate` or both.

    - `slots`: the number of jobs that run at once, 1 to 100.
    - `rate`: the rate at which jobs start.
    - `per`: "organization_id", a field of the payload, or several of these. Each value has its own
      slots and rate. All jobs without a value share the same slots and rate. Organizations share
      the values of a payload's field, unless `per` names "organization_id" too:
      `per=("organization_id", "list_id")`.
    - `order`: waiting jobs start oldest first ("fifo"), or organizations take turns and each one's
      oldest job starts first ("fair").
    - `max_waiting`: if this many jobs with the same value are waiting, dispatches are refused.
    """

    slots: int | None = None
    per: str | tuple[str, ...] | None = None
    rate: Rate | None = None
    order: Literal["fifo", "fair"] = "fifo"
    max_waiting: int = 10_000

    def __post_init__(self) -> None:
        vars(self)["_declared_in"] = function_names.caller_outside(__file__)
        if len(self.per_fields) == 1:
            object.__setattr__(self, "per", self.per_fields[0])
        if self.slots is None and self.rate is None:
            raise InvalidDefinition("Queue() has no limits: set slots, rate or both")
        if self.slots is not None and not is_positive_integer(self.slots, MAX_SLOTS):
            raise self._error("slots", f"a whole number, 1 to {MAX_SLOTS}")
        if self.rate is not None and not isinstance(self.rate, Rate):
            raise self._error("rate", "a Rate, such as Rate(30, seconds=60)")
        if not all(isinstance(name, str) and name for name in self.per_fields) or self.per == ():
            raise self._error("per", '"organization_id", a field of the payload, or several')
        if self.order not in ("fifo", "fair"):
            raise self._error("order", '"fifo" or "fair"')
        if not is_positive_integer(self.max_waiting, MAX_WAITING):
            raise self._error("max_waiting", f"a whole number, 1 to {MAX_WAITING:,}")

    def _error(self, name: str, expected: str) -> InvalidDefinition:
        return InvalidDefinition(f"Queue({name}={getattr(self, name)!r}): must be {expected}")

    @property
    def declared_in(self) -> function_names.Place:
        """Return the file and line that declare it."""
        place: function_names.Place = vars(self)["_declared_in"]
        return place

    @property
    def per_fields(self) -> tuple[str, ...]:
        """The names in `per`."""
        if self.per is None:
            return ()
        return self.per if isinstance(self.per, tuple) else (self.per,)

    def key_of(self, organization_id: str, payload: object) -> str:
        """Return the job's key in the queue: the values of `per` as text, with ":" between them.

        `payload` is an instance of the payload's model, so that values that the model treats as
        equal have one key. If the model doesn't accept the payload, pass it as JSON values.

        The key is "*" if `per` isn't set. A value is "*" if the payload lacks the field, or if the
        value as JSON isn't a string, a whole number, true or false. A value that is too long for a
        key, or has characters that a key can't have, is hashed.
        """
        values = []
        for name in self.per_fields:
            if name == _ORGANIZATION:
                values.append(_key_part(organization_id))
            else:
                values.append(_value_as_key(_read_field(payload, name)))
        match values:
            case []:
                return WHOLE_QUEUE
            case [value]:
                return value
            case _:
                # Different values must not have the same key. If a value contains ":", join the
                # values by "#", which no usable key contains, so that they are hashed as a whole.
                separator = "#" if any(":" in value for value in values[:-1]) else ":"
                return _key_part(separator.join(values))

    def misfit(self, payload_model: "type[BaseModel]") -> str | None:
        """Return an error message if `per` doesn't fit the payload, or None.

        `per` must not name a secret of the payload. If it names a field of the job itself, the
        payload must not have a field of that name.
        """
        if _ORGANIZATION in self.per_fields and shadows_job_field(payload_model, _ORGANIZATION):
            return (
                f"Queue(per={self.per!r}): means the job's own {_ORGANIZATION}, but its payload "
                "also has a field with that name, which would be ignored. Rename or remove that "
                "field"
            )
        for name in self.per_fields:
            for field_name in find_fields(payload_model, name):
                if _is_secret(payload_model.model_fields[field_name].annotation):
                    return (
                        f"Queue(per={self.per!r}): is a secret of the payload, but the values of "
                        "per are shown to people, as the queue's keys. Use a field that isn't "
                        "secret"
                    )
        return None

    def can_have_per_value(self, payload_model: "type[BaseModel]") -> bool:
        """Return False if `per` names a field that payloads of this model can't have."""
        if payload_model.model_config.get("extra") == "allow":
            return True
        return all(
            name == _ORGANIZATION or has_field(payload_model, name) for name in self.per_fields
        )


def _is_secret(annotation: object) -> bool:
    """Return whether a field of this type may contain one of pydantic's secrets."""
    from pydantic import Secret, SecretBytes, SecretStr

    kind = get_origin(annotation) or annotation
    if isinstance(kind, type) and issubclass(kind, (Secret, SecretBytes, SecretStr)):
        return True
    return any(map(_is_secret, get_args(annotation)))


def _read_field(payload: object, name: str) -> object:
    """Return the value of a field by its name or alias, or None."""
    if isinstance(payload, Mapping):
        return payload.get(name)
    if not hasattr(payload, "model_extra"):
        return None
    model = cast("BaseModel", payload)
    field_names = find_fields(type(model), name)
    if field_names:
        return getattr(model, field_names[0])
    extra_fields = model.model_extra or {}
    return extra_fields.get(name)


def _value_as_key(value: object) -> str:
    """Return the key for a value of `per`, or its part of the key."""
    if value is not None and type(value) not in (str, int, bool):
        try:
            value = canonical(value)
        except ValueError:  # JSON can't represent the value
            return WHOLE_QUEUE
    if isinstance(value, bool):
        return "true" if value else "false"
    return _key_part(str(value)) if isinstance(value, str | int) else WHOLE_QUEUE


def _key_part(text: str) -> str:
    """Return the text if a key can have it, and its hash otherwise."""
    if re.fullmatch(_USABLE_KEY, text):
        return text
    return "h-" + sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]
