"""The endpoints that most requests call: dispatch, list and read jobs.

A row is a job as the table stores it.
"""

import re
from collections.abc import Callable

from job_runners import runners
from job_runners.api import requests, views
from job_runners.api.access import Caller, Event
from job_runners.api.query import ListQuery, acting_organization, list_query
from job_runners.api.responses import Response, respond
from job_runners.engine.errors import ErrorGroupNotFound
from job_runners.engine.registry.registry import registry
from job_runners.errors import JobNotFound
from job_runners.store import queries
from job_runners.store.job_request import JobRequest, id_for_idempotency_key

_JOB_ID = re.compile(r"[0-9a-f]{32}")


def dispatch_job(event: Event, caller: Caller) -> Response:
    """Dispatch a job. The job is saved before it is sent to a worker. A repeated request with the
    same idempotency key returns the same job."""
    accepted = runners.get_job_runner().dispatch_job(requests.read_job(event, caller))
    return views.accepted_response(accepted, event["requestContext"]["http"]["path"])


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
        # The read is consistent, so it also finds a job that was dispatched a moment ago.
        row = _find_by_key(organization_id, query.idempotency_key)
        jobs = [views.summary_view(row)] if row else []
        return respond(200, {"jobs": jobs, "cursor": None})
    page = queries.page(
        organization_id,
        limit=query.limit,
        cursor=query.cursor,
        status=query.status,
        since=query.since,
        until=query.until,
        matches=_filter(query, organization_id),
    )
    jobs = [views.summary_view(row) for row in page.jobs]
    return respond(200, {"jobs": jobs, "cursor": page.cursor})


def _filter(query: ListQuery, organization_id: str) -> Callable[[JobRequest], bool]:
    """Return a function that says whether to list a job. Raises ErrorGroupNotFound."""
    if query.error_group is None:
        return query.matches
    from job_runners.store import error_groups  # imported here because few requests need it

    group = error_groups.find(organization_id, query.error_group)
    if group is None:
        raise ErrorGroupNotFound(query.error_group)

    def is_in_group(row: JobRequest) -> bool:
        return query.matches(row) and error_groups.fingerprint_of(row).key == group.sk

    return is_in_group


def get_job(_event: Event, caller: Caller, job_id: str) -> Response:
    """Return one job with its payload and result."""
    row = find_job(caller, job_id)
    return respond(200, views.full_view(row), views.retry_after_header(row))


def find_job(caller: Caller, job_id: str) -> JobRequest:
    """Return the job with this id. Raises JobNotFound if it doesn't exist, or if the caller may not
    see it."""
    row = queries.read(job_id) if _JOB_ID.fullmatch(job_id) else None
    if row is None or not caller.may_see(row.organization_id):
        raise JobNotFound(job_id)
    return row


def _find_by_key(organization_id: str, idempotency_key: str) -> JobRequest | None:
    """Return the job that was dispatched with this idempotency key, or None.

    If the dispatch returned an existing job that does the same work, return the existing job.
    """
    job_id = id_for_idempotency_key(organization_id, idempotency_key)
    row = queries.read(job_id)
    if row is not None:
        return row
    has_unique_jobs = any(job.unique for job in registry().jobs.values())
    if not has_unique_jobs:
        return None
    from job_runners.store import answers  # imported here because few stacks have unique jobs

    answer = answers.find(job_id)
    return None if answer is None else answer.row
