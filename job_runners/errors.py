"""Everything that the client raises, in one tree.

JobRunnersError
    ConfigurationError        nothing was sent: it is not known where to, or as whom
        NoCredentials  InsecureAddress  StackNotFound
    NoAnswer                  the API was out of reach, or did not answer in time
        OutcomeUnknown        and whether it has done what it was asked can't be told
    ApiError                  the API has answered, and not with what it was asked for
        InvalidRequest  AccessDenied  Conflict  ApiBusy  UnexpectedAnswer
        JobNotFound  FailedTaskNotFound  QueueNotFound  ScheduleNotFound
            IdempotencyConflict, UniqueConflict, WrongState: a Conflict each
    UploadRefused             S3 did not take a file
    JobFailed  JobCancelled   the job has no result (in models.py, beside Job)
    JobUnfinished             `wait` has reached its timeout; a TimeoutError too

Each message says what is wrong and what to do; `hint` is the second half by itself.
"""

from collections.abc import Mapping
from typing import Any


class JobRunnersError(Exception):
    """Anything that this client raises. `problem` says what is wrong, `hint` what to do."""

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(f"{problem} {hint}".strip())
        self.problem = problem
        self.hint = hint


# --- nothing was sent -----------------------------------------------------------------------------


class ConfigurationError(JobRunnersError):
    """It is not known where the API is, or as whom to call it. Nothing was sent."""


class NoCredentials(ConfigurationError):
    """There are no AWS credentials here, or they can't be read."""


class InsecureAddress(ConfigurationError):
    """Credentials would travel unencrypted over a network."""


class StackNotFound(ConfigurationError):
    """CloudFormation does not know the stack, or it is not one of Job Runners."""


# --- no answer ------------------------------------------------------------------------------------


class NoAnswer(JobRunnersError):
    """The API was out of reach, or broke off, or did not answer in time.

    `may_have_landed` is False if the request certainly never left. `idempotency_key` is that of a
    dispatch: the same dispatch with this key makes no second job, and `find` looks for its job.
    """

    def __init__(self, problem: str, hint: str = "", *, may_have_landed: bool = True) -> None:
        super().__init__(problem, hint)
        self.may_have_landed = may_have_landed
        self.idempotency_key: str | None = None


class OutcomeUnknown(NoAnswer):
    """A task or a retry was sent, and nobody knows whether it was done. It was not repeated."""


# --- the API refused ------------------------------------------------------------------------------


class ApiError(JobRunnersError):
    """The API has answered, and not with what it was asked for.

    `status` is that of HTTP; `slug` names the problem, such as `unknown-job-type`, and is empty if
    it was not our API that answered. `fields` are the wrong ones of a request, each with `field`
    and `why`. `request_id` is what the API's log has. `retry_after` is in seconds. `body` is the
    answer's JSON object, or empty. `repeated` tells that an earlier try of the same call may have
    been done.
    """

    def __init__(
        self,
        problem: str,
        hint: str = "",
        *,
        status: int,
        body: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
        location: str | None = None,
    ) -> None:
        super().__init__(problem, hint)
        self.status = status
        self.body: Mapping[str, Any] = body or {}
        kind = str(self.body.get("type", ""))
        self.slug = kind.removeprefix("urn:job-runners:") if ":" in kind else ""
        listed = self.body.get("errors")
        self.fields: tuple[Mapping[str, str], ...] = (
            tuple(listed) if isinstance(listed, list) else ()
        )
        self.request_id: str | None = self.body.get("request_id")
        self.retry_after = retry_after
        self.location = location
        self.repeated = False
        self.idempotency_key: str | None = None


class InvalidRequest(ApiError):
    """The request can't be served as it is: an unknown job, a payload that does not fit."""


class AccessDenied(ApiError):
    """The credentials, or their role, do not allow this."""


class JobNotFound(ApiError):
    """There is no such job for this caller. It may have expired."""


class FailedTaskNotFound(ApiError):
    """There is no such failed task. It may have begun again, or failed over a week ago."""


class QueueNotFound(ApiError):
    """There is no queue of this name that this caller may know of."""


class ScheduleNotFound(ApiError):
    """The organisation has no schedule of this name."""


class Conflict(ApiError):
    """What is there does not allow this now."""


class _ConflictWithJob(Conflict):
    @property
    def job_id(self) -> str | None:
        """The id of the job that is in the way; None if the API is of a version that says it only
        in words."""
        job_id: str | None = self.body.get("job_id")
        return job_id


class IdempotencyConflict(_ConflictWithJob):
    """The idempotency key was used for another request, which is the job `job_id`."""


class UniqueConflict(_ConflictWithJob):
    """The job is unique, and another one has its place: `job_id`."""


class WrongState(Conflict):
    """The job's status does not allow this: only a job that has failed can be retried."""


class ApiBusy(ApiError):
    """The API is overloaded or broken, still after every repetition that is safe."""


class UnexpectedAnswer(ApiError):
    """What answered does not speak as a Job Runners API does: a redirect, a page, no JSON."""


class UploadRefused(JobRunnersError):
    """S3 did not take a file. `status` is that of HTTP, `code` is S3's, such as AccessDenied."""

    def __init__(self, problem: str, hint: str, *, status: int, code: str) -> None:
        super().__init__(problem, hint)
        self.status = status
        self.code = code
