"""The endpoints of tasks: send a task, list failed tasks, resend a failed task."""

import re
from typing import Any

from job_runners import runners
from job_runners.api import log, requests, responses, views
from job_runners.api.access import Caller, Event
from job_runners.api.query import page_query
from job_runners.api.responses import Response, respond
from job_runners.engine.control import redriving
from job_runners.engine.registry.errors import FailedTaskNotFound
from job_runners.errors import InvalidCursor
from job_runners.store import failed_tasks

_TASK_ID = re.compile("[0-9a-f]{32}")


def send_task(event: Event, _caller: Caller) -> Response:
    """Send a task (not tracked). A task may be lost or run twice. Use a job if that matters. The
    task's id is in its log lines."""
    task = requests.read(requests.TaskData, event)
    task_id = runners.dispatch_task(task.task_name, task.payload)
    log.task_accepted(task.task_name, task_id)
    return respond(202, {"id": task_id, "task_name": task.task_name, "status": "sent"})


def list_failed_tasks(event: Event, _caller: Caller) -> Response:
    """List the tasks that failed permanently in the last week. Only services see them, because
    tasks have no organization, and their errors may name any customer."""
    query = page_query(event)
    if query.cursor is not None and not _TASK_ID.fullmatch(query.cursor):
        raise InvalidCursor
    # Read one record more, to find out whether there is a next page.
    records = failed_tasks.newest(limit=query.limit + 1, before=query.cursor)
    page = records[: query.limit]
    tasks = _first_that_fit([views.failed_task_view(record) for record in page])
    cursor = tasks[-1]["id"] if len(records) > len(tasks) else None
    return respond(200, {"tasks": tasks, "cursor": cursor})


def _first_that_fit(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return as many of the first tasks as fit into a response with their payloads, but at least
    one."""
    bytes_left = responses.MAX_CONTENT_BYTES
    for index, task in enumerate(tasks):
        bytes_left -= responses.size(task)
        if bytes_left < 0 and index > 0:
            return tasks[:index]
    return tasks


def redrive_task(_event: Event, _caller: Caller, task_id: str) -> Response:
    """Resend a failed task with its payload under a new id. The failed task stays listed until the
    resent one starts. It starts only once, even if you repeat this request."""
    if not _TASK_ID.fullmatch(task_id):
        raise FailedTaskNotFound(task_id)
    task = redriving.redrive(task_id)
    log.task_redriven(task_id, task.name, task.id)
    return respond(202, {"id": task.id, "task_name": task.name, "status": "sent"})
