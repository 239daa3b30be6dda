"""The endpoint that lists job types and tasks, with their descriptions and payloads."""

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
    entries = {
        "jobs": [
            _entry(name, job)
            | {
                "queue_name": job.queue_name,
                "queues": job.allowed_queues,
                "internal": isinstance(job, InternalJob),
                "unique": asdict(job.unique) if job.unique else None,
            }
            for name, job in sorted(definitions.jobs.items())
        ],
        "tasks": [_entry(name, task) for name, task in sorted(definitions.tasks.items())],
    }
    return respond(200, entries)


def _entry(name: str, work: Job | Task) -> dict[str, Any]:
    text = inspect.getdoc(work.call) or ""
    return {
        "name": name,
        "description": " ".join(text.split("\n\n")[0].split()),
        "payload_schema": work.payload_model.model_json_schema(schema_generator=PayloadSchema),
        "retry": asdict(work.retry) if work.retry else None,
        "worker": work.worker,
    }
