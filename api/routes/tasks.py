"""The endpoint that sends a task."""

from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.event_handler import Response

import runners
from api import log, requests
from api.access import Caller
from api.responses import respond


def post_task(event: Mapping[str, Any], _caller: Caller) -> Response[str]:
    """Send a task: a small call that nothing tracks."""
    task = requests.task_data(event)
    runners.get_job_runner().dispatch_task(task.task_name, task.payload)
    log.task_accepted(task.task_name)
    return respond(202, {"task_name": task.task_name, "status": "sent"})
