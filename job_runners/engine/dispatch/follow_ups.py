"""Check a new job's follow-ups, and convert them to the form that its row stores.

A *follow-up* is a job that is dispatched when another job has ended. A webhook is stored as a
follow-up too: as a job that calls the webhook.
"""

from typing import Any

from job_runners.engine.job_data import WebhookFollowUp
from job_runners.engine.registry.registry import registry
from job_runners.settings import settings
from job_runners.shipped.jobs.names import Jobs
from job_runners.store import follow_ups


def to_store(kind: str, follow_up: str | WebhookFollowUp | None) -> dict[str, Any] | None:
    """Return a follow-up in its stored form, or None if there is none.

    `kind` is "on_end" or "on_failure". Raises InvalidFollowUp, FunctionNotLoaded.
    """
    if follow_up is None:
        return None
    if isinstance(follow_up, WebhookFollowUp):
        webhook = {"url": follow_up.webhook, "secret": follow_up.secret}
        return _stored_form(Jobs.ANNOUNCE, webhook=webhook)
    registry().check_follow_up(kind, follow_up)
    return _stored_form(follow_up)


def announcement(organization_id: str, job_type: str) -> dict[str, Any] | None:
    """Return the built-in follow-up that announces a job's end, in its stored form.

    The announcement reports the end to the stack's outputs and the organization's webhooks. Return
    None if none of them asks for the ends of jobs of this type.
    """
    if job_type == Jobs.DELIVER_WEBHOOK:
        return None  # otherwise the end of a test delivery would be delivered too
    if settings().announces_every_end:
        return _stored_form(Jobs.ANNOUNCE)
    from job_runners.store import webhooks  # imported here because many stacks have none

    statuses = webhooks.announced_ends(organization_id, job_type)
    return _stored_form(Jobs.ANNOUNCE, statuses=statuses) if statuses else None


def _stored_form(job_type: str, **options: Any) -> dict[str, Any]:
    job = registry().job(job_type)
    return follow_ups.stored_form(str(job_type), job.queue_name, job.attempts(), **options)
