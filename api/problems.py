"""Errors as responses: application/problem+json (RFC 9457), and never a traceback.

This is the one place that knows which status an error has.
"""

from typing import Any, NamedTuple

import errors
from api import log
from api.errors import Refusal
from api.responses import Response, respond
from aws.errors import may_pass
from runners.errors import FailedTaskNotFound, NotRedriven, PayloadNotKept
from work import context

CONTENT_TYPE = "application/problem+json"
TYPE = "urn:job-runners:"  # what every type begins with
_RETRY_AFTER = "5"  # seconds
_SHOWN_PROBLEMS = 20
_SHOWN_CHARACTERS = 500


class Kind(NamedTuple):
    """A type of problem."""

    status: int
    slug: str
    title: str


_NOT_SENT = Kind(503, "not-sent", "The task could not be sent")
_IN_DOUBT = Kind(504, "may-have-been-sent", "Nobody knows whether the task was sent")
_NOT_REDRIVEN = Kind(503, "not-redriven", "The failed task could not be sent again")
_UNAVAILABLE = Kind(503, "unavailable", "A service that this needs did not answer")
_UNEXPECTED = Kind(500, "unexpected", "Something went wrong here")
_OURS = {
    _NOT_SENT: "it did not leave and nothing holds it: send it again",
    _IN_DOUBT: "it was not answered in time: sent again, it may run twice",
    _NOT_REDRIVEN: "it may not have left, and is still listed: send it again, it begins once",
    _UNAVAILABLE: (
        "reading again is safe; before you dispatch a job again, look whether it was saved"
    ),
    _UNEXPECTED: "the request was not at fault; the log says more about this request_id",
}

_MOVED = Kind(409, "moved-meanwhile", "The job has moved meanwhile")
_PAYLOAD_GONE = Kind(409, "payload-gone", "The job's payload is no longer kept")
# Details for callers, where the error's own message is meant for the log.
_IN_OTHER_WORDS = {
    _MOVED: "it moved while this was being done, which was not; look at it again",
    _PAYLOAD_GONE: "its payload is gone from the bucket: retry it with one, or dispatch a new job",
}

_KINDS: dict[type[BaseException], Kind] = {
    errors.UnknownJobType: Kind(422, "unknown-job-type", "There is no job of this name"),
    errors.UnknownTask: Kind(422, "unknown-task", "There is no task of this name"),
    errors.InvalidPayload: Kind(422, "invalid-payload", "The payload does not fit"),
    errors.PayloadTooLarge: Kind(413, "too-large", "The request carries too much"),
    errors.QueueFull: Kind(429, "queue-full", "Too many jobs wait in the queue"),
    errors.QuotaReached: Kind(429, "quota-reached", "Too many unfinished jobs"),
    errors.InvalidCursor: Kind(400, "invalid-cursor", "The cursor can't be used"),
    errors.RunnerCannotResend: Kind(409, "not-fully-capable", "This stack can't run such a job"),
    errors.IdempotencyConflict: Kind(409, "idempotency-conflict", "The key was used before"),
    errors.UniqueConflict: Kind(409, "unique-conflict", "Another job has its place"),
    errors.TooManyPaused: Kind(409, "too-many-paused", "Too much is paused"),
    errors.TooManyLimited: Kind(
        409, "too-many-limited", "The limits of too many queues are changed"
    ),
    errors.NothingLimited: Kind(422, "nothing-limited", "That would limit nothing"),
    errors.QueueNotFound: Kind(404, "queue-not-found", "There is no such queue"),
    errors.ScheduleNotFound: Kind(404, "schedule-not-found", "There is no such schedule"),
    errors.ScheduleDeclared: Kind(409, "declared-in-code", "The code declares this schedule"),
    errors.TooManySchedules: Kind(409, "too-many-schedules", "There are too many schedules"),
    errors.ScheduleBusy: Kind(503, "schedule-busy", "Others are changing this schedule"),
    errors.WrongState: Kind(409, "wrong-state", "The job's status does not allow this"),
    errors.PreconditionFailed: _MOVED,
    errors.MissingObject: _PAYLOAD_GONE,
    errors.JobNotFound: Kind(404, "job-not-found", "There is no such job"),
    FailedTaskNotFound: Kind(404, "failed-task-not-found", "There is no such failed task"),
    PayloadNotKept: Kind(409, "payload-not-kept", "The task's payload was not kept"),
    NotRedriven: _NOT_REDRIVEN,
    errors.SendFailed: _NOT_SENT,
    errors.SendInDoubt: _IN_DOUBT,
}


def kinds() -> dict[str, Kind]:
    """Return every type of problem that there can be, by its slug."""
    refusals = [Kind(each.status, each.slug, each.title) for each in Refusal.__subclasses__()]
    found = [*_KINDS.values(), _UNAVAILABLE, _UNEXPECTED, *refusals]
    return {each.slug: each for each in sorted(found)}


def answer(error: Exception) -> Response:
    """Return the response to an error. What nobody expected is logged with its traceback."""
    if isinstance(error, Refusal):
        kind = Kind(error.status, error.slug, error.title)
        return _problem(kind, str(error), error.problems, error.headers)
    kind = _kind(error)
    if kind in _OURS:  # what went wrong here is for the log: it may name functions and tables
        log.went_wrong(error, kind.status)
        headers = {"Retry-After": _RETRY_AFTER} if kind.status == 503 else {}
        return _problem(kind, _OURS[kind], headers=headers)
    detail = _IN_OTHER_WORDS.get(kind) or str(error)
    headers, members = {}, {}
    if isinstance(error, errors.QueueFull | errors.QuotaReached | errors.ScheduleBusy):
        headers = {"Retry-After": str(error.retry_after)}
    if isinstance(error, errors.UniqueConflict | errors.IdempotencyConflict):
        members = {"job_id": error.job_id}
    return _problem(kind, detail, getattr(error, "problems", ()), headers, members)


def _kind(error: Exception) -> Kind:
    for each in type(error).__mro__:
        if each in _KINDS:
            return _KINDS[each]
    return _UNAVAILABLE if may_pass(error) else _UNEXPECTED


def _problem(
    kind: Kind,
    detail: str,
    problems: Any = (),
    headers: dict[str, str] | None = None,
    members: dict[str, Any] | None = None,
) -> Response:
    body: dict[str, Any] = {
        "type": TYPE + kind.slug,
        "title": kind.title,
        "status": kind.status,
        "detail": _short(detail),
        "request_id": context.request_id.get(),
        **(members or {}),
    }
    if problems:
        body["errors"] = [
            {name: _short(value) for name, value in each.items()}
            for each in problems[:_SHOWN_PROBLEMS]
        ]
    return respond(kind.status, body, headers, content_type=CONTENT_TYPE)


def _short(text: str) -> str:
    """Return text, shortened: callers may name a field with two million characters, which an answer
    need not repeat."""
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"
