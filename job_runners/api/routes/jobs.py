"""The endpoints of jobs: dispatch, list, read, cancel, retry, rerun and delete."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from job_runners import names, runners
from job_runners.api import requests, views, wait_views
from job_runners.api.access import Caller
from job_runners.api.errors import InvalidFields
from job_runners.api.query import ListQuery, acting_organization, flag, list_query, page_query
from job_runners.api.responses import Response, no_content, respond
from job_runners.engine.control import caller_actions, positions
from job_runners.engine.registry.registry import registry
from job_runners.errors import FailureNotFound, JobNotFound, PreconditionFailed, WrongState
from job_runners.store import blobs, children, queries
from job_runners.store.job_request import JobRequest, id_under_key

Event = Mapping[str, Any]

# The form of every job id. Other texts aren't looked up.
_ID = re.compile(r"[0-9a-f]{32}")


def dispatch_job(event: Event, caller: Caller) -> Response:
    """Dispatch a job. The job is saved before it is sent to a worker. A repeated request with the
    same idempotency key returns the same job."""
    accepted = runners.get_job_runner().dispatch_job(requests.job_data(event, caller))
    return views.accepted(accepted, event["requestContext"]["http"]["path"])


def dispatch_jobs(event: Event, caller: Caller) -> Response:
    """Dispatch up to 1,000 jobs with one request. If a job is invalid, none is dispatched.
    Otherwise the response has a status for each job. If some are 503, repeat the request: jobs
    that are saved already stay unchanged."""
    from job_runners.api import bulk  # imported here because few requests need it

    return bulk.dispatch(event, caller)


def list_jobs(event: Event, caller: Caller) -> Response:
    """List an organization's jobs, newest first. With `idempotency_key`, return only the job with
    that key."""
    query = list_query(event)
    organization_id = acting_organization(query.organization_id, caller)
    if query.idempotency_key is not None:
        # A consistent read, which also finds a job that was dispatched a moment ago.
        row = _under_key(organization_id, query.idempotency_key)
        found = [views.summary(row)] if row else []
        return respond(200, {"jobs": found, "cursor": None})
    page = queries.page(
        organization_id,
        limit=query.limit,
        cursor=query.cursor,
        status=query.status,
        matches=_filter(query, organization_id),
    )
    jobs = [views.summary(row) for row in page.jobs]
    return respond(200, {"jobs": jobs, "cursor": page.cursor})


def _filter(query: ListQuery, organization_id: str) -> Callable[[JobRequest], bool]:
    """Return the filter of a list. Raises FailureNotFound."""
    if query.failure is None:
        return query.matches
    from job_runners.store import error_groups  # imported here because few requests need it

    group = error_groups.find(organization_id, query.failure)
    if group is None:
        raise FailureNotFound(query.failure)
    key = group.sk
    return lambda row: query.matches(row) and error_groups.fingerprint_of(row).key == key


def get_job(_event: Event, caller: Caller, job_id: str) -> Response:
    """Return one job with its payload and result."""
    row = job_of(caller, job_id)
    return respond(200, views.whole(row), views.retry_after(row))


def get_place(_event: Event, caller: Caller, job_id: str) -> Response:
    """Return the reason why a job waits, and the number of jobs ahead of it."""
    row = job_of(caller, job_id)
    seen_by = None if caller.is_service else caller.organization_id
    place = positions.place_of(row, seen_by)
    waits_for = place.waits_for
    if waits_for is not None and waits_for.names and caller.may_signal:
        from job_runners.engine.control import answering  # few jobs wait for signals

        place = place._replace(questions=answering.questions(row, waits_for.names))
    return respond(200, wait_views.place(place, row), views.retry_after(row))


def list_children(event: Event, caller: Caller, job_id: str) -> Response:
    """List the jobs that a job has dispatched, in the order of the keys that it gave them, and then
    the members of its groups in their order. Viewers don't see the keys."""
    query = page_query(event)
    parent = job_of(caller, job_id)
    page = children.page(
        parent, limit=query.limit, cursor=query.cursor, hides_keys=not caller.sees_payloads
    )
    listed = [views.child(each) for each in page.children]
    return respond(200, {"children": listed, "cursor": page.cursor})


def list_groups(_event: Event, caller: Caller, job_id: str) -> Response:
    """Show the groups of a job, and how many members of each have ended. The jobs in them are among
    the job's children."""
    row = job_of(caller, job_id)
    if row.last_group_id is None:
        return respond(200, {"groups": []})
    from job_runners.api import batch_views  # imported here because most jobs have no group
    from job_runners.engine.groups import progress

    found = progress.of_groups(row)
    listed = [batch_views.group(name, seen) for name, seen in found.items()]
    return respond(200, {"groups": listed})


def read_logs(_event: Event, caller: Caller, job_id: str) -> Response:
    """Show the worker's log lines about a job in time order. Lines appear a few seconds late."""
    from job_runners.api import job_logs  # imported here because few requests need it

    found = job_logs.read(job_of(caller, job_id))
    return respond(200, {"lines": found.lines, "complete": found.complete})


def cancel_job(event: Event, caller: Caller, job_id: str) -> Response:
    """Cancel a job. The members of its groups go on, unless `members` is true. The status is 200 if
    the job is canceled, and 202 if it is running and will stop at its next checkpoint, or once its
    members have ended."""
    stop = caller_actions.cancel_with_members if flag(event, "members") else caller_actions.cancel
    row = job_of(caller, job_id)
    with unless_gone():
        row = stop(row, runners.sender())
    status = 200 if row.status.finished else 202
    return respond(status, views.summary(row), views.retry_after(row))


def retry_job(event: Event, caller: Caller, job_id: str) -> Response:
    """Retry a failed or canceled job from its last checkpoint. With another payload, the job starts
    over."""
    row = job_of(caller, job_id)
    data = requests.retry_data(event)
    with unless_gone():
        row = caller_actions.retry_again(row, runners.sender(), data.payload)
    return respond(202, views.summary(row), views.retry_after(row))


def rerun_job(event: Event, caller: Caller, job_id: str) -> Response:
    """Dispatch a copy of a finished job. The new job has the same type, payload, organization,
    queue, follow-ups and limit of attempts. The finished job doesn't change."""
    row = job_of(caller, job_id)
    if not row.status.finished:
        raise WrongState(row.id, str(row.status), "rerun", "that has ended")
    payload = blobs.get(row.payload, row.payload_key)
    copy = runners.get_job_runner().dispatch_job(requests.copy_of(event, row, payload))
    path = event["requestContext"]["http"]["path"]
    return views.accepted(copy, path.removesuffix(f"/{job_id}/rerun"))


def signal_job(event: Event, caller: Caller, job_id: str, name: str) -> Response:
    """Send a named signal to a job, before or while its function waits for it. The job keeps the
    first value of each name: a different value is refused."""
    from job_runners.engine.control import signaling  # imported here because few requests need it

    row = job_of(caller, job_id)
    if not names.is_name(name):
        raise InvalidFields([{"field": "name", "why": f"must be {names.RULE}"}])
    data = requests.signal_data(event)
    row = signaling.signal(row, name, data.value, runners.sender())
    return respond(200, views.summary(row), views.retry_after(row))


def delete_job(_event: Event, caller: Caller, job_id: str) -> Response:
    """Delete a finished job with its payload, result and files."""
    row = job_of(caller, job_id)
    with unless_gone():
        caller_actions.delete(row)
    return no_content()


def job_of(caller: Caller, job_id: str) -> JobRequest:
    """Return the job with this id. Raises JobNotFound if it doesn't exist or the caller may not see
    it."""
    row = queries.read(job_id) if _ID.fullmatch(job_id) else None
    if row is None or not caller.may_see(row.organization_id):
        raise JobNotFound(job_id)
    return row


def _under_key(organization_id: str, idempotency_key: str) -> JobRequest | None:
    """Return the job that was dispatched with this idempotency key. If that request returned an
    existing unique job instead, return that job. If neither exists, return None."""
    job_id = id_under_key(organization_id, idempotency_key)
    row = queries.read(job_id)
    if row is None and any(job.unique for job in registry().jobs.values()):
        from job_runners.store import answers  # stacks without unique jobs don't need it

        found = answers.find(job_id)
        row = found.row if found is not None else None
    return row


@contextmanager
def unless_gone() -> Iterator[None]:
    """Raise JobNotFound if the job was deleted after it was read."""
    try:
        yield
    except PreconditionFailed as refused:
        if refused.row is None:
            raise JobNotFound(refused.job_id) from refused
        raise
