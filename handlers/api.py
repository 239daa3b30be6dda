"""The API Lambda: an HTTP request in, one call, its response out."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.event_handler import Response

from api import access, exchange, requests, views
from api.answers import respond
from api.catalogue import catalogue
from api.query import list_query
from api.refusals import InvalidQuery
from errors import JobNotFound
from runners import get_job_runner
from runners.registry import registry
from store import queries

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

# What every id looks like: anything else is known to name no job without looking.
_ID = re.compile(r"[0-9a-f]{32}")

# A function that can't work fails at its start, and says why.
get_job_runner()
registry()


def handler(event: Mapping[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Answer one request of an HTTP API (payload format 2.0)."""
    with exchange.about(event):
        return app.resolve(exchange.routable(event), context)


def post_task() -> Response[str]:
    """Send a task: a small call that nothing tracks."""
    access.caller(_event()).require_service()
    task = requests.task_data(_event())
    get_job_runner().dispatch_task(task.task_name, task.payload)
    return respond(202, {"task_name": task.task_name, "status": "sent"})


def post_job() -> Response[str]:
    """Accept a job: saved, and sent to be run."""
    job = requests.job_data(_event(), access.caller(_event()))
    row = get_job_runner().dispatch_job(job)
    location = {"Location": f"{_event()['requestContext']['http']['path']}/{row.id}"}
    return respond(202, views.summary(row), location | views.retry_after(row))


def get_job(job_id: str) -> Response[str]:
    """One job, with its payload and result."""
    caller = access.caller(_event())
    row = queries.read(job_id) if _ID.fullmatch(job_id) else None
    if row is None or not caller.may_see(row.organization_id):
        raise JobNotFound(job_id)
    return respond(200, views.whole(row), views.retry_after(row))


def list_jobs() -> Response[str]:
    """An organisation's jobs, newest first."""
    caller, query = access.caller(_event()), list_query(_event())
    organization_id = caller.speaks_for(query.organization_id)
    if organization_id is None:
        raise InvalidQuery("organization_id", "is required")
    page = queries.page(
        organization_id,
        limit=query.limit,
        cursor=query.cursor,
        status=query.status,
        matches=query.matches,
    )
    jobs = [views.summary(row) for row in page.jobs]
    return respond(200, {"jobs": jobs, "cursor": page.cursor})


def get_job_types() -> Response[str]:
    """What can be dispatched."""
    access.caller(_event())
    return respond(200, catalogue())


def get_health() -> Response[str]:
    """Whether this function runs. Open to all, so it tells nothing else."""
    return respond(200, {"status": "ok"})


app = exchange.resolver(
    {
        "/tasks": {"POST": post_task},
        "/jobs": {"GET": list_jobs, "POST": post_job},
        "/jobs/<job_id>": {"GET": get_job},
        "/job-types": {"GET": get_job_types},
        "/health": {"GET": get_health},
    }
)


def _event() -> dict[str, Any]:
    return app.current_event.raw_event
