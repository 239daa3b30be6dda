"""The data of a job to dispatch."""

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
from job_runners.work.definitions import LONGEST_WAIT
from job_runners.work.payloads import JOB_TYPE_FORM, WEBHOOK_FORM


def _not_dots(name: str) -> str:
    if name in names.DOTS:
        raise ValueError("must be more than dots")
    return name


def _whole(value: object) -> object:
    """Return 3 for 3.0, which JSON Schema calls an integer too."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _not_a_number(value: Any) -> Any:
    """Refuse seconds since 1970. They have no time zone, but pydantic accepts them, even as
    text."""
    number = isinstance(value, int | float)
    if number or (isinstance(value, str) and not re.match(r"\d{4}-", value)):
        raise ValueError("must be a time with a time zone, such as 2026-05-04T09:30:00+02:00")
    return value


Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=names.MAX_LENGTH, pattern=names.NAME),
    AfterValidator(_not_dots),
]


def _checked_url(url: str) -> str:
    from job_runners.shipped.webhooks.url import parse  # imported here because few jobs need it

    parse(url)
    return url


WebhookUrl = Annotated[
    str,
    Field(
        max_length=2048,
        description="The receiver: an https URL on the public internet",
        json_schema_extra={"pattern": "^https://[!-~]+$"},
        examples=["https://hooks.example.com/jobs"],
    ),
    AfterValidator(_checked_url),
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


def foreign_secret(secret: str, organization_id: str) -> str | None:
    """Return why an organization can't use a secret, or None if it can: a secret's name begins with
    its organization's."""
    own = f"{organization_id}/"
    return None if secret.startswith(own) else f"must be one of {own}..."


class WebhookFollowUp(BaseModel):
    """A webhook that gets the end of a job, as an event that this secret signs."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    webhook: WebhookUrl
    secret: SecretName


def _form(follow_up: object) -> str:
    return WEBHOOK_FORM if isinstance(follow_up, Mapping | WebhookFollowUp) else JOB_TYPE_FORM


# A job type, or a webhook.
_FollowUp = Annotated[
    Annotated[str, Field(min_length=1, max_length=128), Tag(JOB_TYPE_FORM)]
    | Annotated[WebhookFollowUp, Tag(WEBHOOK_FORM)],
    Discriminator(_form),
]


class JobData(BaseModel):
    """A job to dispatch.

    Creating an instance checks all fields but the payload. The dispatch checks the payload against
    the model of its job.
    """

    # Build the validator at first use, so that the start of a process doesn't wait for it.
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
    run_at: Annotated[AwareDatetime, BeforeValidator(_not_a_number)] | None = Field(
        default=None,
        description="The earliest start, a time with a time zone, at most 30 days from now",
    )
    delay: float | None = Field(
        default=None,
        strict=True,
        ge=0,
        le=LONGEST_WAIT,
        allow_inf_nan=False,
        description="Seconds from now to the earliest start",
    )
    max_attempts: Annotated[int | None, BeforeValidator(_whole)] = Field(
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
    def _at_most_one_start(self) -> Self:
        if self.run_at is not None:
            if self.delay is not None:
                raise ValueError("give run_at or delay, not both")
            if self.starts_at() > clock.now() + LONGEST_WAIT * clock.SECOND:
                raise ValueError("run_at may be at most 30 days from now")
        return self

    @model_validator(mode="after")
    def _own_secrets(self) -> Self:
        for name in ("on_end", "on_failure"):
            follow_up = getattr(self, name)
            if isinstance(follow_up, WebhookFollowUp):
                why = foreign_secret(follow_up.secret, self.organization_id)
                if why is not None:
                    raise ValueError(f"the secret in {name} {why}")
        return self

    def starts_at(self) -> int:
        """Return the job's earliest start, in milliseconds since 1970."""
        if self.run_at is not None:
            return int(self.run_at.timestamp() * clock.SECOND)
        return clock.now() + int((self.delay or 0) * clock.SECOND)


class RerunData(JobData):
    """A job that continues a finished one from a step. Only the API makes one."""

    rerun_of: dict[str, Any]  # see job_runners.store.copied_steps
