"""Responses: JSON, and never kept by a cache on the way, for it may hold a signed URL."""

import json
from typing import Any

from aws_lambda_powertools.event_handler import Response

# Bytes for what may be large, such as payloads. Lambda's response holds at most 6 MB.
ROOM = 5_500_000


def respond(
    status: int,
    body: Any,
    headers: dict[str, str] | None = None,
    *,
    content_type: str = "application/json",
) -> Response[str]:
    """Return a response with a JSON body."""
    return Response(
        status_code=status,
        content_type=content_type,
        headers={"Cache-Control": "no-store", **(headers or {})},
        body=_text(body),
    )


def no_content() -> Response[str]:
    """Return the response to what is done, when there is nothing to say of it."""
    return Response(status_code=204, headers={"Cache-Control": "no-store"}, body="")


def size(value: Any) -> int:
    """Return how many bytes a value takes in what Lambda returns: there a body is text in JSON, in
    which older runtimes escape all that is not ASCII."""
    return len(json.dumps(_text(value)))


def _text(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # A traceback may quote half a surrogate pair, which no response can carry.
    return text.encode(errors="replace").decode()
