"""What a body must be to dispatch work: its fields, and what each caller may put in them."""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api import body
from api.access import Caller
from api.errors import InvalidFields
from runners.base import JobData
from runners.registry import registry
from store.job_request import JobRequest
from store.rate import LONGEST_PERIOD, MOST_STARTS, Rate
from work.payloads import problems
from work.queues import MOST_SLOTS, MOST_WAITING

_M = TypeVar("_M", bound=BaseModel)

_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])+)"')  # RFC 9651

# The fields that a job shares with one that does the same again.
_SAME = ("job_type", "organization_id", "campaign_id", "queue_name")


class TaskData(BaseModel):
    """A task to dispatch; its payload is checked against its task's model."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    task_name: str = Field(min_length=1, max_length=128, description="See GET /job-types")
    payload: dict[str, Any] = Field(default_factory=dict)


class RetryData(BaseModel):
    """How a job is to be done again; its payload is checked against its job's model."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    payload: dict[str, Any] | None = Field(default=None, description="By default the one it had")


class RateData(BaseModel):
    """How many jobs may start in a period."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    count: int = Field(ge=1, le=MOST_STARTS)
    seconds: float = Field(default=1, gt=0, le=LONGEST_PERIOD, allow_inf_nan=False)
    burst: int = Field(default=1, ge=1, le=MOST_STARTS, description="So many of them at once")


class LimitsData(BaseModel):
    """What is to differ from the limits of a queue that its code declares; at least one of them is
    given. To start none of its jobs, pause it."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, defer_build=True, json_schema_extra={"minProperties": 1}
    )

    slots: int | None = Field(
        default=None, ge=1, le=MOST_SLOTS, description="How many run at once, of each key"
    )
    rate: RateData | None = Field(default=None)
    max_waiting: int | None = Field(
        default=None, ge=1, le=MOST_WAITING, description="Of one key: beyond it none is accepted"
    )

    def as_rate(self) -> Rate | None:
        """Return the rate, if one is given."""
        rate = self.rate
        return None if rate is None else Rate(rate.count, rate.seconds, rate.burst)


def task_data(event: Mapping[str, Any]) -> TaskData:
    """Return the task a request asks for; raises UnreadableBody, PayloadTooLarge, InvalidFields."""
    return _checked(TaskData, body.read_object(event))


def job_data(event: Mapping[str, Any], caller: Caller) -> JobData:
    """Return the job a request asks for; raises UnreadableBody, PayloadTooLarge, UnknownJobType,
    InvalidFields, also for a queue that the caller may not ask for, and NotAllowed if it is for an
    organisation that the caller may not speak for."""
    fields = body.read_object(event)
    organization_id = caller.speaks_for(fields.get("organization_id"))
    if organization_id is not None:
        fields["organization_id"] = organization_id
    data = _checked(JobData, _with_key(event, fields))
    if not caller.is_service:
        _check_queue(data)
    return data


def _check_queue(data: JobData) -> None:
    """Raise InvalidFields for a queue that the author of the job does not let callers ask for: it
    may have no limits, or be there for what is more urgent."""
    allowed = registry().job(data.job_type).allowed_queues
    if data.queue_name is not None and data.queue_name not in allowed:
        quoted = ", ".join(map(repr, allowed))
        why = f"a job {data.job_type!r} may be in {quoted}; only services may ask for another"
        raise InvalidFields([{"field": "queue_name", "why": why}])


def same_again(event: Mapping[str, Any], row: JobRequest, payload: Any) -> JobData:
    """Return a new job like one that there was, in the same queue, whoever asked for that; raises
    InvalidFields if that may no longer be."""
    fields = {name: getattr(row, name) for name in _SAME if getattr(row, name) is not None}
    return _checked(JobData, _with_key(event, {**fields, "payload": payload}))


def _with_key(event: Mapping[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields with the idempotency key that the header has, if there is one."""
    key = _idempotency_key(event)
    if key is not None:
        if fields.get("idempotency_key") not in (None, key):
            why = "the header Idempotency-Key says another"
            raise InvalidFields([{"field": "idempotency_key", "why": why}])
        fields["idempotency_key"] = key
    return fields


def _idempotency_key(event: Mapping[str, Any]) -> str | None:
    """Return the header's value. The IETF's draft writes it as a string of a structured field, in
    quotes; most clients don't: both mean the same key."""
    key = body.header(event, "idempotency-key")
    quoted = _QUOTED.fullmatch(key or "")
    return re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else key


def retry_data(event: Mapping[str, Any]) -> RetryData:
    """Return how a request wants a job done again, which may have no body; raises UnreadableBody,
    PayloadTooLarge, InvalidFields."""
    return _checked(RetryData, body.read_optional_object(event))


def limits_data(event: Mapping[str, Any]) -> LimitsData:
    """Return how a request wants a queue limited; raises UnreadableBody, PayloadTooLarge,
    InvalidFields."""
    asked = _checked(LimitsData, body.read_object(event))
    if (asked.slots, asked.rate, asked.max_waiting) == (None, None, None):
        why = "give slots, rate or max_waiting; DELETE has the code's limits again"
        raise InvalidFields([{"field": "slots", "why": why}])
    return asked


def _checked(model: type[_M], fields: dict[str, Any]) -> _M:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise InvalidFields(problems(error, "")) from None
