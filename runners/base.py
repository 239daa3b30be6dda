"""The Job Runner API: the three functions a runner exports, and the data of a job to dispatch."""

from typing import Annotated, Any, Protocol, runtime_checkable

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from runners.messages import Message
from store.job_request import JobRequest


def _not_dots(name: str) -> str:
    if name in (".", ".."):
        raise ValueError("must be more than dots")
    return name


# No control characters; no "#" and "/", which join the parts of keys.
_Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=128, pattern=r"^[^#/\x00-\x1f\x7f]+$"),
    AfterValidator(_not_dots),
]


class JobData(BaseModel):
    """A job to dispatch. Checked when made; its payload is checked against its job's model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    job_type: str = Field(min_length=1, max_length=128, description="Which job: see GET /job-types")
    payload: dict[str, Any] = Field(default_factory=dict, description="What the job needs to know")
    organization_id: _Name = Field(
        default="default",
        description="Whose job it is; a single-tenant stack leaves it at `default`",
    )
    campaign_id: _Name | None = None
    queue_name: _Name | None = Field(
        default=None, description="The queue to list it under; by default its job type's"
    )


@runtime_checkable
class JobRunner(Protocol):
    """What the module that JOB_RUNNER names exports. Callers never know which one it is."""

    def fully_configured(self) -> bool:
        """Whether this runner has all it needs. May raise an error that says what is missing."""

    def dispatch_job(self, job_data: JobData) -> JobRequest:
        """Save the job, then send it. Returns the saved row: a job that could not be sent now is
        due, and is sent later. Raises UnknownJobType, InvalidPayload."""

    def dispatch_task(self, task_name: str, payload: Any) -> None:
        """Send the task. Raises UnknownTask, InvalidPayload, PayloadTooLarge, and SendFailed when
        it did not leave: nothing holds it."""


class Send(Protocol):
    """Sends a message without saving anything: for attempts after the first and for rescues.

    A runner's module exports it as `send`, if it can. Raises SendFailed.
    """

    def __call__(self, message: Message, delay: float = 0) -> None:
        """Have the message run, not before `delay` seconds from now."""
