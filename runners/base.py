"""The Job Runner API: the three functions a runner exports, and the data of a job to dispatch."""

import re
from typing import Annotated, Any, Protocol, Self, runtime_checkable

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

import clock
import names
from store.job_request import JobRequest
from work.definitions import LONGEST_WAIT


def _not_dots(name: str) -> str:
    if name in names.DOTS:
        raise ValueError("must be more than dots")
    return name


def _not_a_number(value: Any) -> Any:
    """Refuse seconds since 1970, which have no zone: pydantic would take them, even as text."""
    number = isinstance(value, int | float)
    if number or (isinstance(value, str) and not re.match(r"\d{4}-", value)):
        raise ValueError("must be a time with its zone, such as 2026-05-04T09:30:00+02:00")
    return value


Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=names.LONGEST, pattern=names.NAME),
    AfterValidator(_not_dots),
]


class JobData(BaseModel):
    """A job to dispatch. Checked when made; its payload is checked against its job's model."""

    # Built when first used: a start does not wait for it.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    job_type: str = Field(min_length=1, max_length=128, description="Which job: see GET /job-types")
    payload: dict[str, Any] = Field(default_factory=dict, description="What the job needs to know")
    organization_id: Name = Field(
        default="default",
        description="Whose job it is; a single-tenant stack leaves it at `default`",
    )
    campaign_id: Name | None = None
    queue_name: Name | None = Field(
        default=None, description="Its queue; by default its job type's"
    )
    run_at: Annotated[AwareDatetime, BeforeValidator(_not_a_number)] | None = Field(
        default=None, description="Not before this time, which must carry a zone; up to 30 days on"
    )
    delay: float | None = Field(
        default=None,
        strict=True,
        ge=0,
        le=LONGEST_WAIT,
        allow_inf_nan=False,
        description="Not before so many seconds from now",
    )
    idempotency_key: str | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        pattern=names.KEY,
        description="The same request under the same key, in one organisation, is one job",
    )

    @model_validator(mode="after")
    def _one_time(self) -> Self:
        if self.run_at is not None:
            if self.delay is not None:
                raise ValueError("give run_at or delay, not both")
            if self.starts_at() > clock.now() + LONGEST_WAIT * clock.SECOND:
                raise ValueError("run_at may be at most 30 days from now")
        return self

    def starts_at(self) -> int:
        """Return when it may start, in milliseconds since 1970."""
        if self.run_at is not None:
            return int(self.run_at.timestamp() * clock.SECOND)
        return clock.now() + int((self.delay or 0) * clock.SECOND)


@runtime_checkable
class JobRunner(Protocol):
    """What the module that JOB_RUNNER names exports. Callers never know which one it is."""

    def fully_configured(self) -> bool:
        """Return whether this runner has all it needs; an error may say what is missing."""

    def dispatch_job(self, job_data: JobData) -> JobRequest:
        """Save the job, then send it; return the saved row. A job that could not be sent now is
        due, and is sent later. Raises UnknownJobType, InvalidPayload."""

    def dispatch_task(self, task_name: str, payload: Any) -> None:
        """Send the task. Raises UnknownTask, InvalidPayload, PayloadTooLarge, and SendFailed when
        it did not leave: nothing holds it."""
