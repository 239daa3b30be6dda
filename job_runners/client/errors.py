"""The errors that the client raises.

JobRunnersError
    ConfigurationError        nothing was sent: the API or the credentials are missing or unsafe
        NoCredentials  InsecureAddress  StackNotFound
    NoAnswer                  the API was unreachable, or didn't answer in time
        OutcomeUnknown        it is unknown whether a task or a retry was processed
    ApiError                  the API answered with an error
        InvalidRequest  AccessDenied  Conflict  ApiBusy  UnexpectedAnswer  SignalTooLate
        NotFound
            IdempotencyConflict, UniqueConflict, WrongState, SignalConflict: subclasses of Conflict
    UploadRefused             S3 refused a file
    JobFailed  JobCanceled   the job has no result (in models.py, next to Job)
    JobUnfinished             `wait` has timed out; also a TimeoutError
    BatchUnfinished           `wait_batch` has timed out; also a TimeoutError

Each message says what is wrong and how to fix it. `hint` has only the second part.
"""

from collections.abc import Mapping
from typing import Any


class JobRunnersError(Exception):
    """The base class of all errors. `problem` says what is wrong, and `hint` how to fix it."""

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(f"{problem} {hint}".strip())
        self.problem = problem
        self.hint = hint


# --- nothing was sent -----------------------------------------------------------------------------


class ConfigurationError(JobRunnersError):
    """The client can't call the API with its configuration. Nothing was sent."""


class NoCredentials(ConfigurationError):
    """There are no AWS credentials, or they can't be used."""


class InsecureAddress(ConfigurationError):
    """The client would have to send credentials unencrypted over a network."""


class StackNotFound(ConfigurationError):
    """The stack doesn't exist, or isn't a Job Runners stack."""


# --- no answer ------------------------------------------------------------------------------------


class NoAnswer(JobRunnersError):
    """The API was unreachable, closed the connection, or didn't respond in time.

    `may_have_landed` is False if the API has certainly not received the request. `idempotency_key`
    is the key of a dispatch. To avoid a second job, repeat the dispatch with this key, or pass the
    key to `find`.
    """

    def __init__(self, problem: str, hint: str = "", *, may_have_landed: bool = True) -> None:
        super().__init__(problem, hint)
        self.may_have_landed = may_have_landed
        self.idempotency_key: str | None = None


class OutcomeUnknown(NoAnswer):
    """A task or a retry may or may not have been processed. The call was not repeated."""


# --- the API refused ------------------------------------------------------------------------------


# The exception classes by slug. A slug names a problem, and only some have a class of their own.
BY_SLUG: dict[str, type["ApiError"]] = {}


class ApiError(JobRunnersError):
    """The API responded with an error.

    - `status` is the HTTP status.
    - `slug` names the problem, such as `unknown-job-type`. It is empty if the response isn't from a
    Job Runners API.
    - `fields` are the invalid fields of a request, each with `field` and `why`.
    - `request_id` is the id in the API's log.
    - `retry_after` is in seconds.
    - `location` is the address of a redirect.
    - `body` is the JSON object of the response, or empty.
    - `repeated` is True if an earlier attempt of the same call may have been processed.
    """

    def __init_subclass__(cls, slugs: str = "") -> None:
        BY_SLUG.update(dict.fromkeys(slugs.split(), cls))

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
        problem_type = str(self.body.get("type", ""))
        self.slug = problem_type.removeprefix("urn:job-runners:") if ":" in problem_type else ""
        self.fields: tuple[Mapping[str, str], ...] = ()
        if isinstance(self.body.get("errors"), list):
            self.fields = tuple(self.body["errors"])
        self.request_id: str | None = self.body.get("request_id")
        self.retry_after = retry_after
        self.location = location
        self.repeated = False
        self.idempotency_key: str | None = None


class InvalidRequest(ApiError):
    """The request is invalid. For example, its job type is unknown or its payload is invalid."""


class AccessDenied(ApiError):
    """The credentials or their role don't allow this call."""


class NotFound(
    ApiError,
    slugs="job-not-found failed-task-not-found error-group-not-found queue-not-found "
    "schedule-not-found webhook-not-found",
):
    """The job, failed task, error group, queue, schedule or webhook doesn't exist, has expired, or
    isn't visible to this caller."""


class Conflict(ApiError):
    """The current state doesn't allow this call."""


class _ConflictWithJob(Conflict):
    @property
    def job_id(self) -> str:
        """The id of the conflicting job."""
        return str(self.body["job_id"])


class IdempotencyConflict(_ConflictWithJob, slugs="idempotency-conflict"):
    """The idempotency key belongs to another request, which dispatched the job `job_id`."""


class UniqueConflict(_ConflictWithJob, slugs="unique-conflict"):
    """The job type is unique, and the existing job `job_id` does the same work."""


class WrongState(Conflict, slugs="wrong-state"):
    """The job's status doesn't allow this call. For example, only a failed job can be retried."""


class SignalConflict(Conflict, slugs="signal-conflict"):
    """The job has already received a different value of this signal. Only the first one counts."""


class SignalTooLate(ApiError, slugs="signal-too-late"):
    """The job has ended without this signal, or it no longer waits for the signal."""


class ApiBusy(ApiError):
    """The API was overloaded or broken at every attempt that was safe to make."""


class UnexpectedAnswer(ApiError):
    """The response, such as a redirect or a web page, isn't from a Job Runners API."""


class UploadRefused(JobRunnersError):
    """S3 refused a file. `status` is the HTTP status, `code` is S3's code, such as AccessDenied."""

    def __init__(self, problem: str, hint: str, *, status: int, code: str) -> None:
        super().__init__(problem, hint)
        self.status = status
        self.code = code
