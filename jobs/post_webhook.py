"""Tells another system of an event, and goes on trying for three days."""

from secrets import SystemRandom
from typing import Any

from pydantic import ConfigDict, Field

from clock import DAY, HOUR, MINUTE, SECOND
from webhooks.errors import WebhookFailed
from webhooks.posting import EventId, Webhook, asked_to_wait, post_event, why_not_taken
from work import DoNotRetry, RetryAfter, RunningJob

# After each attempt but the last: the example schedule of the Standard Webhooks specification,
# 75 hours in all. Its entry has one attempt more than there are waits.
_WAITS = (
    *(5 * SECOND, 5 * MINUTE, 30 * MINUTE),
    *(2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR),
)
_JITTER = 0.1  # of a wait, either way: what failed together should not come back together
_LONGEST_WAIT = DAY // SECOND  # a receiver may not ask for more


class PostWebhook(Webhook):
    """Says which event to send where, and which secret signs it: one of the job's own organisation,
    so that its name begins with the organisation's."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "url": "https://hooks.example.com/campaigns",
                    "body": {"type": "contacts.imported", "campaign": "spring", "rows": 1200},
                    "secret": "acme/main",
                }
            ]
        },
    )

    event_id: EventId | None = Field(
        default=None,
        description="The event's own id, by which receivers tell repeats. Without it, "
        "the job's id is sent, the same in every attempt.",
        examples=["evt_7gQ2"],
    )


def post_webhook(job: RunningJob, payload: PostWebhook) -> dict[str, Any]:
    """Send the event until its receiver takes it with a 2xx. The receiver may get it twice, with
    the same webhook-id.

    410 ends it at once, as the receiver asks to get no more. Any other answer, a redirect included,
    and a network that fails are worth another try: what answers 404 today may be deployed tomorrow.
    """
    _check_secret(job, payload)
    try:
        answer = post_event(payload, payload.event_id or job.id)
    except WebhookFailed as failed:
        if job.last_attempt:
            raise
        raise RetryAfter(_wait(job.attempt), str(failed)) from failed
    why = why_not_taken(answer)
    if why is None:
        return {"status": answer.status, "attempts": job.attempt}
    if answer.status == 410:
        raise DoNotRetry(f"the webhook at {payload.host} {why}")
    if job.last_attempt:
        raise WebhookFailed(payload.host, f"{why}; this was attempt {job.attempt}, the last")
    wait = max(_wait(job.attempt), min(asked_to_wait(answer) or 0, _LONGEST_WAIT))
    raise RetryAfter(wait, f"the webhook at {payload.host} {why}")


def _check_secret(job: RunningJob, payload: PostWebhook) -> None:
    """Raise DoNotRetry unless the secret is the job's own organisation's: with another's, whoever
    may dispatch jobs for this one could sign events in its name."""
    if not payload.secret.startswith(f"{job.organization_id}/"):
        raise DoNotRetry(
            f"secret: {payload.secret!r} is not of this organisation, whose secrets are named "
            f"{job.organization_id}/..."
        )


def _wait(attempt: int) -> float:
    """Return the seconds until the next attempt."""
    wait = _WAITS[min(attempt, len(_WAITS)) - 1] / SECOND
    return wait * SystemRandom().uniform(1 - _JITTER, 1 + _JITTER)
