"""Requests to the proxy that signs."""

import http.client
from email.message import Message
from typing import Any
from urllib.parse import urlsplit


def ask(
    url: str, method: str = "GET", path: str = "/jobs", body: bytes = b"", **headers: Any
) -> tuple[int, Message, bytes]:
    """Make a call as a browser would; `Sec_Fetch_Site` is the header Sec-Fetch-Site."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    try:
        connection.request(method, parts.path.rstrip("/") + path, body or None, sent)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()
