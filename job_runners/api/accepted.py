"""The response to every request that dispatches a job."""

from job_runners.api import views
from job_runners.api.responses import Response, respond
from job_runners.store.job_request import JobRequest
from job_runners.work import context


def accepted(row: JobRequest, jobs_path: str) -> Response:
    """Return the response to a dispatch: the new job, the job of an earlier identical request, or
    an existing job that does the same work."""
    headers = {"Location": f"{jobs_path}/{row.id}"}
    if row.duplicate is not None:
        headers["Unique-Outcome"] = str(row.duplicate.outcome)
    if is_repeated(row):
        headers["Idempotent-Replayed"] = "true"
    return respond(202, views.summary(row), headers | views.retry_after(row))


def is_repeated(row: JobRequest) -> bool:
    """Return whether an earlier identical request was answered with this job."""
    if row.duplicate is not None:
        return row.duplicate.before
    return row.request_id != context.request_id.get()
