"""Tells another system of an event, and gives up after some minutes. The job of this name goes on
for three days."""

from pydantic import ConfigDict, Field

from webhooks.errors import WebhookFailed
from webhooks.posting import EventId, Webhook, asked_to_wait, post_event, why_not_taken
from work import DoNotRetry, RetryAfter

LONGEST_WAIT = 900.0  # seconds; a receiver may not ask for more


class PostWebhook(Webhook):
    """Says which event to send where, and which secret signs it."""

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
        description="The event's own id, the same each time it is sent: receivers tell repeats by "
        "it.",
        examples=["evt_7gQ2"],
    )


def post_webhook(payload: PostWebhook) -> None:
    """Send the event. Its receiver may get it twice, with the same webhook-id.

    2xx is success. 408, 429, 5xx and a network that fails are worth another try, after the
    Retry-After of the answer if it has one; every other answer, a redirect included, is final.
    """
    answer = post_event(payload, payload.event_id)
    why = why_not_taken(answer)
    if why is None:
        return
    if answer.status not in (408, 429) and answer.status < 500:
        raise DoNotRetry(f"the webhook at {payload.host} {why}")
    wait = asked_to_wait(answer)
    if wait is None:
        raise WebhookFailed(payload.host, why)
    raise RetryAfter(min(wait, LONGEST_WAIT), f"the webhook at {payload.host} {why}")
