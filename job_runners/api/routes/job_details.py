"""The endpoints for a job's details: its place, children, groups, timeline and log lines."""

from job_runners.api import views, wait_views
from job_runners.api.access import Caller, Event
from job_runners.api.query import page_query
from job_runners.api.responses import Response, respond
from job_runners.api.routes import jobs
from job_runners.engine.control import positions
from job_runners.store import children


def get_place(_event: Event, caller: Caller, job_id: str) -> Response:
    """Return the reason why a job waits, and the number of jobs ahead of it."""
    row = jobs.find_job(caller, job_id)
    organization_id = None if caller.is_service else caller.organization_id
    place = positions.place_of(row, organization_id)
    waits_for = place.waits_for
    if waits_for is not None and waits_for.names and caller.may_signal:
        from job_runners.engine.control import signaling  # here because few jobs wait for signals

        place = place._replace(questions=signaling.questions(row, waits_for.names))
    return respond(200, wait_views.place_view(place, row), views.retry_after_header(row))


def list_children(event: Event, caller: Caller, job_id: str) -> Response:
    """List the jobs that a job has dispatched, in the order of the keys that it gave them, and then
    the members of its groups in their order. Viewers don't see the keys."""
    query = page_query(event)
    parent = jobs.find_job(caller, job_id)
    page = children.page(
        parent, limit=query.limit, cursor=query.cursor, hides_keys=not caller.sees_payloads
    )
    child_views = [views.child_view(child) for child in page.children]
    return respond(200, {"children": child_views, "cursor": page.cursor})


def list_groups(_event: Event, caller: Caller, job_id: str) -> Response:
    """Show the groups of a job, and how many members of each have ended. The jobs in them are among
    the job's children."""
    row = jobs.find_job(caller, job_id)
    if row.last_group_id is None:
        return respond(200, {"groups": []})
    from job_runners.api import batch_views  # imported here because most jobs have no group
    from job_runners.engine.groups import progress

    groups = [
        batch_views.group_view(name, group) for name, group in progress.of_groups(row).items()
    ]
    return respond(200, {"groups": groups})


def get_timeline(_event: Event, caller: Caller, job_id: str) -> Response:
    """Show what a job did and waited for, when, and who did what with it. Viewers see kinds and
    times only."""
    # Imported here because few requests need them.
    from job_runners.api import timeline_views
    from job_runners.engine.control import timeline

    row = jobs.find_job(caller, job_id)
    job_timeline = timeline.read(row, hides_names=not caller.sees_payloads)
    return respond(200, timeline_views.timeline_view(job_timeline))


def read_logs(_event: Event, caller: Caller, job_id: str) -> Response:
    """Show the worker's log lines about a job in time order. Lines appear a few seconds late."""
    from job_runners.api import job_logs  # imported here because few requests need it

    result = job_logs.read(jobs.find_job(caller, job_id))
    return respond(200, {"lines": result.lines, "complete": result.complete})
