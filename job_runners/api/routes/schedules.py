"""The endpoints of schedules.

The functions import the modules of schedules when they run, because few requests need them.
"""

from job_runners import names, runners
from job_runners.api import requests, setting_requests, views
from job_runners.api.access import Caller, Event
from job_runners.api.errors import InvalidField
from job_runners.api.query import organization_page_query, organization_query
from job_runners.api.responses import Response, no_content, respond
from job_runners.engine.errors import ScheduleNotFound
from job_runners.engine.wire.sending import require_sender
from job_runners.work.errors import InvalidOccurrences


def list_schedules(event: Event, caller: Caller) -> Response:
    """List an organization's schedules by name, each with its last occurrence and its next one."""
    from job_runners.api import schedule_views
    from job_runners.store import schedules

    organization_id, page = organization_page_query(event, caller)
    listed, cursor = schedules.page(organization_id, limit=page.limit, cursor=page.cursor)
    return respond(200, {"schedules": schedule_views.list_view(listed), "cursor": cursor})


def get_schedule(event: Event, caller: Caller, name: str) -> Response:
    """Show a schedule: its times in words, its last occurrence and the job that it started, and its
    next five occurrences."""
    from job_runners.api import schedule_views
    from job_runners.engine.schedules import schedules

    schedule = schedules.get(organization_query(event, caller), _checked_name(name))
    return respond(200, schedule_views.schedule_view(schedule))


def put_schedule(event: Event, caller: Caller, name: str) -> Response:
    """Create or replace a schedule. The status is 201 for a new schedule, and 200 for a replaced
    one. A paused schedule stays paused. If occurrences are due and haven't started, the latest of
    them starts with the new values."""
    from job_runners.api import schedule_views
    from job_runners.engine.schedules import schedules

    organization_id = organization_query(event, caller)
    requests.check_name(name)
    recurring = requests.read(setting_requests.ScheduleData, event).to_recurring(organization_id)
    schedule, is_new = schedules.put(organization_id, name, recurring)
    return respond(201 if is_new else 200, schedule_views.schedule_view(schedule))


def delete_schedule(event: Event, caller: Caller, name: str) -> Response:
    """Delete a schedule. Its jobs remain."""
    from job_runners.engine.schedules import schedules

    schedules.delete(organization_query(event, caller), _checked_name(name))
    return no_content()


def pause_schedule(event: Event, caller: Caller, name: str) -> Response:
    """Pause a schedule. Occurrences are skipped until you resume it. Running jobs continue. A
    schedule declared in code can also be paused, and stays paused after a deploy."""
    from job_runners.api import schedule_views
    from job_runners.engine.schedules import schedules

    requests.refuse_fields(event)
    schedule = schedules.pause(organization_query(event, caller), _checked_name(name))
    return respond(200, schedule_views.schedule_view(schedule))


def resume_schedule(event: Event, caller: Caller, name: str) -> Response:
    """Resume a paused schedule. If its time zone no longer exists, replace the schedule instead."""
    from job_runners.api import schedule_views
    from job_runners.engine.schedules import schedules

    try:
        schedule = schedules.resume(organization_query(event, caller), _checked_name(name))
    except InvalidOccurrences as error:
        why = f"{error.why}; replace the schedule with one in another time zone"
        raise InvalidField(error.field, why) from None
    return respond(200, schedule_views.schedule_view(schedule))


def run_schedule(event: Event, caller: Caller, name: str) -> Response:
    """Dispatch the schedule's job once now, in addition to its occurrences. This also works while
    the schedule is paused, or while an earlier job is running."""
    from job_runners.engine.schedules import schedules

    requests.refuse_fields(event)
    organization_id = organization_query(event, caller)
    send = require_sender(runners.sender(), _checked_name(name), "must be sent to a worker")
    accepted = schedules.run_now(organization_id, name, send, requests.read_key(event))
    api_path, _, _ = event["requestContext"]["http"]["path"].rpartition("/schedules/")
    return views.accepted_response(accepted, f"{api_path}/jobs")


def _checked_name(name: str) -> str:
    """Return the name. Raises ScheduleNotFound if it isn't a valid name."""
    if not names.is_name(name):
        raise ScheduleNotFound(name)
    return name
