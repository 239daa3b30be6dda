"""Protect the local AWS from other programs and from web pages.

A caller can make the local AWS run code. So a web page that could call it could run any code on
this machine.

The guard admits calls that are signed with this run's credentials. It admits an unsigned call only
where API Gateway would: to open routes, and to routes that check tokens themselves. Host must be
one of the local AWS's own names, because other names may be made to lead to this machine (DNS
rebinding). The guard also refuses a browser's requests from pages of other origins, even if they
are signed.
"""

import json
from collections.abc import Callable, Iterable
from typing import NamedTuple
from urllib.parse import unquote
from xml.sax.saxutils import escape

from job_runners.local.signatures import BodyCheck, Request, RequestRefused, check_head, is_signed

NAMES = ("127.0.0.1", "localhost", "host.docker.internal")

_ADVICE = "Each run of the local AWS has its own credentials, in .local/env.sh."
_ACCESS_DENIED = "AccessDenied"
_READ_METHODS = frozenset({"GET", "HEAD"})
_ALLOWED_SITES = frozenset({"same-origin", "none"})
_UNREPEATABLE_HEADERS = (b"host", b"origin", b"authorization")
# The largest body that is read before its signature can be checked. The largest call contains a
# function's code, which is 50 MB as base64.
MAX_UNCHECKED = 70_000_000


class Head(NamedTuple):
    """A request without its body, as it arrived. The path and the query are still encoded."""

    method: str
    path: str
    query: str
    raw_headers: list[tuple[bytes, bytes]]

    @property
    def headers(self) -> dict[str, str]:
        """The headers by their names in lower case. Commas join the values of a repeated header."""
        headers: dict[str, str] = {}
        for raw_name, raw_value in self.raw_headers:
            name = raw_name.decode("latin-1").lower()
            value = _decode(raw_value)
            headers[name] = f"{headers[name]},{value}" if name in headers else value
        return headers


class Guard:
    """Admits and refuses calls.

    `secret_of` returns the secret of an access key, or None. `authorization_of` returns the
    authorization type that API Gateway requires for a method and path ("NONE", "JWT", "AWS_IAM").
    It returns None if the path is not one of its routes.
    """

    def __init__(
        self,
        port: int,
        secret_of: Callable[[str], str | None],
        authorization_of: Callable[[str, str], str | None],
        addresses: Iterable[str] = (),
    ) -> None:
        self._secret_of = secret_of
        self._authorization_of = authorization_of
        self._hosts = frozenset(f"{name}:{port}" for name in (*NAMES, *addresses))

    def admit(self, head: Head, headers: dict[str, str]) -> BodyCheck | None:
        """Check everything but the body. Raises RequestRefused.

        Return the check of the body, or None if the call isn't signed.
        """
        self._check_browser(head, headers)
        if is_signed(headers.get("authorization", ""), head.query):
            return check_head(Request(head.method, head.path, head.query, headers), self._secret_of)
        if self._authorization_of(head.method, unquote(head.path)) not in ("NONE", "JWT"):
            raise RequestRefused("MissingAuthenticationToken", "The call is not signed.")
        return None

    def _check_browser(self, head: Head, headers: dict[str, str]) -> None:
        """Refuse a browser's requests from pages of other origins, or to other host names."""
        names = [name.lower() for name, _ in head.raw_headers]
        if any(names.count(name) > 1 for name in _UNREPEATABLE_HEADERS):
            raise RequestRefused(
                _ACCESS_DENIED, "The request repeats Host, Origin or Authorization."
            )
        host = headers.get("host", "")
        if host not in self._hosts:
            raise RequestRefused(
                _ACCESS_DENIED, f"Use {_join(self._hosts)} as the host, not {host!r}."
            )
        origins = {f"http://{host}"}
        if headers.get("sec-fetch-site") == "same-origin":
            origins.add("null")  # a form's, if its page has the referrer policy no-referrer
        if headers.get("origin", f"http://{host}") not in origins:
            raise RequestRefused(
                _ACCESS_DENIED, "A page of another origin can't use the local AWS."
            )
        if (
            head.method not in _READ_METHODS
            and headers.get("sec-fetch-site", "none") not in _ALLOWED_SITES
        ):
            raise RequestRefused(_ACCESS_DENIED, "A page of another site can't use the local AWS.")


def body_too_large() -> RequestRefused:
    """Return the error for a body that is too large to be read before its check."""
    return RequestRefused(
        _ACCESS_DENIED, f"A body without a signed hash may have at most {MAX_UNCHECKED} bytes."
    )


def error_response(error: RequestRefused, headers: dict[str, str]) -> tuple[str, bytes]:
    """Return a response's content type and body, in the format of the called service."""
    message = str(error) if error.code == _ACCESS_DENIED else f"{error} {_ADVICE}"
    if _expects_xml(headers):
        text = f"<Code>{error.code}</Code><Message>{escape(message)}</Message>"
        return "text/xml", f"<ErrorResponse><Error>{text}</Error></ErrorResponse>".encode()
    body = json.dumps({"__type": error.code, "message": message})
    return "application/json", body.encode()


def _decode(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _expects_xml(headers: dict[str, str]) -> bool:
    is_form = headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    return is_form or "/s3/aws4_request" in headers.get("authorization", "")


def _join(hosts: Iterable[str]) -> str:
    return " or ".join(sorted(hosts))
