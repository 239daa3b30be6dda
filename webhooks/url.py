"""What a webhook's URL may look like, and its parts."""

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
    """Return the parts; raises ValueError, with a reason, for a URL that no webhook may have.

    What the host may resolve to is another question: see public_address.
    """
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("may hold only visible ASCII; an international host has an xn-- form")
    parts = urlsplit(url)
    if parts.scheme != "https":
        raise ValueError("must begin with https://")
    if "@" in parts.netloc:
        raise ValueError("must not hold a user name or password")
    # The dot at the end of an absolute name belongs neither into SNI nor into a certificate.
    host = (parts.hostname or "").removesuffix(".")
    if not _HOST.fullmatch(host):
        raise ValueError("must name a host")
    port = 443 if parts.port is None else parts.port
    if port == 0:
        raise ValueError("port 0 is none")
    query = f"?{parts.query}" if parts.query else ""
    return WebhookUrl(host, port, (parts.path or "/") + query)
