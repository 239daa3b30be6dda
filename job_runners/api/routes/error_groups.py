"""The endpoints of error groups."""

from collections.abc import Mapping
from typing import Any

from job_runners.api import setting_requests
from job_runners.api.access import Caller
from job_runners.api.json_schema import values
from job_runners.api.query import organization_query
from job_runners.api.responses import Response, respond
from job_runners.engine.errors import ErrorGroupNotFound
from job_runners.work import context

Event = Mapping[str, Any]


def list_error_groups(event: Event, caller: Caller) -> Response:
    """List an organization's error groups, most recently seen first. A group has the failed
    jobs of one type with one kind of error in one function. To list its jobs, use GET /jobs with
    `error_group`."""
    from job_runners.api.error_group_views import (
        ERROR_GROUP,  # imported here because few requests need it
    )
    from job_runners.store import error_groups

    found = error_groups.of_organization(organization_query(event, caller))
    listed = [values(ERROR_GROUP, each) for each in found.groups]
    return respond(200, {"error_groups": listed, "complete": found.complete})


def change_error_group(event: Event, caller: Caller, error_group_id: str) -> Response:
    """Change the note of an error group, or mark it as resolved. Omitted fields don't change. If a
    resolved group fails again, it becomes `regressed`."""
    from job_runners.api.error_group_views import ERROR_GROUP
    from job_runners.store import error_groups

    organization_id = organization_query(event, caller)
    given = setting_requests.failure_data(event).model_dump(exclude_unset=True)
    group = error_groups.find(organization_id, error_group_id)
    if group is None or not error_groups.change(group, given, by=context.recorded_author()):
        raise ErrorGroupNotFound(error_group_id)
    return respond(200, values(ERROR_GROUP, group))
