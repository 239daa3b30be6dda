"""Check the bodies of requests that change queues, error groups, schedules and webhooks.

This module is separate from `requests` because most of the API's processes serve none of these
requests.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from job_runners.api.access import Event
from job_runners.api.errors import InvalidField
from job_runners.api.requests import RequestBody, is_whole_number, read
from job_runners.engine.job_data import SecretName, WebhookUrl, secret_error
from job_runners.engine.registry.registry import registry
from job_runners.store.rate import MAX_PERIOD, MAX_STARTS, MIN_STORED_PERIOD, Rate
from job_runners.work import occurrences
from job_runners.work.errors import InvalidOccurrences
from job_runners.work.queues import MAX_SLOTS, MAX_WAITING

if TYPE_CHECKING:
    from job_runners.work.recurring import Recurring


class RateData(RequestBody):
    """The number of jobs that may start in a period."""

    count: int = Field(ge=1, le=MAX_STARTS)
    seconds: float = Field(default=1, ge=MIN_STORED_PERIOD, le=MAX_PERIOD, allow_inf_nan=False)
    burst: int = Field(
        default=1, ge=1, le=MAX_STARTS, description="Number of starts allowed at once"
    )


class LimitsData(RequestBody):
    """Limits that override those declared in code. Set at least one of them. To start no jobs at
    all, pause the queue instead."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    slots: int | None = Field(
        default=None, ge=1, le=MAX_SLOTS, description="Number of jobs that run at once, per key"
    )
    rate: RateData | None = Field(default=None)
    max_waiting: int | None = Field(
        default=None,
        ge=1,
        le=MAX_WAITING,
        description="Number of waiting jobs per key at which dispatches are refused",
    )

    def as_rate(self) -> Rate | None:
        """Return the rate, or None if the body has none."""
        if self.rate is None:
            return None
        return Rate(self.rate.count, self.rate.seconds, self.rate.burst)


def _check_interval(value: Any) -> Any:
    if is_whole_number(value) and occurrences.MIN_INTERVAL <= value <= occurrences.MAX_INTERVAL:
        return value
    raise ValueError(f"must be a whole number, {occurrences.ALLOWED_INTERVALS}; 900 is 15 minutes")


def _check_missed(value: Any) -> Any:
    if value in ("skip", "one"):
        return value
    maximum = occurrences.MAX_LATE_STARTS
    if is_whole_number(value) and 1 <= value <= maximum:
        return int(value)
    raise ValueError(f'must be "skip", "one", or a whole number, 1 to {maximum}')


_IntervalSeconds = Annotated[
    int,
    Field(ge=occurrences.MIN_INTERVAL, le=occurrences.MAX_INTERVAL),
    BeforeValidator(_check_interval),
]
_LateStarts = Annotated[int, Field(ge=1, le=occurrences.MAX_LATE_STARTS)]


class FailureData(RequestBody):
    """A change of an error group. Omitted fields don't change."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    note: str | None = Field(
        default=None, max_length=500, description="A text for people; null removes it"
    )
    resolved: bool = Field(
        default=False, strict=True, description="Whether the cause of the failure is fixed"
    )


class WebhookData(RequestBody):
    """A webhook that is called when jobs of an organization end."""

    url: WebhookUrl
    secret: SecretName
    statuses: list[Literal["succeeded", "failed", "canceled"]] | None = Field(
        default=None,
        min_length=1,
        max_length=3,
        description="Outcomes for which it is called (default: all)",
    )
    job_types: list[Annotated[str, Field(min_length=1, max_length=128)]] | None = Field(
        default=None,
        min_length=1,
        max_length=50,
        description="Job types for which it is called (default: all)",
    )


class ScheduleData(RequestBody):
    """A job to dispatch by schedule: at the times of `cron`, or at an interval of `every` seconds.
    Its payload must match the job's model."""

    job_type: str = Field(
        min_length=1, max_length=128, description="Name of the job; see GET /job-types"
    )
    payload: dict[str, Any] = Field(
        default_factory=dict, description="Payload of each of the schedule's jobs"
    )
    cron: str | None = Field(
        default=None,
        max_length=occurrences.MAX_CRON_LENGTH,
        description="Minute, hour, day of the month, month and day of the week, in local time. "
        "`0 2 * * *` is every day at 02:00",
    )
    every: _IntervalSeconds | None = Field(
        default=None,
        description="Seconds between occurrences, which are aligned to 1970-01-01 00:00 UTC",
    )
    timezone: str = Field(
        default="UTC", max_length=64, description="IANA name of the time zone of `cron`"
    )
    missed: Annotated[Literal["skip", "one"] | _LateStarts, BeforeValidator(_check_missed)] = Field(
        default="one",
        description="Missed occurrences to start late: `skip` (none), `one` (the latest), or a "
        "number N (the latest N)",
    )
    overlap: Literal["skip", "queue", "allow"] = Field(
        default="skip",
        description="Action while the previous job is unfinished: `skip` the occurrence, `queue` "
        "it until that job ends, or `allow` both to run",
    )

    def to_recurring(self, organization_id: str) -> "Recurring":
        """Return the schedule as recurring work of this organization. Raises InvalidFields."""
        # Imported here because few requests need it.
        from job_runners.work.recurring import Each, Recurring, check_missed

        missed: Any = self.missed
        max_late_starts = 1
        if isinstance(missed, int):
            max_late_starts = missed
            missed = Each(missed)
        try:
            occurrences.check(occurrences.When(self.cron, self.every, self.timezone))
            check_missed(max_late_starts, self.overlap)
        except InvalidOccurrences as error:
            raise InvalidField(error.field, error.why) from None
        return Recurring(
            self.job_type,
            cron=self.cron,
            every=self.every,
            timezone=self.timezone,
            organization_id=organization_id,
            payload=self.payload,
            missed=missed,
            overlap=self.overlap,
        )


def webhook_data(event: Event, organization_id: str) -> WebhookData:
    """Return the webhook of a request. Raises UnreadableBody, PayloadTooLarge, InvalidFields and
    UnknownJobType."""
    data = read(WebhookData, event)
    problem = secret_error(data.secret, organization_id)
    if problem is not None:
        raise InvalidField("secret", problem)
    for job_type in data.job_types or ():
        registry().job(job_type)  # raises UnknownJobType
    return data


def error_group_data(event: Event) -> FailureData:
    """Return the change of an error group. Raises UnreadableBody, PayloadTooLarge,
    InvalidFields."""
    data = read(FailureData, event)
    if not data.model_fields_set:
        raise InvalidField("note", "set note or resolved")
    return data


def limits_data(event: Event) -> LimitsData:
    """Return the limits of a request. Raises UnreadableBody, PayloadTooLarge, InvalidFields."""
    limits = read(LimitsData, event)
    if limits.slots is None and limits.rate is None and limits.max_waiting is None:
        why = "set slots, rate or max_waiting, or use DELETE to reset the limits to the code's"
        raise InvalidField("slots", why)
    return limits
