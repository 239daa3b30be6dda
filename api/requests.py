"""What a body must be to dispatch work: its fields, and what each caller may put in them."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

import names
from api import body
from api.access import Caller
from api.errors import InvalidFields
from runners.base import JobData, Name
from runners.registry import registry
from store.job_request import JobRequest
from store.rate import LONGEST_PERIOD, MOST_STARTS, SHORTEST_STORED, Rate
from work import occurrences
from work.errors import InvalidOccurrences
from work.payloads import problems
from work.queues import MOST_SLOTS, MOST_WAITING

if TYPE_CHECKING:
    from work.recurring import Recurring

_M = TypeVar("_M", bound=BaseModel)

_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])+)"')  # RFC 9651

LONGEST_KEY = 255  # characters of an idempotency key: as JobData has it

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


class NoFields(BaseModel):
    """Nothing: all is said by the method and the path."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class RateData(BaseModel):
    """How many jobs may start in a period."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    count: int = Field(ge=1, le=MOST_STARTS)
    seconds: float = Field(default=1, ge=SHORTEST_STORED, le=LONGEST_PERIOD, allow_inf_nan=False)
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


def _seconds(value: Any) -> Any:
    """Refuse what is no interval, with its unit; and what only reads as a number: pydantic would
    take "60" and true. 60.0 is 60 in JSON."""
    shortest, longest = occurrences.SHORTEST, occurrences.LONGEST
    if type(value) not in (int, float) or value % 1 or not shortest <= value <= longest:
        raise ValueError(f"must be a whole number, {occurrences.SPANS}: 15 minutes are 900")
    return value


def _missed(value: Any) -> Any:
    if value in ("skip", "one"):
        return value
    most = occurrences.MOST_MISSED
    if type(value) not in (int, float) or value % 1 or not 1 <= value <= most:
        raise ValueError(f'must be "skip", "one", or a whole number, 1 to {most}')
    return int(value)


_Seconds = Annotated[
    int, Field(ge=occurrences.SHORTEST, le=occurrences.LONGEST), BeforeValidator(_seconds)
]
_Most = Annotated[int, Field(ge=1, le=occurrences.MOST_MISSED)]


class ScheduleData(BaseModel):
    """A job that is to be done again and again, at the times of `cron` or each `every` seconds; its
    payload is checked against its job's model."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    job_type: str = Field(min_length=1, max_length=128, description="Which job: see GET /job-types")
    payload: dict[str, Any] = Field(
        default_factory=dict, description="What each of its jobs needs to know"
    )
    campaign_id: Name | None = None
    cron: str | None = Field(
        default=None,
        max_length=occurrences.LONGEST_CRON,
        description="Minute, hour, day of the month, month, day of the week, in local time: "
        "`0 2 * * *` is every day at 02:00",
    )
    every: _Seconds | None = Field(
        default=None,
        description="Seconds from one to the next: they are counted from 1970, in UTC",
    )
    timezone: str = Field(
        default="UTC", max_length=64, description="Whose local time `cron` means, by IANA's name"
    )
    missed: Annotated[Literal["skip", "one"] | _Most, BeforeValidator(_missed)] = Field(
        default="one",
        description="How many of the occurrences are made up for that nothing could start in time: "
        "none, one, or up to so many, the latest",
    )
    overlap: Literal["skip", "queue", "allow"] = Field(
        default="skip",
        description="What becomes of an occurrence while the job of the one before is unfinished: "
        "it is left out, started as soon as that has ended, or started all the same",
    )

    def recurring(self, organization_id: str) -> "Recurring":
        """Return it as recurring work of this organisation. Raises InvalidFields."""
        from work.recurring import Each, Recurring, check_missed  # which few requests need

        when = occurrences.When(self.cron, self.every, self.timezone)
        missed = Each(self.missed) if isinstance(self.missed, int) else self.missed
        try:
            occurrences.check(when)
            check_missed(self.missed if isinstance(self.missed, int) else 1, self.overlap)
        except InvalidOccurrences as error:
            raise InvalidFields([{"field": error.field, "why": error.why}]) from None
        return Recurring(
            self.job_type,
            cron=self.cron,
            every=self.every,
            timezone=self.timezone,
            organization_id=organization_id,
            campaign_id=self.campaign_id,
            payload=self.payload,
            missed=missed,
            overlap=self.overlap,
        )


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


def schedule_data(event: Mapping[str, Any]) -> ScheduleData:
    """Return what a request wants done again and again; raises UnreadableBody, PayloadTooLarge,
    InvalidFields."""
    return _checked(ScheduleData, body.read_object(event))


def key_of(event: Mapping[str, Any]) -> str | None:
    """Return the idempotency key of a request without a body; raises InvalidFields."""
    key = _idempotency_key(event)
    if key is not None and not (len(key) <= LONGEST_KEY and re.match(names.KEY, key)):
        why = f"must be 1 to {LONGEST_KEY} characters, without control characters"
        raise InvalidFields([{"field": "idempotency_key", "why": why}])
    return key


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


def no_fields(event: Mapping[str, Any]) -> None:
    """Refuse a body that would change nothing, whatever its sender meant by it; raises
    UnreadableBody, PayloadTooLarge, InvalidFields."""
    _checked(NoFields, body.read_optional_object(event))


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
