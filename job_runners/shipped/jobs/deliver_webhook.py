"""The built-in job that sends an event to one of the organization's webhooks."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from job_runners.errors import DoNotRetry, JobRunnersError
from job_runners.shipped.jobs.post_webhook import PostWebhook, post_webhook
from job_runners.shipped.webhooks.posting import EventId
from job_runners.store import webhooks
from job_runners.work import RunningJob


class Delivery(BaseModel):
    """An event, and the name of the webhook that gets it."""

    model_config = ConfigDict(extra="forbid")

    webhook: str = Field(description="The name of the organization's webhook", examples=["crm"])
    body: dict[str, Any] = Field(
        description="The event, sent as JSON", examples=[{"type": "job.failed"}]
    )
    event_id: EventId | None = Field(default=None, description="By default, the job's id")


def deliver_webhook(job: RunningJob, payload: Delivery) -> dict[str, Any]:
    """Send the event as `post_webhook` does.

    Each attempt reads the webhook's URL and secret, so a change of these also applies to pending
    deliveries.
    """
    job.message = f"webhook {payload.webhook}"
    data = payload.body.get("data")
    organization_id = data.get("organization_id") if isinstance(data, dict) else None
    if organization_id != job.organization_id:
        raise DoNotRetry("The event isn't about this job's organization.")
    webhook = webhooks.find(job.organization_id, payload.webhook)
    if webhook is None:
        raise DoNotRetry(f"the webhook {payload.webhook!r} was deleted")
    event = PostWebhook(
        url=webhook.url, secret=webhook.secret, body=payload.body, event_id=payload.event_id
    )
    try:
        return post_webhook(job, event)
    except JobRunnersError as error:
        # The error only names the host, and lists show it instead of `job.message`.
        error.args = (f"webhook {payload.webhook}: {error}",)
        raise
