"""The endpoints of schedules: what an organisation has done again and again.

Few requests are about them. So what knows them is imported by the first of these, and no start
waits for it.
"""

from collections.abc import Mapping
from typing import Any

import names
import runners
from api import requests
from api.accepted import accepted
from api.access import Caller
from api.errors import InvalidFields
from api.query import organization_page_query, organization_query
from api.responses import Response, no_content, respond
from errors import ScheduleNotFound
from runners.sending import require_sender
from work.errors import InvalidOccurrences

Event = Mapping[str, Any]


def list_schedules(event: Event, caller: Caller) -> Response:
    """List an organization's schedules by name, each with its last occurrence and its next one."""
    from api import schedule_views
    from runners import schedules

    organization_id, part = organization_page_query(event, caller)
    found, cursor = schedules.page(organization_id, limit=part.limit, cursor=part.cursor)
    listed = schedule_views.schedules(found)
    return respond(200, {"schedules": listed, "cursor": cursor})


def get_schedule(event: Event, caller: Caller, name: str) -> Response:
    """Show a schedule: when it comes in words, its last occurrence with the job of that, and its
    next five."""
    from api import schedule_views
    from runners import schedules

    found = schedules.get(organization_query(event, caller), _known(name))
    return respond(200, schedule_views.schedule(found))


def put_schedule(event: Event, caller: Caller, name: str) -> Response:
    """Have a job done again and again: 201 for a new schedule, 200 for one that was there and now
    is as it is given. One that was paused stays so. Of what was due before and has not started, the
    latest starts with what is given now."""
    from api import schedule_views
    from runners import schedules

    organization_id = organization_query(event, caller)
    if not names.is_name(name):
        raise InvalidFields([{"field": "name", "why": f"must be {names.RULE}"}])
    recurring = requests.schedule_data(event).recurring(organization_id)
    found, is_new = schedules.put(organization_id, name, recurring)
    return respond(201 if is_new else 200, schedule_views.schedule(found))


def delete_schedule(event: Event, caller: Caller, name: str) -> Response:
    """Forget a schedule. The jobs that it has dispatched stay."""
    from runners import schedules

    schedules.delete(organization_query(event, caller), _known(name))
    return no_content()


def pause_schedule(event: Event, caller: Caller, name: str) -> Response:
    """Let no occurrence of a schedule start until it is resumed: those that come meanwhile are left
    out. What runs goes on. One that the code declares can be paused too, and stays so."""
    from api import schedule_views
    from runners import schedules

    requests.no_fields(event)
    found = schedules.pause(organization_query(event, caller), _known(name))
    return respond(200, schedule_views.schedule(found))


def resume_schedule(event: Event, caller: Caller, name: str) -> Response:
    """End the pause of a schedule, if it has one. Its zone may be gone since: then it has to be put
    again."""
    from api import schedule_views
    from runners import schedules

    try:
        found = schedules.resume(organization_query(event, caller), _known(name))
    except InvalidOccurrences as error:
        why = f"{error.why}; put the schedule again, with another one"
        raise InvalidFields([{"field": error.field, "why": why}]) from None
    return respond(200, schedule_views.schedule(found))


def run_schedule(event: Event, caller: Caller, name: str) -> Response:
    """Dispatch the job of a schedule once, now, beside its occurrences: paused or not, and whether
    an earlier one runs or not."""
    from runners import schedules

    requests.no_fields(event)
    organization_id = organization_query(event, caller)
    send = require_sender(runners.sender(), _known(name), "is to be run")
    row = schedules.run_now(organization_id, name, send, requests.key_of(event))
    path, _, _ = event["requestContext"]["http"]["path"].rpartition("/schedules/")
    return accepted(row, f"{path}/jobs")


def _known(name: str) -> str:
    """Return a name that there may be. Raises ScheduleNotFound."""
    if not names.is_name(name):
        raise ScheduleNotFound(name)
    return name
