"""Rows for the API to show."""

from typing import Any

import job_rows
from job_runners import clock
from job_runners.store import transitions
from job_runners.store.job_request import JobRequest


def saved(
    organization_id: str = "acme", payload: Any = None, run_at: int | None = None
) -> JobRequest:
    return transitions.save(
        transitions.NewJob(
            job_type="sample_once",
            queue_name="default",
            organization_id=organization_id,
            payload=payload or {"number": 1},
            max_attempts=1,
            run_at=run_at,
        )
    ).after


def claimed(**fields: Any) -> JobRequest:
    return job_rows.claimed(saved(**fields), clock.now() + clock.MINUTE)


def succeeded(result: Any, **fields: Any) -> JobRequest:
    return transitions.succeed(claimed(**fields), result).after
