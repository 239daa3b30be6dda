"""Build responses. Clients must not cache JSON responses, because they may contain signed URLs."""

import base64
import json
from typing import Any

# The total size of the payloads and other large parts of a response, in bytes. Lambda allows 6 MB
# for the whole response.
MAX_CONTENT_BYTES = 5_500_000


class Response:
    """A response: status, headers, and a body of text or bytes."""

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

    def to_lambda(self) -> dict[str, Any]:
        """Return the response as an HTTP API expects it from a Lambda function (format 2.0)."""
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
        body=_to_json(body),
    )


def no_content() -> Response:
    """Return a successful response without a body."""
    return Response(status_code=204, headers={"Cache-Control": "no-store"})


def size(value: Any) -> int:
    """Return the size of a value in Lambda's response, in bytes.

    The whole response is JSON, and its body is a string in it, so the body is escaped once more.
    Older runtimes also escape all characters outside ASCII.
    """
    return len(json.dumps(_to_json(value)))


def _to_json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # A traceback may have half a surrogate pair, which UTF-8 can't encode.
    return text.encode(errors="replace").decode()
