"""Send an event to another system, and keep trying for three days."""

from secrets import SystemRandom
from typing import Any

from pydantic import ConfigDict, Field

from job_runners.clock import DAY, HOUR, MINUTE, SECOND
from job_runners.shipped.webhooks.errors import WebhookFailed
from job_runners.shipped.webhooks.posting import (
    EventId,
    Webhook,
    post_event,
    requested_wait,
    why_not_accepted,
)
from job_runners.work import DoNotRetry, RetryAfter, RunningJob

# The waits after each attempt but the last: the example schedule of the Standard Webhooks
# specification, 75 hours in all. The job's entry allows one more attempt than there are waits.
_WAITS = (
    *(5 * SECOND, 5 * MINUTE, 30 * MINUTE),
    *(2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR),
)
_JITTER = 0.1  # share by which a wait is made shorter or longer, so that jobs don't retry together
_LONGEST_WAIT = DAY // SECOND  # the longest Retry-After that is followed


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
    """Send the event until its receiver accepts it with a 2xx.

    The receiver may get it twice, with the same webhook-id. A 410 ends the job at once, because the
    receiver asks for no more events. Any other response (even a redirect) and any network failure
    lead to another try, because a receiver that answers 404 today may be deployed tomorrow.
    """
    _check_secret(job, payload)
    try:
        answer = post_event(payload, payload.event_id or job.id)
    except WebhookFailed as failed:
        if job.last_attempt:
            raise
        raise RetryAfter(_wait(job.attempt), str(failed)) from failed
    why = why_not_accepted(answer)
    if why is None:
        return {"status": answer.status, "attempts": job.attempt}
    if answer.status == 410:
        raise DoNotRetry(f"the webhook at {payload.host} {why}")
    if job.last_attempt:
        raise WebhookFailed(payload.host, f"{why}; attempt {job.attempt} was the last")
    wait = max(_wait(job.attempt), min(requested_wait(answer) or 0, _LONGEST_WAIT))
    raise RetryAfter(wait, f"the webhook at {payload.host} {why}")


def _check_secret(job: RunningJob, payload: PostWebhook) -> None:
    """Raise DoNotRetry unless the secret belongs to the job's organization.

    Otherwise a caller could dispatch jobs for one organization and sign events as another.
    """
    if not payload.secret.startswith(f"{job.organization_id}/"):
        raise DoNotRetry(
            f"the secret {payload.secret!r} doesn't belong to this organization, whose secrets "
            f"have names like {job.organization_id}/..."
        )


def _wait(attempt: int) -> float:
    """Return the seconds until the next attempt."""
    wait = _WAITS[min(attempt, len(_WAITS)) - 1] / SECOND
    return wait * SystemRandom().uniform(1 - _JITTER, 1 + _JITTER)
