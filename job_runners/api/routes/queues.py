"""The endpoints of queues: show their use, and set or reset their limits."""

from job_runners import names, runners
from job_runners.api import queue_views, requests, setting_requests
from job_runners.api.access import Caller, Event
from job_runners.api.query import optional_organization_query, page_query
from job_runners.api.responses import Response, no_content, respond
from job_runners.engine.control import changing_limits, queues
from job_runners.engine.errors import QueueNotFound
from job_runners.engine.wire.sending import require_sender


def list_queues(event: Event, caller: Caller) -> Response:
    """List the queues that the code uses, by name. Each has its limits, its pause and the first of
    its keys in use. Services also see other queues that are paused or have limits."""
    query = page_query(event)
    page, cursor = queues.list_queues(
        _visible_organization(caller),
        limit=query.limit,
        cursor=query.cursor,
        sees_payloads=caller.sees_payloads,
    )
    views = [queue_views.queue_view(queue) for queue in page]
    return respond(200, {"queues": views, "cursor": cursor})


def get_queue(event: Event, caller: Caller, name: str) -> Response:
    """Show a queue with a page of its keys in use. Each key has the jobs that hold its slots, the
    number of waiting jobs, and the time since which the first of them has waited. A page can be
    short or empty and still have a cursor."""
    query = page_query(event)
    if not names.is_name(name):
        raise QueueNotFound(name)
    queue = queues.describe(
        name,
        _visible_organization(caller),
        limit=query.limit,
        cursor=query.cursor,
        sees_payloads=caller.sees_payloads,
    )
    return respond(200, queue_views.queue_view(queue))


def get_backlog(event: Event, caller: Caller) -> Response:
    """Count the jobs that wait for a worker, and those that run, by queue and job type. At most
    1,000 jobs are read. Jobs that wait in line, under a pause or for something else aren't
    counted. Without `organization_id`, services get the jobs of all organizations."""
    from job_runners.api import backlog_views  # imported here because few requests need it
    from job_runners.engine.tick import backlog

    sample = backlog.sample(optional_organization_query(event, caller))
    return respond(200, backlog_views.backlog_view(sample))


def limit_queue(event: Event, _caller: Caller, name: str) -> Response:
    """Set the limits of a queue, whether it is declared in code or not. A limit that you omit is
    reset to the code's value. A change takes up to 10 seconds. Running jobs continue."""
    requests.check_name(name)
    limits = setting_requests.limits_data(event)
    # A runner without send() could never start the waiting jobs.
    send = require_sender(runners.sender(), name, "can't have limits")
    changed = changing_limits.set_limits(
        name, slots=limits.slots, rate=limits.as_rate(), max_waiting=limits.max_waiting, send=send
    )
    return respond(200, queue_views.limits_view(changed))


def reset_queue(_event: Event, _caller: Caller, name: str) -> Response:
    """Reset a queue to the limits declared in code. A queue that isn't declared then has no
    limits."""
    requests.check_name(name)
    send = require_sender(runners.sender(), name, "can't have other limits")
    changing_limits.reset_limits(name, send)
    return no_content()


def _visible_organization(caller: Caller) -> str | None:
    """Return the only organization whose jobs the caller sees, or None for all."""
    return None if caller.is_service else caller.organization_id
