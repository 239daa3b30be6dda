"""`JobData`, a request to dispatch a job, and the types of its fields.

A *follow-up* is a job that is dispatched, or a webhook that is called, when the job has ended.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    model_validator,
)

from job_runners import clock, names
from job_runners.work.definitions import MAX_WAIT
from job_runners.work.payloads import JOB_TYPE_FORM, WEBHOOK_FORM


def _refuse_dots(name: str) -> str:
    if name in names.DOTS:
        raise ValueError("must be more than dots")
    return name


def _as_integer(value: object) -> object:
    """Convert a float such as 3.0 to 3, because JSON Schema counts both as integers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _refuse_unix_timestamp(value: Any) -> Any:
    """Refuse a Unix timestamp, which pydantic would accept, both as a number and as text."""
    # Text that pydantic accepts is either a date, which begins with its year, or a number.
    is_number_as_text = isinstance(value, str) and not re.match(r"\d{4}-", value)
    if isinstance(value, int | float) or is_number_as_text:
        raise ValueError("must be a time with a time zone, such as 2026-05-04T09:30:00+02:00")
    return value


Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=names.MAX_LENGTH, pattern=names.NAME),
    AfterValidator(_refuse_dots),
]


def _check_url(url: str) -> str:
    from job_runners.shipped.webhooks.url import parse_url  # imported here because few jobs need it

    parse_url(url)  # raises ValueError for an invalid URL
    return url


WebhookUrl = Annotated[
    str,
    Field(
        max_length=2048,
        description="The receiver: an https URL on the public internet",
        json_schema_extra={"pattern": "^https://[!-~]+$"},
        examples=["https://hooks.example.com/jobs"],
    ),
    AfterValidator(_check_url),
]
SecretName = Annotated[
    str,
    Field(
        max_length=256,
        pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)+$",
        description="The name of a signing secret of the organization",
        examples=["acme/main"],
    ),
]


def secret_error(secret_name: str, organization_id: str) -> str | None:
    """Return an error message if the secret doesn't belong to the organization, otherwise None.

    A secret's name begins with the id of its organization.
    """
    prefix = f"{organization_id}/"
    return None if secret_name.startswith(prefix) else f"must be one of {prefix}..."


class WebhookFollowUp(BaseModel):
    """A webhook that is called when a job has ended. The secret signs the request."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    webhook: WebhookUrl
    secret: SecretName


def _follow_up_form(follow_up: object) -> str:
    """Return the tag of a follow-up, which says whether it is a job type or a webhook."""
    return WEBHOOK_FORM if isinstance(follow_up, Mapping | WebhookFollowUp) else JOB_TYPE_FORM


# The discriminator keeps pydantic's errors to one form. Without it, an invalid webhook would also
# be reported as an invalid name of a job type.
_TaggedJobType = Annotated[str, Field(min_length=1, max_length=128), Tag(JOB_TYPE_FORM)]
_TaggedWebhook = Annotated[WebhookFollowUp, Tag(WEBHOOK_FORM)]
_FollowUp = Annotated[_TaggedJobType | _TaggedWebhook, Discriminator(_follow_up_form)]


class JobData(BaseModel):
    """A job to dispatch.

    Creating an instance checks all fields except the payload. The payload is validated during the
    dispatch, with the job type's model.
    """

    # Deferring the build of the validator shortens the cold start.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    job_type: str = Field(
        min_length=1, max_length=128, description="The job type; GET /job-types lists them"
    )
    payload: dict[str, Any] = Field(default_factory=dict, description="The input of the job")
    organization_id: Name = Field(
        default="default",
        description="The organization of the job; leave it at `default` in a single-tenant stack",
    )
    queue_name: Name | None = Field(
        default=None, description="The queue of the job; by default that of its job type"
    )
    run_at: Annotated[AwareDatetime, BeforeValidator(_refuse_unix_timestamp)] | None = Field(
        default=None,
        description="The earliest start, a time with a time zone, at most 30 days from now",
    )
    delay: float | None = Field(
        default=None,
        strict=True,
        ge=0,
        le=MAX_WAIT,
        allow_inf_nan=False,
        description="Seconds from now to the earliest start",
    )
    max_attempts: Annotated[int | None, BeforeValidator(_as_integer)] = Field(
        default=None,
        strict=True,
        ge=1,
        le=1000,
        description="The most attempts of this job, if its type allows that many",
    )
    idempotency_key: str | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        pattern=names.KEY,
        description="Within one organization, the same request under the same key is one job",
    )

    on_end: _FollowUp | None = Field(
        default=None,
        description="The job type to dispatch when the job has ended, or a webhook to post then; "
        "by default that of its type",
    )
    on_failure: _FollowUp | None = Field(
        default=None,
        description="The job type to dispatch when the job has failed, or a webhook to post then; "
        "by default that of its type",
    )

    @model_validator(mode="after")
    def _check_start(self) -> Self:
        if self.run_at is not None:
            if self.delay is not None:
                raise ValueError("give run_at or delay, not both")
            if self.starts_at() > clock.now() + MAX_WAIT * clock.SECOND:
                raise ValueError("run_at may be at most 30 days from now")
        return self

    @model_validator(mode="after")
    def _check_secrets(self) -> Self:
        for name in ("on_end", "on_failure"):
            follow_up = getattr(self, name)
            if isinstance(follow_up, WebhookFollowUp):
                error = secret_error(follow_up.secret, self.organization_id)
                if error is not None:
                    raise ValueError(f"the secret in {name} {error}")
        return self

    def starts_at(self) -> int:
        """Return the job's earliest start, in milliseconds since 1970."""
        if self.run_at is not None:
            return int(self.run_at.timestamp() * clock.SECOND)
        return clock.now() + int((self.delay or 0) * clock.SECOND)


class RerunData(JobData):
    """A job that continues a finished job from a step. Only the API creates instances."""

    rerun_of: dict[str, Any]  # see job_runners.store.copied_steps
