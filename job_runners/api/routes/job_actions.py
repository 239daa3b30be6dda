"""The endpoints that change a job: cancel, retry, signal and delete it, or dispatch a copy.

A row is a job as the table stores it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from job_runners import runners
from job_runners.api import requests, views
from job_runners.api.access import Caller, Event
from job_runners.api.query import includes_members
from job_runners.api.responses import Response, no_content, respond
from job_runners.api.routes import jobs
from job_runners.engine.control import caller_actions
from job_runners.errors import JobNotFound, PreconditionFailed, WrongState
from job_runners.store import blobs


def cancel_job(event: Event, caller: Caller, job_id: str) -> Response:
    """Cancel a job. The members of its groups go on, unless `members` is true. The status is 200 if
    the job is canceled, and 202 if it is running and will stop at its next checkpoint, or once its
    members have ended."""
    cancel = caller_actions.cancel
    if includes_members(event):
        cancel = caller_actions.cancel_with_members
    row = jobs.find_job(caller, job_id)
    with not_found_if_deleted():
        row = cancel(row, runners.sender())
    status = 200 if row.status.finished else 202
    return respond(status, views.summary_view(row), views.retry_after_header(row))


def retry_job(event: Event, caller: Caller, job_id: str) -> Response:
    """Retry a failed or canceled job from its last checkpoint. With another payload, the job starts
    over."""
    row = jobs.find_job(caller, job_id)
    data = requests.read_optional(requests.RetryData, event)
    with not_found_if_deleted():
        row = caller_actions.retry_again(row, runners.sender(), data.payload)
    return respond(202, views.summary_view(row), views.retry_after_header(row))


def rerun_job(event: Event, caller: Caller, job_id: str) -> Response:
    """Dispatch a copy of a finished job. The new job has the same type, payload, organization,
    queue, follow-ups and limit of attempts. The finished job doesn't change. With `from_step`, the
    new job starts with the results of the steps before that one."""
    row = jobs.find_job(caller, job_id)
    step = requests.read_optional(requests.RerunFields, event).from_step
    if not row.status.finished:
        raise WrongState(row.id, str(row.status), "rerun", "that has ended")
    payload = blobs.get(row.payload, row.payload_key)
    rerun_of = None if step is None else caller_actions.rerun_plan(row, step)
    new_job = requests.copy_job(event, row, payload, rerun_of)
    accepted = runners.get_job_runner().dispatch_job(new_job)
    path = event["requestContext"]["http"]["path"]
    return views.accepted_response(accepted, path.removesuffix(f"/{job_id}/rerun"))


def signal_job(event: Event, caller: Caller, job_id: str, name: str) -> Response:
    """Send a named signal to a job, before or while its function waits for it. The job keeps the
    first value of each name: a different value is refused."""
    from job_runners.engine.control import signaling  # imported here because few requests need it

    row = jobs.find_job(caller, job_id)
    requests.check_name(name)
    data = requests.read(requests.SignalData, event)
    row = signaling.signal(row, name, data.value, runners.sender())
    return respond(200, views.summary_view(row), views.retry_after_header(row))


def delete_job(_event: Event, caller: Caller, job_id: str) -> Response:
    """Delete a finished job with its payload, result and files."""
    row = jobs.find_job(caller, job_id)
    with not_found_if_deleted():
        caller_actions.delete(row)
    return no_content()


@contextmanager
def not_found_if_deleted() -> Iterator[None]:
    """Raise JobNotFound instead of PreconditionFailed if the job was deleted after it was read."""
    try:
        yield
    except PreconditionFailed as error:
        if error.row is None:
            raise JobNotFound(error.job_id) from error
        raise
