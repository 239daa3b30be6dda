"""The endpoints of batches: dispatch one, and show it and its members.

The functions import the modules of batches when they run, because few requests need them.
"""

import re

from job_runners.api import views
from job_runners.api.access import Caller, Event
from job_runners.api.query import members_query
from job_runners.api.responses import Response, respond
from job_runners.api.routes import jobs
from job_runners.errors import InvalidCursor, JobNotFound
from job_runners.shipped.jobs.names import Jobs
from job_runners.store import cursors
from job_runners.store.job_request import JobRequest

_CURSOR_KIND = "b"  # so that cursors of other lists are refused


def dispatch_batch(event: Event, caller: Caller) -> Response:
    """Dispatch many jobs, and optionally another one when all have ended. If a member is invalid,
    nothing is dispatched. The members come with the request, or in a file."""
    from job_runners.api import batch_views, batches

    accepted = batches.dispatch(event, caller)
    headers = views.accepted_headers(accepted, event["requestContext"]["http"]["path"])
    return respond(202, batch_views.batch_view(accepted.row), headers)


def get_batch(_event: Event, caller: Caller, job_id: str) -> Response:
    """Return a batch, and how many of its members have ended. Members of a batch of up to 1,000 are
    counted now. Those of a larger one were counted at `as_of`."""
    from job_runners.api import batch_views

    row = _find_batch(caller, job_id)
    return respond(200, batch_views.batch_view(row), views.retry_after_header(row))


def list_batch_members(event: Event, caller: Caller, job_id: str) -> Response:
    """List the members of a batch in their order. Those that are not dispatched yet are left
    out. Viewers don't see the keys."""
    from job_runners.api import batch_views
    from job_runners.engine.groups import progress
    from job_runners.store.group_members import Reader

    outcome, query = members_query(event)
    start_index = _parse_cursor(query.cursor)
    reader = Reader(progress.group_of_batch(_find_batch(caller, job_id)))
    page = reader.page(start_index, query.limit, outcome)
    cursor = None if page.next is None else cursors.encode(_CURSOR_KIND, str(page.next))
    members = [batch_views.member_view(member) for member in page.members]
    return respond(200, {"members": members, "cursor": cursor})


def _find_batch(caller: Caller, job_id: str) -> JobRequest:
    """Return the job of a batch. Raises JobNotFound, also for a job that isn't a batch."""
    row = jobs.find_job(caller, job_id)
    if row.job_type != Jobs.BATCH:
        raise JobNotFound(job_id)
    return row


def _parse_cursor(cursor: str | None) -> int:
    """Return the index of the first member of a page. Raises InvalidCursor."""
    if cursor is None:
        return 0
    index = cursors.decode(_CURSOR_KIND, cursor)
    if not re.fullmatch("[0-9]{1,6}", index):
        raise InvalidCursor
    return int(index)
