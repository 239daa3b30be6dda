"""The built-in job that sends an event to another system, and retries for three days."""

from secrets import SystemRandom
from typing import Any

from pydantic import ConfigDict, Field

from job_runners.clock import DAY, HOUR, MINUTE, SECOND
from job_runners.shipped.webhooks.errors import WebhookFailed
from job_runners.shipped.webhooks.posting import (
    EventId,
    Webhook,
    post_event,
    refusal_reason,
    requested_wait,
)
from job_runners.work import DoNotRetry, RetryAfter, RunningJob

# The waits between attempts, 75 hours in total. They are the example schedule of the Standard
# Webhooks specification. The Retry in table.py allows one attempt more than there are waits.
_WAITS = (
    5 * SECOND,
    5 * MINUTE,
    30 * MINUTE,
    *(hours * HOUR for hours in (2, 5, 10, 14, 20, 24)),
)
_JITTER = 0.1  # each wait is up to 10% longer or shorter, so that jobs don't retry together
_MAX_RETRY_AFTER = DAY // SECOND  # seconds; a receiver can't request a longer wait


class PostWebhook(Webhook):
    """An event, its receiver, and the secret that signs it.

    The secret must belong to the job's organization, so its name begins with the organization's id.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "url": "https://hooks.example.com/orders",
                    "body": {"type": "order.shipped", "order": "A7"},
                    "secret": "acme/main",
                }
            ]
        },
    )

    event_id: EventId | None = Field(
        default=None,
        description="The event's id, by which receivers recognize repeats. The default is the "
        "job's id, which is the same in every attempt.",
        examples=["evt_7gQ2"],
    )


def post_webhook(job: RunningJob, payload: PostWebhook) -> dict[str, Any]:
    """Send the event, and retry until its receiver accepts it with a 2xx status.

    The receiver may get the event twice, with the same webhook-id. A 410 fails the job at once,
    because the receiver wants no more events. Any other response (even a redirect) and any network
    failure lead to a retry: a receiver that responds with 404 today may be deployed tomorrow.
    """
    _check_secret(job, payload)
    try:
        response = post_event(payload, payload.event_id or job.id)
    except WebhookFailed as error:
        if job.last_attempt:
            raise
        raise RetryAfter(_wait_after(job.attempt), str(error)) from error
    reason = refusal_reason(response)
    if reason is None:
        return {"status": response.status, "attempts": job.attempt}
    if response.status == 410:
        raise DoNotRetry(f"the webhook at {payload.host} {reason}")
    if job.last_attempt:
        raise WebhookFailed(payload.host, f"{reason}; attempt {job.attempt} was the last")
    retry_after = min(requested_wait(response) or 0, _MAX_RETRY_AFTER)
    wait = max(_wait_after(job.attempt), retry_after)
    raise RetryAfter(wait, f"the webhook at {payload.host} {reason}")


def _check_secret(job: RunningJob, payload: PostWebhook) -> None:
    """Raise DoNotRetry unless the secret belongs to the job's organization.

    Otherwise one organization could send events that another organization's secret signs.
    """
    if not payload.secret.startswith(f"{job.organization_id}/"):
        raise DoNotRetry(
            f"the secret {payload.secret!r} doesn't belong to this organization, whose secrets "
            f"have names like {job.organization_id}/..."
        )


def _wait_after(attempt: int) -> float:
    """Return the seconds to wait between this attempt and the next, with jitter."""
    index = min(attempt, len(_WAITS)) - 1
    return _WAITS[index] / SECOND * SystemRandom().uniform(1 - _JITTER, 1 + _JITTER)
