"""Read the body of a request."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from job_runners.api import strict_json
from job_runners.api.errors import FormBody, UnreadableBody
from job_runners.errors import PayloadTooLarge

# A Lambda event may have 6 MB, and escaping can double the size of the body in the event.
MAX_BYTES = 5 * 1024 * 1024 // 2
MAX_FILE_BYTES = 4 * 1024 * 1024  # larger, because a file arrives as base64 without escapes

_MAX_FORM_FIELDS = 20
_URL_ENCODED = "application/x-www-form-urlencoded"
_FORM_TYPES = (_URL_ENCODED, "multipart/form-data")


def read_object(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON object in a request's body. Raises UnreadableBody, FormBody, PayloadTooLarge.

    JSON is accepted even if its content type is that of a form, because `curl -d` labels every body
    as a form. This is safe. A form on another site has no access, because a browser doesn't add a
    signature or a bearer token on its own. The content type only selects the error for a body that
    isn't JSON.
    """
    return _parse_object(event, _decode(_read_bytes(event)))


def read_value(event: Mapping[str, Any]) -> Any:
    """Return the JSON value in a request's body. Raises UnreadableBody, FormBody,
    PayloadTooLarge."""
    return _parse_value(event, _decode(_read_bytes(event)))


def read_form(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an HTML form or of a JSON object in a request's body. Raises
    UnreadableBody, PayloadTooLarge."""
    text = _decode(_read_bytes(event))
    if text.lstrip().startswith("{") or _content_type(event) != _URL_ENCODED:
        return _parse_object(event, text)
    try:
        fields = parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FORM_FIELDS)
    except ValueError:
        raise UnreadableBody(f"The form has more than {_MAX_FORM_FIELDS} fields.") from None
    if len(dict(fields)) < len(fields):
        raise UnreadableBody("The form has a field twice. Send each field once.")
    return dict(fields)


def read_optional_object(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON object in a request's body, or an empty object if the body is empty."""
    text = _decode(_read_bytes(event))
    return _parse_object(event, text) if text.strip() else {}


def _parse_value(event: Mapping[str, Any], text: str, noun: str = "value") -> Any:
    if not text.strip():
        raise UnreadableBody(f"The body is empty. Send a JSON {noun}.")
    try:
        return strict_json.parse(text)
    except strict_json.NotStrict as error:
        if _content_type(event) in _FORM_TYPES and not text.lstrip().startswith("{"):
            raise FormBody from None
        raise UnreadableBody(str(error)) from None


def _parse_object(event: Mapping[str, Any], text: str) -> dict[str, Any]:
    value = _parse_value(event, text, noun="object")
    if not isinstance(value, dict):
        raise UnreadableBody("The body must be a JSON object: {...}.")
    return value


def read_file(event: Mapping[str, Any]) -> bytes:
    """Return a request's body as it was sent. Raises UnreadableBody, PayloadTooLarge."""
    return _read_bytes(event, MAX_FILE_BYTES, "Upload a larger file with job-runners upload.")


def _read_bytes(
    event: Mapping[str, Any],
    limit: int = MAX_BYTES,
    advice: str = "Put large data in the bucket, and its key in the payload.",
) -> bytes:
    body = event.get("body") or ""
    try:
        if event.get("isBase64Encoded"):
            data = base64.b64decode(body, validate=True)
        else:
            data = body.encode()
    except binascii.Error as error:
        raise UnreadableBody(f"The body is marked as base64 but isn't valid: {error}.") from None
    except ValueError:  # base64 with characters outside ASCII, or text with half a surrogate pair
        raise UnreadableBody("The body has characters that its encoding doesn't allow.") from None
    if len(data) > limit:
        raise PayloadTooLarge("The body", len(data), limit, advice)
    return data


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")  # editors on Windows write a byte order mark first
    except UnicodeDecodeError as error:
        raise UnreadableBody(f"The body isn't UTF-8: byte {error.start} is invalid.") from None


def _content_type(event: Mapping[str, Any]) -> str:
    return (header(event, "content-type") or "").split(";")[0].strip().lower()


def header(event: Mapping[str, Any], name: str) -> str | None:
    """Return the value of a header, or None. `name` must be in lowercase. In the request, it may
    have any case."""
    for header_name, value in (event.get("headers") or {}).items():
        if header_name.lower() == name:
            return str(value)
    return None
