"""Measure the units of work of Job Runners in this process."""

import json
from pathlib import Path
from typing import Any

from measuring import measure
from work_unit import JOB_TYPE, PAYLOAD, TASK_NAME


def job(units: int, _recording: str = "") -> None:
    """Measure the dispatch of a job."""
    from job_runners.runners import get_job_runner
    from job_runners.runners.base import JobData

    runner = get_job_runner()
    measure(lambda: runner.dispatch_job(JobData(job_type=JOB_TYPE, payload=PAYLOAD)), units)


def task(units: int, _recording: str = "") -> None:
    """Measure the dispatch of a task."""
    from job_runners.runners import get_job_runner

    runner = get_job_runner()
    measure(lambda: runner.dispatch_task(TASK_NAME, PAYLOAD), units)


def work(units: int, recording: str) -> None:
    """Measure the worker's handling of a message for a job that does nothing."""
    from job_runners.handlers import worker
    from job_runners.testing.lambda_context import Context

    exchanges = json.loads(Path(recording).read_text())
    (message,) = (json.loads(e["request"]) for e in exchanges if e["operation"] == "Invoke")
    context: Any = Context()
    measure(lambda: worker.handler(message, context), units)
