"""What there is to know about a job beside the job itself: its children, and what it logged."""

from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.event_handler import Response

from api import control, job_logs, views
from api.access import Caller
from api.query import page_query
from api.responses import respond
from store import children

Event = Mapping[str, Any]


def get_children(event: Event, caller: Caller, job_id: str) -> Response[str]:
    """List the jobs that a job has dispatched, in the order of their keys."""
    query = page_query(event)
    parent = control.job_of(caller, job_id)
    page = children.page(parent, limit=query.limit, cursor=query.cursor)
    listed = [views.child(each) for each in page.children]
    return respond(200, {"children": listed, "cursor": page.cursor})


def get_logs(_event: Event, caller: Caller, job_id: str) -> Response[str]:
    """Show what a job has logged in the worker, in order of time. Lines appear late, by seconds."""
    found = job_logs.read(control.job_of(caller, job_id))
    return respond(200, {"lines": found.lines, "complete": found.complete})
