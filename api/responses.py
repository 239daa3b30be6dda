"""Responses: JSON, and never kept by a cache on the way, for it may hold a signed URL."""

import base64
import json
from typing import Any

# Bytes for what may be large, such as payloads. Lambda's response holds at most 6 MB.
ROOM = 5_500_000


class Response:
    """What is answered: status, headers, and a body of text, or of bytes."""

    def __init__(
        self,
        status_code: int,
        content_type: str | None = None,
        body: str | bytes = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        self.status_code = status_code
        self.body = body
        self.headers = dict(headers or {})
        if content_type is not None:
            self.headers.setdefault("Content-Type", content_type)

    def for_lambda(self) -> dict[str, Any]:
        """Return what a function gives back to an HTTP API (payload format 2.0)."""
        body = self.body
        return {
            "statusCode": self.status_code,
            "headers": self.headers,
            "body": body if isinstance(body, str) else base64.b64encode(body).decode(),
            "isBase64Encoded": isinstance(body, bytes),
        }


def respond(
    status: int,
    body: Any,
    headers: dict[str, str] | None = None,
    *,
    content_type: str = "application/json",
) -> Response:
    """Return a response with a JSON body."""
    return Response(
        status_code=status,
        content_type=content_type,
        headers={"Cache-Control": "no-store", **(headers or {})},
        body=_text(body),
    )


def no_content() -> Response:
    """Return the response to what is done, when there is nothing to say of it."""
    return Response(status_code=204, headers={"Cache-Control": "no-store"})


def size(value: Any) -> int:
    """Return how many bytes a value takes in what Lambda returns: there a body is text in JSON, in
    which older runtimes escape all that is not ASCII."""
    return len(json.dumps(_text(value)))


def _text(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # A traceback may quote half a surrogate pair, which no response can carry.
    return text.encode(errors="replace").decode()
