"""Send an event to another system, and give up after some minutes.

The job with the same name tries for three days.
"""

from pydantic import ConfigDict, Field

from job_runners.shipped.webhooks.errors import WebhookFailed
from job_runners.shipped.webhooks.posting import (
    EventId,
    Webhook,
    post_event,
    requested_wait,
    why_not_accepted,
)
from job_runners.work import DoNotRetry, RetryAfter

LONGEST_WAIT = 900.0  # seconds; the longest Retry-After that is followed


class PostWebhook(Webhook):
    """An event, its receiver, and the secret that signs it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "url": "https://hooks.example.com/campaigns",
                    "event_id": "evt_7gQ2",
                    "body": {"type": "contacts.imported", "campaign": "spring", "rows": 1200},
                    "secret": "acme/main",
                }
            ]
        },
    )

    event_id: EventId = Field(
        description="The event's id, the same each time it is sent, by which receivers recognize "
        "repeats.",
        examples=["evt_7gQ2"],
    )


def post_webhook(payload: PostWebhook) -> None:
    """Send the event. The receiver may get it twice, with the same webhook-id.

    2xx is success. After 408, 429, 5xx or a network failure the task tries again, after the
    response's Retry-After if there is one. Every other response, even a redirect, is final.
    """
    answer = post_event(payload, payload.event_id)
    why = why_not_accepted(answer)
    if why is None:
        return
    if answer.status not in (408, 429) and answer.status < 500:
        raise DoNotRetry(f"the webhook at {payload.host} {why}")
    wait = requested_wait(answer)
    if wait is None:
        raise WebhookFailed(payload.host, why)
    raise RetryAfter(min(wait, LONGEST_WAIT), f"the webhook at {payload.host} {why}")
