"""Turn errors into responses of the type application/problem+json (RFC 9457), without tracebacks.

A problem is the JSON object in such a response. A slug, such as `queue-full`, is the short name of
a kind of problem. Only this module and the classes in `api.errors` choose the statuses of errors.
"""

from typing import Any, NamedTuple

from job_runners import errors
from job_runners.api import log
from job_runners.api.errors import Refusal
from job_runners.api.responses import Response, respond
from job_runners.aws.errors import is_temporary
from job_runners.engine import errors as refusals
from job_runners.engine.registry.errors import FailedTaskNotFound, MaybeNotRedriven, PayloadNotKept
from job_runners.work import context

CONTENT_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:job-runners:"
_RETRY_AFTER = "5"  # seconds
_MAX_FIELD_PROBLEMS = 20  # of one error
_MAX_CHARACTERS = 500  # of one text


class Kind(NamedTuple):
    """A kind of problem. Its `type` in a response is the prefix and the slug."""

    status: int
    slug: str
    title: str


_NOT_SENT = Kind(503, "not-sent", "The task was not sent")
_IN_DOUBT = Kind(504, "may-have-been-sent", "It is unknown whether the task was sent")
_NOT_REDRIVEN = Kind(503, "not-redriven", "It is unknown whether the failed task was resent")
_UNAVAILABLE = Kind(503, "unavailable", "An AWS service didn't answer")
_UNEXPECTED = Kind(500, "unexpected", "Internal error")
# The `detail` of problems that the caller didn't cause.
_SERVER_DETAILS = {
    _NOT_SENT: "The task was not sent, and nothing will send it later. Send it again.",
    _IN_DOUBT: "AWS didn't answer in time. If you send the task again, it may run twice.",
    _NOT_REDRIVEN: "The task is still listed. Resend it: even if it is sent twice, it runs once.",
    _UNAVAILABLE: (
        "You can repeat reads. Before you repeat a dispatch, check whether the job was saved."
    ),
    _UNEXPECTED: "Your request was valid. Find this request_id in the log.",
}

_JOB_CHANGED = Kind(409, "moved-meanwhile", "The job changed in the meantime")
_PAYLOAD_GONE = Kind(409, "payload-gone", "The job's payload was deleted")
# The `detail` that replaces an error's own message, which is only for the log.
_CALLER_DETAILS = {
    _JOB_CHANGED: "Nothing was done, because the job changed. Fetch the job and retry.",
    _PAYLOAD_GONE: "The job's payload was deleted from the bucket. "
    "Retry the job with a payload, or dispatch a new one.",
}

_KINDS: dict[type[BaseException], Kind] = {
    errors.UnknownJobType: Kind(422, "unknown-job-type", "Unknown job type"),
    errors.UnknownTask: Kind(422, "unknown-task", "Unknown task"),
    errors.InvalidPayload: Kind(422, "invalid-payload", "Invalid payload"),
    errors.InvalidFollowUp: Kind(422, "invalid-follow-up", "Invalid follow-up"),
    errors.PayloadTooLarge: Kind(413, "too-large", "The request is too large"),
    errors.QueueFull: Kind(429, "queue-full", "The queue is full"),
    errors.QuotaReached: Kind(429, "quota-reached", "Too many unfinished jobs"),
    errors.InvalidCursor: Kind(400, "invalid-cursor", "Invalid cursor"),
    errors.RunnerCannotResend: Kind(
        409, "runner-cannot-resend", "This stack's runner can't do this"
    ),
    errors.IdempotencyConflict: Kind(
        409, "idempotency-conflict", "The idempotency key is already used"
    ),
    errors.UniqueConflict: Kind(409, "unique-conflict", "Another job does the same work"),
    refusals.TooManyPaused: Kind(409, "too-many-paused", "Too many pauses"),
    refusals.TooManyLimited: Kind(409, "too-many-limited", "Too many queues have changed limits"),
    refusals.NothingLimited: Kind(422, "nothing-limited", "No limits given"),
    refusals.QueueNotFound: Kind(404, "queue-not-found", "Unknown queue"),
    refusals.ErrorGroupNotFound: Kind(404, "error-group-not-found", "Unknown error group"),
    refusals.WebhookNotFound: Kind(404, "webhook-not-found", "Unknown webhook"),
    refusals.WebhooksOff: Kind(409, "webhooks-off", "Webhook subscriptions are turned off"),
    refusals.TooManyWebhooks: Kind(409, "too-many-webhooks", "Too many webhooks"),
    refusals.ScheduleNotFound: Kind(404, "schedule-not-found", "Unknown schedule"),
    refusals.ScheduleDeclared: Kind(409, "declared-in-code", "The schedule is declared in code"),
    refusals.TooManySchedules: Kind(409, "too-many-schedules", "Too many schedules"),
    refusals.ScheduleBusy: Kind(503, "schedule-busy", "Other requests are changing this schedule"),
    errors.RerunRefused: Kind(409, "rerun-refused", "The job can't be rerun from this step"),
    errors.WrongState: Kind(409, "wrong-state", "The job's status doesn't allow this"),
    errors.PreconditionFailed: _JOB_CHANGED,
    errors.MissingObject: _PAYLOAD_GONE,
    refusals.SignalConflict: Kind(409, "signal-conflict", "The signal has another value"),
    refusals.SignalTooLate: Kind(
        410, "signal-too-late", "The job doesn't take the signal any more"
    ),
    refusals.TooManySignals: Kind(409, "too-many-signals", "The job has too many signals"),
    refusals.SignalTooLarge: Kind(413, "too-large", "The request is too large"),
    refusals.SignalBusy: Kind(503, "signal-busy", "The job kept changing"),
    refusals.LinkNotFound: Kind(404, "link-not-found", "Unknown link"),
    refusals.AlreadyAnswered: Kind(409, "already-answered", "Already answered"),
    refusals.LinkOver: Kind(410, "link-over", "Too late"),
    errors.JobNotFound: Kind(404, "job-not-found", "Unknown job"),
    FailedTaskNotFound: Kind(404, "failed-task-not-found", "Unknown failed task"),
    PayloadNotKept: Kind(409, "payload-not-kept", "The task's payload was not kept"),
    MaybeNotRedriven: _NOT_REDRIVEN,
    errors.SendFailed: _NOT_SENT,
    errors.NotReached: Kind(503, "not-reached", "There was no time to save the job"),
    errors.SendInDoubt: _IN_DOUBT,
}


_WITH_RETRY_AFTER = (
    errors.QueueFull | errors.QuotaReached | refusals.ScheduleBusy | refusals.SignalBusy
)


def kinds() -> dict[str, Kind]:
    """Return all kinds of problems, by slug."""
    kinds_of_refusals = [
        Kind(refusal.status, refusal.slug, refusal.title) for refusal in Refusal.__subclasses__()
    ]
    all_kinds = [*_KINDS.values(), _UNAVAILABLE, _UNEXPECTED, *kinds_of_refusals]
    return {kind.slug: kind for kind in sorted(all_kinds)}


def problem_response(error: Exception) -> Response:
    """Return the response to an error. Log the error if the caller didn't cause it."""
    if isinstance(error, Refusal):
        kind = Kind(error.status, error.slug, error.title)
        field_problems = error.problems[: error.max_problems]
        return _problem(kind, str(error), field_problems, error.headers)
    kind = _kind_of(error)
    if kind in _SERVER_DETAILS:  # the error's own message may name tables, so only log it
        log.server_error(error, kind.status)
        headers = {"Retry-After": _RETRY_AFTER} if kind.status == 503 else {}
        return _problem(kind, _SERVER_DETAILS[kind], headers=headers)
    detail = _CALLER_DETAILS.get(kind) or str(error)
    headers, more_fields = {}, {}
    if isinstance(error, _WITH_RETRY_AFTER):
        headers = {"Retry-After": str(error.retry_after)}
    if isinstance(error, errors.UniqueConflict | errors.IdempotencyConflict):
        more_fields = {"job_id": error.job_id}
    field_problems = getattr(error, "problems", ())[:_MAX_FIELD_PROBLEMS]
    return _problem(kind, detail, field_problems, headers, more_fields)


def job_problem(error: Exception) -> dict[str, Any]:
    """Return the problem of one job in a request for many jobs."""
    kind = _kind_of(error)
    return {
        "type": TYPE_PREFIX + kind.slug,
        "title": kind.title,
        "status": kind.status,
        "detail": _shortened(_SERVER_DETAILS.get(kind) or str(error)),
        "job_id": getattr(error, "job_id", None),
    }


def _kind_of(error: Exception) -> Kind:
    """Return the kind of the error's class, or of its closest base class that has a kind."""
    for error_class in type(error).__mro__:
        if error_class in _KINDS:
            return _KINDS[error_class]
    return _UNAVAILABLE if is_temporary(error) else _UNEXPECTED


def _problem(
    kind: Kind,
    detail: str,
    field_problems: Any = (),
    headers: dict[str, str] | None = None,
    more_fields: dict[str, Any] | None = None,
) -> Response:
    body: dict[str, Any] = {
        "type": TYPE_PREFIX + kind.slug,
        "title": kind.title,
        "status": kind.status,
        "detail": _shortened(detail),
        "request_id": context.request_id.get(),
        **(more_fields or {}),
    }
    if field_problems:
        body["errors"] = [
            {name: _shortened(value) for name, value in field_problem.items()}
            for field_problem in field_problems
        ]
    return respond(kind.status, body, headers, content_type=CONTENT_TYPE)


def _shortened(text: Any) -> Any:
    """Shorten a long text, because a caller may send a field name of two million characters."""
    if not isinstance(text, str) or len(text) <= _MAX_CHARACTERS:
        return text
    return f"{text[: _MAX_CHARACTERS - 1]}…"
