"""Protect the local AWS from other programs and from web pages.

Because a caller can make the local AWS run code, a web page that could call it would run its code
on this machine.

The guard admits calls that are signed with this run's credentials. It admits an unsigned call only
where API Gateway would: to open routes, and to routes that check tokens themselves. A browser must
use one of the local AWS's own host names. So the guard refuses other names that lead to this
machine (DNS rebinding). It also refuses a browser's request from a page of another origin, even if
the request is signed.
"""

import json
from collections.abc import Callable, Iterable
from typing import NamedTuple
from urllib.parse import unquote
from xml.sax.saxutils import escape

from job_runners.local.signatures import BodyCheck, Refused, Request, check_head, is_signed

NAMES = ("127.0.0.1", "localhost", "host.docker.internal")

_ADVICE = "Each run of the local AWS has its own credentials, in .local/env.sh."
_ACCESS_DENIED = "AccessDenied"
_READS = frozenset({"GET", "HEAD"})
_OWN_SITE = frozenset({"same-origin", "none"})
_NOT_REPEATABLE = (b"host", b"origin", b"authorization")
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
        """The headers by their names in lower case. A repeated header becomes one list."""
        found: dict[str, str] = {}
        for raw_name, raw_value in self.raw_headers:
            name, value = raw_name.decode("latin-1").lower(), _decode(raw_value)
            found[name] = f"{found[name]},{value}" if name in found else value
        return found


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
        """Check everything but the body. Return the check of the body, or None for an admitted
        call that isn't signed. Raises Refused."""
        self._check_browser(head, headers)
        if is_signed(headers.get("authorization", ""), head.query):
            return check_head(Request(head.method, head.path, head.query, headers), self._secret_of)
        if self._authorization_of(head.method, unquote(head.path)) not in ("NONE", "JWT"):
            raise Refused("MissingAuthenticationToken", "The call is not signed.")
        return None

    def _check_browser(self, head: Head, headers: dict[str, str]) -> None:
        """Refuse a browser's requests from pages of other origins, or to other host names."""
        names = [name.lower() for name, _ in head.raw_headers]
        if any(names.count(name) > 1 for name in _NOT_REPEATABLE):
            raise Refused(_ACCESS_DENIED, "The request repeats Host, Origin or Authorization.")
        host = headers.get("host", "")
        if host not in self._hosts:
            raise Refused(_ACCESS_DENIED, f"Use {_join(self._hosts)} as the host, not {host!r}.")
        origins = {f"http://{host}"}
        if headers.get("sec-fetch-site") == "same-origin":
            origins.add("null")  # of a form on a page whose policy is no-referrer
        if headers.get("origin", f"http://{host}") not in origins:
            raise Refused(_ACCESS_DENIED, "A page of another origin can't use the local AWS.")
        if head.method not in _READS and headers.get("sec-fetch-site", "none") not in _OWN_SITE:
            raise Refused(_ACCESS_DENIED, "A page of another site can't use the local AWS.")


def too_large() -> Refused:
    """Return the refusal of a body that is too large to be read before it is checked."""
    return Refused(
        _ACCESS_DENIED, f"A body without a signed hash may have at most {MAX_UNCHECKED} bytes."
    )


def refusal(refused: Refused, headers: dict[str, str]) -> tuple[str, bytes]:
    """Return the type and the content of an answer in the format of the called service."""
    problem = str(refused) if refused.code == _ACCESS_DENIED else f"{refused} {_ADVICE}"
    if _expects_xml(headers):
        text = f"<Code>{refused.code}</Code><Message>{escape(problem)}</Message>"
        return "text/xml", f"<ErrorResponse><Error>{text}</Error></ErrorResponse>".encode()
    body = json.dumps({"__type": refused.code, "message": problem})
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
