"""Posts one event to its receiver, signed, and says what the receiver's answer means."""

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

import clock
from store.blobs import compact_json
from webhooks.pinned_https import Answer, Target, post
from webhooks.public_address import resolve
from webhooks.signature import signed_headers
from webhooks.signing_secrets import webhook_keys
from webhooks.url import parse

TIME_LIMIT = 15.0  # seconds from connecting to the answer's head

EventId = Annotated[
    str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_-]+$")
]


class Webhook(BaseModel):
    """Where to send what, and the name of the secret that signs it."""

    model_config = ConfigDict(extra="forbid")

    url: Annotated[str, StringConstraints(max_length=2048)] = Field(
        description="The receiver: https, on the public internet. International host names are "
        "written in their xn-- form.",
        examples=["https://hooks.example.com/campaigns"],
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

    @property
    def host(self) -> str:
        """Whom errors name: a path may be secret."""
        return parse(self.url).host


def post_event(webhook: Webhook, event_id: str) -> Answer:
    """Send the event once. Raises WebhookFailed if no answer came, DoNotRetry for a secret or a
    host that can't be used."""
    url = parse(webhook.url)
    keys = webhook_keys(webhook.secret)
    body = compact_json(webhook.body)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "job-runners",
        **signed_headers(event_id, clock.now() // clock.SECOND, body, keys),
    }
    target = Target(url.host, resolve(url.host, url.port), url.port)
    return post(target, url.path, body, headers, TIME_LIMIT)


def why_not_taken(answer: Answer) -> str | None:
    """Return what is wrong, in words that follow the receiver's name; None if it took the event."""
    status = answer.status
    if 200 <= status < 300:
        return None
    if status == 410:
        return "answered 410: it wants no events any more"
    return f"answered {status}" + ("; redirects are not followed" if 300 <= status < 400 else "")


def asked_to_wait(answer: Answer) -> float | None:
    """Return the seconds that the receiver asks for, in either form of a Retry-After header; None
    if it says nothing that makes sense."""
    retry_after = answer.retry_after
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
