"""The endpoint that sends a task."""

from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.event_handler import Response

import runners
from api import log, requests
from api.access import Caller
from api.responses import respond
from runners.dispatch import noting_the_task


def post_task(event: Mapping[str, Any], _caller: Caller) -> Response[str]:
    """Send a task: a small call that nothing tracks. Its id is that of its lines in the log."""
    task = requests.task_data(event)
    with noting_the_task() as accepted:
        runners.get_job_runner().dispatch_task(task.task_name, task.payload)
    log.task_accepted(task.task_name, accepted.id)
    return respond(202, {"id": accepted.id, "task_name": task.task_name, "status": "sent"})
