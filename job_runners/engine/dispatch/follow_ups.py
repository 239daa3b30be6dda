"""Check the follow-ups of a job that is dispatched."""

from typing import Any

from job_runners.engine.registry.registry import registry
from job_runners.store import follow_ups


def to_store(kind: str, job_type: str | None, campaign_id: str | None) -> dict[str, Any] | None:
    """Return a follow-up in the form in which the job's row stores it, or None if there is none.

    `kind` is "on_end" or "on_failure". Raises InvalidFollowUp, EntryNotLoaded.
    """
    if job_type is None:
        return None
    job = registry().check_follow_up(kind, job_type, has_campaign=campaign_id is not None)
    attempts = job.retry.max_attempts if job.retry else 1
    return follow_ups.stored_form(job_type, job.queue_name, attempts)
