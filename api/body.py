"""The body of a request: read once, here, before anything else could make something else of it."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from api import strict_json
from api.errors import FormBody, UnreadableBody
from errors import PayloadTooLarge

# Bytes. Lambda's event holds at most 6 MB, and the body in it is escaped: up to twice as long.
LIMIT = 5 * 1024 * 1024 // 2

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def read_object(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON object in a request's body; raises UnreadableBody, FormBody, PayloadTooLarge.

    The content type does not decide: `curl -d` calls every body a form, and none of the ways to be
    a caller (a signature, a bearer token) is sent by a browser on its own. It explains why a body
    that is no JSON isn't.
    """
    return _object(event, _text(_bytes(event)))


def read_optional_object(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same for a request that needs no body: an empty one is an empty object."""
    text = _text(_bytes(event))
    return _object(event, text) if text.strip() else {}


def _object(event: Mapping[str, Any], text: str) -> dict[str, Any]:
    if not text.strip():
        raise UnreadableBody("the body is empty; it must be a JSON object")
    try:
        value = strict_json.parse(text)
    except strict_json.NotStrict as error:
        if _content_type(event) in _FORMS and not text.lstrip().startswith("{"):
            raise FormBody from None
        raise UnreadableBody(str(error)) from None
    if not isinstance(value, dict):
        raise UnreadableBody("the body must be a JSON object: {...}")
    return value


def _bytes(event: Mapping[str, Any]) -> bytes:
    body = event.get("body") or ""
    try:
        if event.get("isBase64Encoded"):
            data = base64.b64decode(body, validate=True)
        else:
            data = body.encode()
    except binascii.Error as error:
        raise UnreadableBody(f"the body is not the base64 it is said to be: {error}") from None
    except ValueError:  # not ASCII where base64 is; half a surrogate pair
        raise UnreadableBody("the body is not text that UTF-8 can hold") from None
    if len(data) > LIMIT:
        advice = "Put what is large in the bucket, and its key in the payload"
        raise PayloadTooLarge("the body", len(data), LIMIT, advice)
    return data


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")  # editors on Windows begin files with a byte order mark
    except UnicodeDecodeError as error:
        raise UnreadableBody(f"the body is not UTF-8: byte {error.start} can't be read") from None


def _content_type(event: Mapping[str, Any]) -> str:
    return (header(event, "content-type") or "").split(";")[0].strip().lower()


def header(event: Mapping[str, Any], name: str) -> str | None:
    """Return a header's value, whatever the case of its name."""
    for each, value in (event.get("headers") or {}).items():
        if each.lower() == name:
            return str(value)
    return None
