"""What callers do with a job that is there, and with the pauses: cancel, retry, run again, delete,
pause."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from aws_lambda_powertools.event_handler import Response

import names
import runners
from api import requests, views
from api.access import Caller
from api.errors import InvalidFields, PathNotFound
from api.responses import nothing, respond
from errors import JobNotFound, PreconditionFailed, WrongState
from runners import owner_actions, pausing
from runners.registry import registry
from runners.sending import Send, require_sender
from store import blobs, pauses, queries
from store.job_request import JobRequest
from store.pauses import Kind
from work import context

Event = Mapping[str, Any]

# What every id looks like: anything else is known to name no job without looking.
_ID = re.compile(r"[0-9a-f]{32}")


def job_of(caller: Caller, job_id: str) -> JobRequest:
    """The job of this id, if there is one for this caller. Raises JobNotFound."""
    row = queries.read(job_id) if _ID.fullmatch(job_id) else None
    if row is None or not caller.may_see(row.organization_id):
        raise JobNotFound(job_id)
    return row


def cancel_job(_event: Event, caller: Caller, job_id: str) -> Response[str]:
    """Stop a job: 200 if it is, 202 if it runs and has been asked to."""
    row = job_of(caller, job_id)
    with _unless_gone():
        row = owner_actions.cancel(row)
    status = 200 if row.status.finished else 202
    return respond(status, views.summary(row), views.retry_after(row))


def retry_job(event: Event, caller: Caller, job_id: str) -> Response[str]:
    """Do a job again that failed or was cancelled, with another payload if one is given."""
    row = job_of(caller, job_id)
    wanted = requests.retry_data(event)
    with _unless_gone():
        row = owner_actions.retry_again(row, runners.sender(), wanted.payload)
    return respond(202, views.summary(row), views.retry_after(row))


def rerun_job(event: Event, caller: Caller, job_id: str) -> Response[str]:
    """Dispatch a new job like one that has ended: its type, payload, organisation, campaign and
    queue. The job that has ended stays as it is."""
    row = job_of(caller, job_id)
    if not row.status.finished:
        raise WrongState(row.id, str(row.status), "run again", "that has ended")
    payload = blobs.get(row.payload, row.payload_key)
    again = runners.get_job_runner().dispatch_job(requests.same_again(event, row, payload))
    path = event["requestContext"]["http"]["path"]
    return accepted(again, path.removesuffix(f"/{job_id}/rerun"))


def accepted(row: JobRequest, jobs_path: str) -> Response[str]:
    """Return the answer to a dispatch: the job that was saved, or the one that the same request
    made before."""
    headers = {"Location": f"{jobs_path}/{row.id}"}
    if row.request_id != context.request_id.get():
        headers["Idempotent-Replayed"] = "true"
    return respond(202, views.summary(row), headers | views.retry_after(row))


def delete_job(_event: Event, caller: Caller, job_id: str) -> Response[str]:
    """Forget a finished job, and all that was kept of it."""
    row = job_of(caller, job_id)
    with _unless_gone():
        owner_actions.delete(row)
    return nothing()


def get_paused(_event: Event, caller: Caller) -> Response[str]:
    """What is paused. A caller of one organisation sees what this stack itself has: the name of any
    other queue may be for another organisation to know."""
    ours = {job.queue_name for job in registry().jobs.values()}
    paused = [
        each
        for each in pauses.current(fresh=True).paused()
        if caller.is_service or each.kind is Kind.JOB_TYPE or each.name in ours
    ]
    return respond(200, {"paused": [views.brake(each) for each in paused]})


def put_paused(_event: Event, _caller: Caller, kind: str, name: str) -> Response[str]:
    """Pause a job type or a queue."""
    which = _named(kind, name)
    _sender(name, "is to be paused")
    return respond(200, views.brake(pausing.pause(which, name)))


def delete_paused(_event: Event, _caller: Caller, kind: str, name: str) -> Response[str]:
    """End a pause, if there is one."""
    which = _named(kind, name)
    pausing.resume(which, name, _sender(name, "is to be resumed"))
    return nothing()


def _named(kind: str, name: str) -> Kind:
    if kind not in list(Kind):
        raise PathNotFound
    if kind == Kind.QUEUE and not names.is_name(name):
        raise InvalidFields([{"field": "name", "why": f"must be {names.RULE}"}])
    return Kind(kind)


def _sender(name: str, need: str) -> Send:
    """Return how parked jobs are sent again: without it nothing may be paused."""
    return require_sender(runners.sender(), name, need)


@contextmanager
def _unless_gone() -> Iterator[None]:
    """Deleted since it was read is not found, as it would have been a moment later."""
    try:
        yield
    except PreconditionFailed as refused:
        if refused.row is None:
            raise JobNotFound(refused.job_id) from refused
        raise
