"""The answer to who has had a job dispatched, whichever way."""

from api import views
from api.responses import Response, respond
from store.job_request import JobRequest
from work import context


def accepted(row: JobRequest, jobs_path: str) -> Response:
    """Return the answer to a dispatch: the job that was saved, the one that the same request made
    before, or the one that was there before as the same work."""
    headers = {"Location": f"{jobs_path}/{row.id}"}
    if row.duplicate is not None:
        headers["Unique-Outcome"] = str(row.duplicate.outcome)
        was_asked_before = row.duplicate.before
    else:
        was_asked_before = row.request_id != context.request_id.get()
    if was_asked_before:
        headers["Idempotent-Replayed"] = "true"
    return respond(202, views.summary(row), headers | views.retry_after(row))
