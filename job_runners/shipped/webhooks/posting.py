"""Post a signed event to a webhook's receiver, and interpret the response."""

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from job_runners import clock
from job_runners.shipped.webhooks import pinned_https
from job_runners.shipped.webhooks.pinned_https import PinnedHost, ResponseHead
from job_runners.shipped.webhooks.public_address import resolve_public_address
from job_runners.shipped.webhooks.signature import signature_headers
from job_runners.shipped.webhooks.signing_secrets import webhook_keys
from job_runners.shipped.webhooks.url import parse_url
from job_runners.store.blobs import compact_json

TIME_LIMIT = 15.0  # seconds to connect, send the event, and get the response's headers

EventId = Annotated[
    str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_-]+$")
]


class Webhook(BaseModel):
    """An event, its receiver, and the name of the secret that signs it."""

    model_config = ConfigDict(extra="forbid")

    url: Annotated[str, StringConstraints(max_length=2048)] = Field(
        description="The receiver: an https URL on the public internet. Write international host "
        "names in their xn-- form.",
        examples=["https://hooks.example.com/orders"],
    )
    body: dict[str, Any] = Field(
        description="The event, sent as JSON.", examples=[{"type": "order.shipped"}]
    )
    secret: Annotated[
        str, StringConstraints(max_length=256, pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$")
    ] = Field(
        description="The name of the signing secret, under the path in WEBHOOK_SECRETS_PATH.",
        examples=["acme/main"],
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        parse_url(url)  # raises ValueError if the URL isn't allowed
        return url

    @property
    def host(self) -> str:
        """The URL's host. Errors don't contain the URL, because its path may be secret."""
        return parse_url(self.url).host


def post_event(webhook: Webhook, event_id: str) -> ResponseHead:
    """Send the event once, and return the response's status and Retry-After.

    Raises WebhookFailed if there is no response, and DoNotRetry for an unusable secret or host.
    """
    url = parse_url(webhook.url)
    keys = webhook_keys(webhook.secret)
    body = compact_json(webhook.body)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "job-runners",
        **signature_headers(event_id, clock.now() // clock.SECOND, body, keys),
    }
    if url.is_loopback:  # allowed only on a developer's machine
        host = PinnedHost(url.host, "127.0.0.1", url.port, uses_tls=False)
    else:
        host = PinnedHost(url.host, resolve_public_address(url.host, url.port), url.port)
    return pinned_https.post(host, url.path, body, headers, TIME_LIMIT)


def refusal_reason(response: ResponseHead) -> str | None:
    """Return why the receiver refused the event, such as "answered 500", or None if it accepted it.

    Errors prefix this text with the receiver's name.
    """
    status = response.status
    if 200 <= status < 300:
        return None
    if status == 410:
        return "answered 410, so it accepts no more events"
    if 300 <= status < 400:
        return f"answered {status}; redirects are not followed"
    return f"answered {status}"


def requested_wait(response: ResponseHead) -> float | None:
    """Return the seconds from now that the Retry-After header requests.

    The header has a number of seconds or a date. Return None if it is missing or malformed.
    """
    retry_after = response.retry_after
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        # Nine digits suffice for 30 years. Hundreds of digits would overflow a float.
        return float(retry_after[:9])
    try:
        retry_at = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):  # OverflowError: the year has too many digits
        return None
    if retry_at.tzinfo is None:
        retry_at = retry_at.replace(tzinfo=UTC)
    return max(0.0, retry_at.timestamp() - clock.now() / clock.SECOND)
