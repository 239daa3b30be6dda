"""Check a webhook's URL and split it into its parts."""

import re
from typing import NamedTuple
from urllib.parse import urlsplit

_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")


class WebhookUrl(NamedTuple):
    """The parts of a URL that a request needs."""

    host: str
    port: int
    path: str  # with the query


def parse(url: str) -> WebhookUrl:
    """Return the parts of a URL. Raises ValueError, with the reason, if it isn't allowed.

    public_address checks the addresses of the host.
    """
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(
            "may contain only visible ASCII; write an international host in its xn-- form"
        )
    parts = urlsplit(url)
    if parts.scheme != "https":
        raise ValueError("must begin with https://")
    if "@" in parts.netloc:
        raise ValueError("must not contain a user name or password")
    # The dot at the end of an absolute name doesn't belong in SNI or in a certificate.
    host = (parts.hostname or "").removesuffix(".")
    if not _HOST.fullmatch(host):
        raise ValueError("must name a host")
    port = 443 if parts.port is None else parts.port
    if port == 0:
        raise ValueError("must not have port 0")
    query = f"?{parts.query}" if parts.query else ""
    return WebhookUrl(host, port, (parts.path or "/") + query)
