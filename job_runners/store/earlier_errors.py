"""The errors of a job's failed attempts before the last one.

The error of the last attempt is in another attribute of the row, `error`.

DynamoDB bills the whole row for every write. So the row keeps only the last five of these errors,
in a short form. The log has all of them.
"""

from typing import Any

from job_runners.store.job_request import JobRequest, Status

MAX_KEPT = 5  # errors
# Limits of the fields of the short form, in characters.
_MESSAGE_LIMIT = 150
_KIND_LIMIT = 80
_MODULE_LIMIT = 120


Errors = list[dict[str, Any]]


def after_attempt(job: JobRequest, error: dict[str, Any], at: int | None) -> Errors:
    """Return the earlier errors that a job has after its current attempt failed at `at`.

    They include `error`, the error of that attempt.
    """
    newest = {"attempt": job.attempt, "at": at, "claim": job.claims, **_short_form(error)}
    return [*_earlier_errors(job), newest][-MAX_KEPT:]


def after_end(job: JobRequest) -> Errors:
    """Return the earlier errors that a finished job has after it is queued again.

    They include the error with which it ended.
    """
    if _includes_last_error(job):
        return _earlier_errors(job)
    return after_attempt(job, job.error, job.finished_at)


def _earlier_errors(job: JobRequest) -> Errors:
    return job.earlier_errors or []


def _includes_last_error(job: JobRequest) -> bool:
    """Return whether the earlier errors of a finished job already include its last error.

    They do if the job was canceled between two attempts, because the error of the first of these
    attempts became an earlier error when the attempt ended.
    """
    if job.status is not Status.CANCELED or not _earlier_errors(job):
        return False
    newest = _earlier_errors(job)[-1]
    # How `newest` looks if it is the last error. Its `at` and `claim` aren't compared.
    expected = {**newest, "attempt": job.attempt - 1, **_short_form(job.error)}
    return bool(newest == expected)


def _short_form(error: dict[str, Any]) -> dict[str, str]:
    message = str(error.get("message"))
    if len(message) > _MESSAGE_LIMIT:
        message = f"{message[: _MESSAGE_LIMIT - 1]}…"
    short = {"kind": str(error.get("kind"))[:_KIND_LIMIT], "message": message}
    module = str(error.get("module", ""))
    # Half a module's name is of no use, so a long name is left out.
    if 0 < len(module) <= _MODULE_LIMIT:
        short["module"] = module
    if "step" in error:
        short["step"] = error["step"][:_KIND_LIMIT]
    return short
