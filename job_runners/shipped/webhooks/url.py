"""Parse and check a webhook's URL."""

import re
import socket
from typing import NamedTuple
from urllib.parse import urlsplit

from job_runners.settings import settings
from job_runners.shipped.webhooks.public_address import is_public

_HOST_PATTERN = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")

_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost"})
_PRIVATE_TOP_LEVEL_DOMAINS = frozenset({"internal", "invalid", "local", "localhost", "test"})


class WebhookUrl(NamedTuple):
    """The parts of a URL that a request needs."""

    host: str
    port: int
    path: str  # with the query
    is_loopback: bool = False  # whether the host is this machine, which is called without TLS


def parse_url(url: str) -> WebhookUrl:
    """Return the parts of a URL. Raises ValueError if it isn't allowed.

    This doesn't resolve the host. Before each request, `public_address` checks its addresses.
    """
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(
            "may contain only visible ASCII; write an international host in its xn-- form"
        )
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets without an IPv6 address
        raise ValueError("must name a host") from None
    query = f"?{parts.query}" if parts.query else ""
    path = (parts.path or "/") + query
    is_loopback = parts.scheme == "http" and parts.hostname in _LOOPBACK_HOSTS
    if is_loopback and settings().loopback_webhooks:
        return WebhookUrl(str(parts.hostname), parts.port or 80, path, is_loopback=True)
    if parts.scheme != "https":
        raise ValueError("must begin with https://")
    if "@" in parts.netloc:
        raise ValueError("must not contain a user name or password")
    # An absolute name ends with a dot. The dot must not appear in TLS, so remove it.
    host = (parts.hostname or "").removesuffix(".")
    if not _HOST_PATTERN.fullmatch(host):
        raise ValueError("must name a host")
    if not _may_be_public(host):
        raise ValueError(f"must be on the public internet, and {host} isn't")
    port = 443 if parts.port is None else parts.port
    if port == 0:
        raise ValueError("must not have port 0")
    return WebhookUrl(host, port, path)


def _may_be_public(host: str) -> bool:
    """Return False for a private address, and for a name that can't exist in public DNS."""
    try:
        # Like the resolver, inet_aton accepts unusual forms of addresses, such as 0x7f.1.
        return is_public(socket.inet_ntoa(socket.inet_aton(host)))
    except OSError:  # a name
        _, dot, top_level_domain = host.rpartition(".")
        return bool(dot) and top_level_domain not in _PRIVATE_TOP_LEVEL_DOMAINS
