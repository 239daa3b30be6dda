"""Check the follow-ups of a job that is dispatched."""

from typing import Any

from job_runners.engine.job_data import WebhookFollowUp
from job_runners.engine.registry.registry import registry
from job_runners.shipped.jobs.names import Jobs
from job_runners.store import follow_ups
from job_runners.work import Job


def to_store(
    kind: str, named: str | WebhookFollowUp | None, campaign_id: str | None
) -> dict[str, Any] | None:
    """Return a follow-up in the form in which the job's row stores it, or None if there is none.

    `kind` is "on_end" or "on_failure". Raises InvalidFollowUp, EntryNotLoaded.
    """
    if named is None:
        return None
    if isinstance(named, WebhookFollowUp):
        return announcement({"url": named.webhook, "secret": named.secret})
    job = registry().check_follow_up(kind, named, has_campaign=campaign_id is not None)
    return _form(named, job)


def announcement(webhook: dict[str, str] | None = None) -> dict[str, Any]:
    """Return the built-in follow-up that tells this webhook, or else the stack's outputs."""
    return _form(Jobs.ANNOUNCE, registry().job(Jobs.ANNOUNCE), webhook)


def _form(job_type: str, job: Job, webhook: dict[str, str] | None = None) -> dict[str, Any]:
    attempts = job.retry.max_attempts if job.retry else 1
    return follow_ups.stored_form(str(job_type), job.queue_name, attempts, webhook)
