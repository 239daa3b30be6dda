"""Tells another system of an event: an HTTPS POST, signed, to a host of its choosing."""

import json
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from errors import DoNotRetry, RetryAfter, WebhookFailed
from store import clock
from webhooks.pinned_https import Answer, Target, post
from webhooks.public_address import resolve
from webhooks.signature import signed_headers
from webhooks.signing_secrets import webhook_key
from webhooks.url import parse

TIME_LIMIT = 15.0  # seconds from connecting to the answer's head
LONGEST_WAIT = 900.0  # seconds; a receiver may not ask for more


class PostWebhook(BaseModel):
    """Where to send which event, and the name of the secret that signs it."""

    model_config = ConfigDict(
        extra="forbid",
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

    url: Annotated[str, StringConstraints(max_length=2048)] = Field(
        description="The receiver: https, on the public internet. International host names are "
        "written in their xn-- form.",
        examples=["https://hooks.example.com/campaigns"],
    )
    event_id: Annotated[
        str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_-]+$")
    ] = Field(
        description="The event's own id, the same each time it is sent: receivers tell repeats by "
        "it.",
        examples=["evt_7gQ2"],
    )
    body: dict[str, Any] = Field(
        description="The event, sent as JSON.", examples=[{"type": "contacts.imported"}]
    )
    secret: Annotated[
        str, StringConstraints(max_length=256, pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$")
    ] = Field(
        description="The name of the signing secret, below the path that WEBHOOK_SECRETS_PATH "
        "gives.",
        examples=["acme/main"],
    )

    @field_validator("url")
    @classmethod
    def _fits(cls, url: str) -> str:
        parse(url)
        return url


def post_webhook(payload: PostWebhook) -> None:
    """Send the event. Whoever receives it may get it twice, with the same webhook-id.

    2xx is success. 408, 429, 5xx and a network that fails are worth another try, after the
    Retry-After of the answer if it has one; every other answer, a redirect included, is final.
    """
    url = parse(payload.url)
    key = webhook_key(payload.secret)
    body = json.dumps(payload.body, ensure_ascii=False, separators=(",", ":")).encode()
    timestamp = clock.now() // clock.SECOND
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "job-runners",
        **signed_headers(payload.event_id, timestamp, body, key),
    }
    target = Target(url.host, resolve(url.host, url.port), url.port)
    _judge(url.host, post(target, url.path, body, headers, TIME_LIMIT))


def _judge(host: str, answer: Answer) -> None:
    status = answer.status
    if 200 <= status < 300:
        return
    if status not in (408, 429) and status < 500:
        why = "; redirects are not followed" if 300 <= status < 400 else ""
        raise DoNotRetry(f"the webhook at {host} answered {status}{why}")
    wait = _seconds(answer.retry_after)
    if wait is None:
        raise WebhookFailed(host, f"answered {status}")
    raise RetryAfter(min(wait, LONGEST_WAIT), f"the webhook at {host} answered {status}")


def _seconds(retry_after: str | None) -> float | None:
    """A Retry-After header's wait, of either form; None if it says nothing that makes sense."""
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    try:
        at = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, at.timestamp() - clock.now() / clock.SECOND)
