"""Check the follow-ups of a job that is dispatched."""

from typing import Any

from job_runners.engine.job_data import WebhookFollowUp
from job_runners.engine.registry.registry import registry
from job_runners.settings import settings
from job_runners.shipped.jobs.names import Jobs
from job_runners.store import follow_ups


def to_store(kind: str, named: str | WebhookFollowUp | None) -> dict[str, Any] | None:
    """Return a follow-up in the form in which the job's row stores it, or None if there is none.

    `kind` is "on_end" or "on_failure". Raises InvalidFollowUp, EntryNotLoaded.
    """
    if named is None:
        return None
    if isinstance(named, WebhookFollowUp):
        return _form(Jobs.ANNOUNCE, webhook={"url": named.webhook, "secret": named.secret})
    registry().check_follow_up(kind, named)
    return _form(named)


def announcement(organization_id: str, job_type: str) -> dict[str, Any] | None:
    """Return the built-in follow-up that tells the stack's outputs and the organization's webhooks
    of the ends that they get, or None if they get none from such a job."""
    if job_type == Jobs.DELIVER_WEBHOOK:
        return None  # or the end of a test would be delivered too
    if settings().announces_every_end:
        return _form(Jobs.ANNOUNCE)
    from job_runners.store import webhooks  # imported here because many stacks have none

    statuses = webhooks.announced_ends(organization_id, job_type)
    return _form(Jobs.ANNOUNCE, statuses=statuses) if statuses else None


def _form(job_type: str, **more: Any) -> dict[str, Any]:
    job = registry().job(job_type)
    return follow_ups.stored_form(str(job_type), job.queue_name, job.attempts(), **more)
