"""A job's earlier errors: those of the last few failed attempts before its current or last one.

DynamoDB bills the whole row for every write. So the row keeps only a short form of at most five
errors, and the log has the rest. If there are none, the row lacks the attribute.
"""

from typing import Any

from job_runners.store.job_request import JobRequest, Status

MAX_KEPT = 5
_MESSAGE_LIMIT = 150  # characters
_KIND_LIMIT = 80
_MODULE_LIMIT = 120


Errors = list[dict[str, Any]]


def after_attempt(job: JobRequest, error: dict[str, Any], at: int | None) -> Errors:
    """Return a job's earlier errors and the error of its current attempt, which failed at `at`."""
    newest = {"attempt": job.attempt, "at": at, "claim": job.claims, **_in_short(error)}
    return [*_kept(job), newest][-MAX_KEPT:]


def after_end(job: JobRequest) -> Errors:
    """Return the earlier errors and the last error of a finished job that is queued again."""
    if _is_already_listed(job):
        return _kept(job)
    return after_attempt(job, job.error, job.finished_at)


def _kept(job: JobRequest) -> Errors:
    return job.earlier_errors or []


def _is_already_listed(job: JobRequest) -> bool:
    """Return whether the error of a canceled job is already the last of its earlier errors."""
    if job.status is not Status.CANCELED or not _kept(job):
        return False
    newest = _kept(job)[-1]
    listed = {**newest, "attempt": job.attempt - 1, **_in_short(job.error)}
    return bool(newest == listed)


def _in_short(error: dict[str, Any]) -> dict[str, str]:
    message = str(error.get("message"))
    if len(message) > _MESSAGE_LIMIT:
        message = f"{message[: _MESSAGE_LIMIT - 1]}…"
    short = {"kind": str(error.get("kind"))[:_KIND_LIMIT], "message": message}
    module = str(error.get("module", ""))
    if 0 < len(module) <= _MODULE_LIMIT:
        short["module"] = module
    return short if "step" not in error else {**short, "step": error["step"][:_KIND_LIMIT]}
