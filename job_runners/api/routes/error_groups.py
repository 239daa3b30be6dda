"""The endpoints of error groups.

The functions import the modules of error groups when they run, because few requests need them.
"""

from job_runners.api import setting_requests
from job_runners.api.access import Caller, Event
from job_runners.api.json_schema import build_view
from job_runners.api.query import organization_query
from job_runners.api.responses import Response, respond
from job_runners.engine.errors import ErrorGroupNotFound
from job_runners.work import context


def list_error_groups(event: Event, caller: Caller) -> Response:
    """List an organization's error groups, most recently seen first. A group has the failed
    jobs of one type with one kind of error in one function. To list its jobs, use GET /jobs with
    `error_group`."""
    from job_runners.api.error_group_views import ERROR_GROUP
    from job_runners.store import error_groups

    page = error_groups.of_organization(organization_query(event, caller))
    groups = [build_view(ERROR_GROUP, group) for group in page.groups]
    return respond(200, {"error_groups": groups, "complete": page.complete})


def change_error_group(event: Event, caller: Caller, error_group_id: str) -> Response:
    """Change the note of an error group, or mark it as resolved. Omitted fields don't change. If a
    resolved group fails again, it becomes `regressed`."""
    from job_runners.api.error_group_views import ERROR_GROUP
    from job_runners.store import error_groups

    organization_id = organization_query(event, caller)
    changes = setting_requests.error_group_data(event).model_dump(exclude_unset=True)
    group = error_groups.find(organization_id, error_group_id)
    if group is None or not error_groups.change(group, changes, by=context.recorded_author()):
        raise ErrorGroupNotFound(error_group_id)
    return respond(200, build_view(ERROR_GROUP, group))
