"""The errors of attempts that another one followed: a few words of each of the last ones.

The row is billed on every write, so each is short and there are few; the log has the rest. A row
that never failed has no such attribute.
"""

from typing import Any

from store.job_request import JobRequest, Status

KEPT = 5
_MESSAGE_LIMIT = 150  # characters
_KIND_LIMIT = 80


Errors = list[dict[str, Any]]


def after_attempt(job: JobRequest, error: dict[str, Any], at: int | None) -> Errors:
    """Return the row's earlier errors with this one at the end: that of the attempt which the row
    is in, and which failed at `at`."""
    newest = {"attempt": job.attempt, "at": at, **_in_short(error)}
    return [*_kept(job), newest][-KEPT:]


def after_end(job: JobRequest) -> Errors:
    """Return what is kept of a finished row that has an error and is queued again: that is an
    earlier one now."""
    if _has_last_error(job):
        return _kept(job)
    return after_attempt(job, job.error, job.finished_at)


def _kept(job: JobRequest) -> Errors:
    return job.earlier_errors or []


def _has_last_error(job: JobRequest) -> bool:
    """Return whether a cancelled row's error is of an attempt before its last one."""
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
