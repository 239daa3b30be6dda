"""The endpoint that lists job types and tasks, with their descriptions and payload schemas."""

import inspect
from dataclasses import asdict
from typing import Any

from job_runners.api.access import Caller, Event
from job_runners.api.payload_schema import PayloadSchema
from job_runners.api.responses import Response, respond
from job_runners.engine.registry.registry import registry
from job_runners.work.definitions import InternalJob, Job, Task


def list_job_types(_event: Event, _caller: Caller) -> Response:
    """List job types and tasks."""
    definitions = registry().loadable()
    jobs = [_job_view(name, job) for name, job in sorted(definitions.jobs.items())]
    tasks = [_view(name, task) for name, task in sorted(definitions.tasks.items())]
    return respond(200, {"jobs": jobs, "tasks": tasks})


def _job_view(name: str, job: Job) -> dict[str, Any]:
    return _view(name, job) | {
        "queue_name": job.queue_name,
        "queues": job.allowed_queues,
        "internal": isinstance(job, InternalJob),
        "unique": asdict(job.unique) if job.unique else None,
    }


def _view(name: str, definition: Job | Task) -> dict[str, Any]:
    first_paragraph = (inspect.getdoc(definition.call) or "").split("\n\n")[0]
    payload_model = definition.payload_model
    return {
        "name": name,
        "description": " ".join(first_paragraph.split()),
        "payload_schema": payload_model.model_json_schema(schema_generator=PayloadSchema),
        "retry": asdict(definition.retry) if definition.retry else None,
        "worker": definition.worker,
    }
