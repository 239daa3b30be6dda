"""The endpoints of tasks: send one, list those that failed, send one of these again."""

import re
from collections.abc import Mapping
from typing import Any

import runners
from api import log, requests, responses, views
from api.access import Caller
from api.query import page_query
from api.responses import Response, respond
from errors import InvalidCursor
from runners import redriving
from runners.dispatch import noting_the_task
from runners.errors import FailedTaskNotFound
from store import failed_tasks

_ID = re.compile("[0-9a-f]{32}")


def post_task(event: Mapping[str, Any], _caller: Caller) -> Response:
    """Send a task: a small call that nothing tracks. Its id is that of its lines in the log."""
    task = requests.task_data(event)
    with noting_the_task() as accepted:
        runners.get_job_runner().dispatch_task(task.task_name, task.payload)
    log.task_accepted(task.task_name, accepted.id)
    return respond(202, {"id": accepted.id, "task_name": task.task_name, "status": "sent"})


def get_failed(event: Mapping[str, Any], _caller: Caller) -> Response:
    """List the tasks of the last week that failed for good. Tasks are of no organisation, and what
    they raise may name anybody."""
    query = page_query(event)
    if query.cursor is not None and not _ID.fullmatch(query.cursor):
        raise InvalidCursor
    found = failed_tasks.newest(limit=query.limit + 1, before=query.cursor)
    shown = _that_fit([views.failed_task(each) for each in found[: query.limit]])
    cursor = shown[-1]["id"] if len(found) > len(shown) else None
    return respond(200, {"tasks": shown, "cursor": cursor})


def _that_fit(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return as many, from the first, as a response can carry with what they were given."""
    room = responses.ROOM
    for place, task in enumerate(tasks):
        room -= responses.size(task)
        if room < 0 and place > 0:
            return tasks[:place]
    return tasks


def redrive_task(_event: Mapping[str, Any], _caller: Caller, task_id: str) -> Response:
    """Send a failed task again, under a new id, with what it was given. It stays listed until it
    begins, and begins once, however often this is asked for."""
    if not _ID.fullmatch(task_id):
        raise FailedTaskNotFound(task_id)
    sent = redriving.redrive(task_id)
    log.task_redriven(task_id, sent.name, sent.id)
    return respond(202, {"id": sent.id, "task_name": sent.name, "status": "sent"})
