"""Responses: JSON, and never kept by a cache on the way, for it may hold a signed URL."""

import json
from typing import Any

from aws_lambda_powertools.event_handler import Response


def respond(
    status: int,
    body: Any,
    headers: dict[str, str] | None = None,
    *,
    content_type: str = "application/json",
) -> Response[str]:
    """A response with a JSON body."""
    return Response(
        status_code=status,
        content_type=content_type,
        headers={"Cache-Control": "no-store", **(headers or {})},
        body=json.dumps(body, ensure_ascii=False, separators=(",", ":")),
    )
