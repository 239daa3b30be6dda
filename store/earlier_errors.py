"""The errors of the last few attempts that were followed by another attempt.

The row is billed on every write, so it keeps only a few words of a few errors; the log has the
rest. A row that never failed lacks the attribute.
"""

from typing import Any

from store.job_request import JobRequest, Status

KEPT = 5
_MESSAGE_LIMIT = 150  # characters
_KIND_LIMIT = 80


Errors = list[dict[str, Any]]


def after_attempt(job: JobRequest, error: dict[str, Any], at: int | None) -> Errors:
    """Return the row's earlier errors and, last, the error of its current attempt, which failed at
    `at`."""
    newest = {"attempt": job.attempt, "at": at, **_in_short(error)}
    return [*_kept(job), newest][-KEPT:]


def after_end(job: JobRequest) -> Errors:
    """Return the earlier errors of a finished row that is queued again, including its last."""
    if _has_last_error(job):
        return _kept(job)
    return after_attempt(job, job.error, job.finished_at)


def _kept(job: JobRequest) -> Errors:
    return job.earlier_errors or []


def _has_last_error(job: JobRequest) -> bool:
    """Return whether a canceled row's error is that of an attempt before its last one."""
    if job.status is not Status.CANCELLED or not _kept(job):
        return False
    newest = _kept(job)[-1]
    before = {"attempt": job.attempt - 1, "at": newest["at"], **_in_short(job.error)}
    return bool(newest == before)


def _in_short(error: dict[str, Any]) -> dict[str, str]:
    return {
        "kind": str(error.get("kind"))[:_KIND_LIMIT],
        "message": str(error.get("message"))[:_MESSAGE_LIMIT],
    }
