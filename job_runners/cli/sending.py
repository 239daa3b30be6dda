"""Sends HTTP calls that carry credentials: to the address that was meant, and to no other."""

import ipaddress
import urllib.request
from typing import Any
from urllib.parse import urlsplit


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other: urllib would send headers and all to wherever it
    leads, another host included."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Make no request of it."""


_opener = urllib.request.build_opener(_NoRedirects)


def send(call: urllib.request.Request, seconds: float) -> Any:
    """Return the response, as urllib does. Raises HTTPError for a redirect too."""
    return _opener.open(call, timeout=seconds)


def is_private(url: str) -> bool:
    """Return whether nobody on the way can read what is sent there: it is encrypted, or does not
    leave this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return True
    host = parts.hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
