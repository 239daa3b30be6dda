"""The API Lambda: an HTTP request in, one call, its response out."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.event_handler import Response

from api import control, dashboard_files, details, docs_page, log, openapi, requests, router, views
from api.access import Caller, Role
from api.catalogue import catalogue
from api.errors import InvalidQuery
from api.query import list_query
from api.responses import respond
from api.router import OPEN, Route, Routes
from runners import get_job_runner
from runners.registry import registry
from store import queries

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

Event = Mapping[str, Any]

# A function that can't work fails at its start, and says why.
get_job_runner()
registry()


def handler(event: Mapping[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Answer one request of an HTTP API (payload format 2.0)."""
    with router.about(event):
        return app.resolve(router.routable(event), context)


def post_task(event: Event, _caller: Caller) -> Response[str]:
    """Send a task: a small call that nothing tracks."""
    task = requests.task_data(event)
    get_job_runner().dispatch_task(task.task_name, task.payload)
    log.task_accepted(task.task_name)
    return respond(202, {"task_name": task.task_name, "status": "sent"})


def post_job(event: Event, caller: Caller) -> Response[str]:
    """Accept a job: saved, and sent to be run, or the one that the same request made before."""
    job = requests.job_data(event, caller)
    row = get_job_runner().dispatch_job(job)
    return control.accepted(row, event["requestContext"]["http"]["path"])


def get_job(_event: Event, caller: Caller, job_id: str) -> Response[str]:
    """One job, with its payload and result."""
    row = control.job_of(caller, job_id)
    return respond(200, views.whole(row), views.retry_after(row))


def list_jobs(event: Event, caller: Caller) -> Response[str]:
    """An organisation's jobs, newest first."""
    query = list_query(event)
    organization_id = caller.speaks_for(query.organization_id)
    if organization_id is None:
        raise InvalidQuery("organization_id", "is required")
    dashboard_files = queries.page(
        organization_id,
        limit=query.limit,
        cursor=query.cursor,
        status=query.status,
        matches=query.matches,
    )
    jobs = [views.summary(row) for row in dashboard_files.jobs]
    return respond(200, {"jobs": jobs, "cursor": dashboard_files.cursor})


def get_job_types(_event: Event, _caller: Caller) -> Response[str]:
    """What can be dispatched."""
    return respond(200, catalogue())


def get_openapi(_event: Event, _caller: Caller) -> Response[str]:
    """This API, described for programs (OpenAPI 3.1)."""
    return respond(200, openapi.document(ROUTES))


def get_docs(_event: Event, _caller: Caller) -> Response[str]:
    """This API, described for people."""
    return docs_page.page(openapi.document(ROUTES))


def get_health(_event: Event) -> Response[str]:
    """Whether this function runs. Open to all, so it tells nothing else."""
    return respond(200, {"status": "ok"})


def get_page(event: Event) -> Response[str]:
    """The dashboard."""
    return dashboard_files.page(event)


def get_asset(event: Event, version: str, name: str) -> Response[str]:
    """A file of the dashboard."""
    return dashboard_files.file(event, version, name)


ROUTES: Routes = {
    "/": {"GET": Route(get_page, OPEN)},
    "/assets/<version>/<name>": {"GET": Route(get_asset, OPEN)},
    "/tasks": {"POST": Route(post_task, Role.SERVICE)},
    "/jobs": {"GET": Route(list_jobs, Role.VIEWER), "POST": Route(post_job, Role.OPERATOR)},
    "/jobs/<job_id>": {
        "GET": Route(get_job, Role.VIEWER),
        "DELETE": Route(control.delete_job, Role.OPERATOR),
    },
    "/jobs/<job_id>/children": {"GET": Route(details.get_children, Role.VIEWER)},
    "/jobs/<job_id>/logs": {"GET": Route(details.get_logs, Role.OPERATOR)},
    "/jobs/<job_id>/rerun": {"POST": Route(control.rerun_job, Role.OPERATOR)},
    "/jobs/<job_id>/cancel": {"POST": Route(control.cancel_job, Role.OPERATOR)},
    "/jobs/<job_id>/retry": {"POST": Route(control.retry_job, Role.OPERATOR)},
    "/paused": {"GET": Route(control.get_paused, Role.VIEWER)},
    "/paused/<kind>/<name>": {
        "PUT": Route(control.put_paused, Role.SERVICE),
        "DELETE": Route(control.delete_paused, Role.SERVICE),
    },
    "/job-types": {"GET": Route(get_job_types, Role.VIEWER)},
    "/openapi.json": {"GET": Route(get_openapi, Role.VIEWER)},
    "/docs": {"GET": Route(get_docs, Role.VIEWER)},
    "/health": {"GET": Route(get_health, OPEN)},
}
app = router.resolver(ROUTES)
