"""What can be dispatched, as callers see it: names, what they do, and what they need to know."""

import inspect
from dataclasses import asdict
from typing import Any

from api.payload_schema import PayloadSchema
from runners.registry import registry
from work.definitions import Job, Task


def catalogue() -> dict[str, Any]:
    """Every job and task of this stack."""
    return {
        "jobs": [
            _entry(name, job) | {"queue_name": job.queue_name, "needs_campaign": job.needs_campaign}
            for name, job in sorted(registry().jobs.items())
        ],
        "tasks": [_entry(name, task) for name, task in sorted(registry().tasks.items())],
    }


def _entry(name: str, work: Job | Task) -> dict[str, Any]:
    words = inspect.getdoc(work.function) or ""
    return {
        "name": name,
        "description": " ".join(words.split("\n\n")[0].split()),
        "payload_schema": work.payload_model.model_json_schema(schema_generator=PayloadSchema),
        "retry": asdict(work.retry) if work.retry else None,
    }
