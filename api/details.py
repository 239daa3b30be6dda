"""What there is to know about a job beside the job itself: its children."""

from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.event_handler import Response

from api import control, views
from api.access import Caller
from api.answers import respond
from api.query import page_query
from store import children

Event = Mapping[str, Any]


def get_children(event: Event, caller: Caller, job_id: str) -> Response[str]:
    """The jobs that a job has dispatched, in the order of their keys."""
    query = page_query(event)
    parent = control.job_of(caller, job_id)
    page = children.page(parent, limit=query.limit, cursor=query.cursor)
    listed = [views.child(each) for each in page.children]
    return respond(200, {"children": listed, "cursor": page.cursor})
