"""What limits a queue has: how many of its jobs run at once, and how fast they start.

A queue that nobody declares has none. `QUEUES` in a table of jobs declares some:

    QUEUES = {"mailings": Queue(slots=3, per="organization_id", rate=Rate(30, seconds=60))}
"""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Literal, cast, get_args, get_origin

import names
from errors import InvalidDefinition
from frozen_values import Value
from store.rate import Rate, is_whole
from work.payload_values import fields_named, has_field, plain

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["MOST_SLOTS", "MOST_WAITING", "WHOLE_QUEUE", "Queue", "Rate"]

MOST_SLOTS: Final = 100  # one read of a line sees them all
MOST_WAITING: Final = 100_000
LONGEST_KEY: Final = 64  # characters
WHOLE_QUEUE: Final = "*"  # the key of jobs that have no value to be told apart by

# What a key may be as it is. The rest is hashed: it would break the parts of a key of the table, or
# steer a terminal, or could be taken for a key that means something else.
_PLAIN = rf"(?!\*$|h-[0-9a-f]{{32}}$)[^#{names.UNFIT}\ud800-\udfff]{{1,{LONGEST_KEY}}}"


class Queue(Value, kw_only=True):
    """The limits of a queue; at least one of `slots` and `rate` is given.

    `slots` is how many of its jobs run at once, 1 to 100; `rate`, how fast they start. With `per`,
    each value of "organization_id", of "campaign_id" or of a field of the payload has slots and a
    rate of its own; jobs without a value share one. Those that wait start oldest first ("fifo"), or
    one organisation after the other, and each one's oldest first ("fair"). Where `max_waiting` of
    one value wait, no more are accepted.
    """

    slots: int | None = None
    per: str | None = None
    rate: Rate | None = None
    order: Literal["fifo", "fair"] = "fifo"
    max_waiting: int = 10_000

    def __post_init__(self) -> None:
        if self.slots is None and self.rate is None:
            raise InvalidDefinition("Queue() limits nothing: give it slots, a rate, or both")
        if self.slots is not None and not is_whole(self.slots, MOST_SLOTS):
            raise self._wrong("slots", f"a whole number, 1 to {MOST_SLOTS}")
        if self.rate is not None and not isinstance(self.rate, Rate):
            raise self._wrong("rate", "a Rate, such as Rate(30, seconds=60)")
        if self.per is not None and not (isinstance(self.per, str) and self.per):
            raise self._wrong("per", '"organization_id", "campaign_id" or a field of the payload')
        if self.order not in ("fifo", "fair"):
            raise self._wrong("order", '"fifo" or "fair"')
        if not is_whole(self.max_waiting, MOST_WAITING):
            raise self._wrong("max_waiting", f"a whole number, 1 to {MOST_WAITING:,}")

    def _wrong(self, name: str, expected: str) -> InvalidDefinition:
        return InvalidDefinition(f"Queue({name}={getattr(self, name)!r}): must be {expected}")

    def key_of(self, organization_id: str, campaign_id: str | None, payload: object) -> str:
        """Return which of the queue's lines a job is in: the value of `per`, as text.

        The payload is its model, so that values which the model takes for one are one; or JSON, of
        a payload that its model does not take. It is "*" without `per`, and for a payload without
        the field or with a value there that is not as JSON text, a whole number, true or false. A
        campaign's has its organisation before it. A value that is long, or has characters that no
        key can have, is hashed.
        """
        match self.per:
            case None:
                return WHOLE_QUEUE
            case "organization_id":
                return _plain(organization_id)
            case "campaign_id":
                # Two organisations may have a campaign of the same name. No name has a "#", so that
                # the second form is hashed, and can't be an organisation's of a shorter name.
                separator = "#" if ":" in organization_id else ":"
                return _plain(f"{organization_id}{separator}{campaign_id or ''}")
            case field:
                return _value(_read(payload, field))

    def wrong_for(self, payload_model: "type[BaseModel]") -> str | None:
        """Return what is wrong if a payload has a field called as what `per` means of the job, or
        has a secret in that which `per` names."""
        if self.per in ("organization_id", "campaign_id") and has_field(payload_model, self.per):
            return (
                f"Queue(per={self.per!r}): is the job's own {self.per}, but its payload has a "
                "field of that name, which would not be used: call that field something else"
            )
        if any(
            _is_secret(payload_model.model_fields[own].annotation)
            for own in fields_named(payload_model, self.per)
        ):
            return (
                f"Queue(per={self.per!r}): is a secret of the payload, and people see the values "
                "of per, as the keys of a queue: name a field that may be seen"
            )
        return None

    def tells_apart(self, payload_model: "type[BaseModel]") -> bool:
        """Return whether jobs with such a payload can have a value for `per`."""
        if self.per in (None, "organization_id", "campaign_id"):
            return True
        if payload_model.model_config.get("extra") == "allow":
            return True
        return has_field(payload_model, self.per)


def _is_secret(annotation: object) -> bool:
    """Return whether a field of this type may hold one of pydantic's secrets."""
    from pydantic import Secret, SecretBytes, SecretStr

    kind = get_origin(annotation) or annotation
    if isinstance(kind, type) and issubclass(kind, (Secret, SecretBytes, SecretStr)):
        return True
    return any(map(_is_secret, get_args(annotation)))


def _read(payload: object, name: str) -> object:
    """Return the value of a field by its name or alias; None without one."""
    if isinstance(payload, Mapping):
        return payload.get(name)
    if not hasattr(payload, "model_extra"):
        return None
    model = cast("BaseModel", payload)
    for own in fields_named(type(model), name):
        return getattr(model, own)
    return (model.model_extra or {}).get(name)


def _value(value: object) -> str:
    if value is not None and type(value) not in (str, int, bool):
        try:
            value = plain(value)
        except ValueError:  # of what JSON has no form for
            return WHOLE_QUEUE
    if isinstance(value, bool):
        return "true" if value else "false"
    return _plain(str(value)) if isinstance(value, str | int) else WHOLE_QUEUE


def _plain(text: str) -> str:
    if re.fullmatch(_PLAIN, text):
        return text
    return "h-" + sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]
