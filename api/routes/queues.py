"""The endpoints of queues: look at their use, limit them, and let the code's limits stand again."""

from collections.abc import Mapping
from typing import Any

import names
import runners
from api import queue_views, requests
from api.access import Caller
from api.errors import InvalidFields
from api.query import page_query
from api.responses import Response, no_content, respond
from errors import QueueNotFound
from runners import changing_limits, queues
from runners.sending import require_sender

Event = Mapping[str, Any]


def list_queues(event: Event, caller: Caller) -> Response:
    """List the queues by name, each with its limits, whether it is paused, and the first of its
    keys in use. They are those of this stack's code; services also see others that are paused or
    limited."""
    query = page_query(event)
    found, cursor = queues.list_queues(
        _seen_by(caller),
        limit=query.limit,
        cursor=query.cursor,
        sees_payloads=caller.sees_payloads,
    )
    return respond(200, {"queues": [queue_views.queue(each) for each in found], "cursor": cursor})


def get_queue(event: Event, caller: Caller, name: str) -> Response:
    """Show a queue with its keys in use, a page at a time: who has their slots, how many wait, and
    since when. A page may be short, even empty, and still have a cursor."""
    query = page_query(event)
    if not names.is_name(name):
        raise QueueNotFound(name)
    found = queues.describe(
        name,
        _seen_by(caller),
        limit=query.limit,
        cursor=query.cursor,
        sees_payloads=caller.sees_payloads,
    )
    return respond(200, queue_views.queue(found))


def put_queue(event: Event, _caller: Caller, name: str) -> Response:
    """Limit a queue, whether the code declares it or not. What is not given is as the code has it.
    It is in force within 10 seconds; what runs goes on."""
    _check_name(name)
    asked = requests.limits_data(event)
    send = require_sender(runners.sender(), name, "is to have limits")  # else nobody is let on
    changed = changing_limits.set_limits(
        name, slots=asked.slots, rate=asked.as_rate(), max_waiting=asked.max_waiting, send=send
    )
    return respond(200, queue_views.queue_limits(changed))


def delete_queue(_event: Event, _caller: Caller, name: str) -> Response:
    """Have the limits that the code declares again: none, for a queue that it does not."""
    _check_name(name)
    send = require_sender(runners.sender(), name, "is to have other limits")
    changing_limits.reset_limits(name, send)
    return no_content()


def _seen_by(caller: Caller) -> str | None:
    return None if caller.is_service else caller.organization_id


def _check_name(name: str) -> None:
    if not names.is_name(name):
        raise InvalidFields([{"field": "name", "why": f"must be {names.RULE}"}])
