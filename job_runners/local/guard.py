"""Serve HTTP on the local AWS, and protect it from other programs and from web pages.

A caller can make the local AWS run code. So a web page that could call it could run any code on
this machine.

The guard admits calls that are signed with this run's credentials. It admits an unsigned call only
where API Gateway would: to open routes, and to routes that check tokens themselves. Host must be
one of the local AWS's own names, because other names may be made to lead to this machine (DNS
rebinding). The guard also refuses a browser's requests from pages of other origins, even if they
are signed.
"""

import asyncio
import hmac
import json
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

from job_runners.client.signing import ALGORITHM, canonical_request, sha256, signature_of

_MAX_CLOCK_SKEW = timedelta(minutes=15)
_MAX_LIFETIME_DIGITS = 6  # 7 days are 604,800 seconds
_MAX_LIFETIME = timedelta(days=7)
_FORM = "application/x-www-form-urlencoded"
_UNRESERVED = "-_.~"
_HASH_DIGITS = 64  # hexadecimal digits of a SHA-256
NAMES = ("127.0.0.1", "localhost", "host.docker.internal")
_ADVICE = "Each run of the local AWS has its own credentials, in .local/env.sh."
_ACCESS_DENIED = "AccessDenied"
_UNREPEATABLE_HEADERS = {"host", "origin", "authorization"}
# The largest body that is read before its signature can be checked. The largest call contains a
# function's code, which is 50 MB as base64.
MAX_UNCHECKED = 70_000_000


Response = tuple[int, dict[str, str], bytes]
"""The status, the headers and the body of a response."""
_MAX_BODY = 5 * 2**30  # bytes of a body, as in S3
_MAX_HEAD = 2**16


class RequestRefused(Exception):
    """A request is not signed as required."""

    def __init__(self, code: str, problem: str) -> None:
        super().__init__(problem)
        self.code = code


@dataclass(frozen=True)
class Head:
    """A request without its body, as it arrived. The path and the query are still encoded."""

    method: str
    path: str
    query: str
    headers: dict[str, str]  # by their names in lower case
    repeated: frozenset[str] = frozenset()  # the names of headers that occur more than once

    @staticmethod
    def of(method: str, path: str, query: str, raw_headers: list[tuple[bytes, bytes]]) -> "Head":
        """Return the head with these headers. Commas join the values of a repeated one."""
        headers: dict[str, str] = {}
        repeated = set()
        for raw_name, raw_value in raw_headers:
            name, value = raw_name.decode("latin-1").lower(), _decode(raw_value)
            if name in headers:
                repeated.add(name)
                value = f"{headers[name]},{value}"
            headers[name] = value
        return Head(method, path, query, headers, frozenset(repeated))


@dataclass(frozen=True)
class _Signature:
    credential: str
    signed_headers: str
    signature: str
    date: str  # the time of signing
    lifetime: timedelta
    is_presigned: bool  # in a URL


def is_signed(authorization: str, query: str) -> bool:
    """Return whether a request claims to be signed, in its header or in its query.

    `authorization` is "" if the request has no Authorization header.
    """
    return authorization.startswith(("AWS4-", "AWS ")) or "Signature=" in query


class BodyCheck(NamedTuple):
    """The check that remains once a request's body is read."""

    service: str  # for which the request is signed, such as s3
    # Whether the signature is already checked. It can't be before the body is read if it covers the
    # body and the head doesn't contain the body's hash.
    is_signature_checked: bool
    check: Callable[[bytes], None]  # raises RequestRefused unless this body was signed


def check_head(head: Head, secret_of: Callable[[str], str | None]) -> BodyCheck:
    """Check everything that can be checked before the body is read. Raises RequestRefused."""
    signature = _parse(head)
    key_id, _, scope = signature.credential.partition("/")
    secret = secret_of(key_id)
    if secret is None:
        problem = f"The access key {key_id!r} is unknown here."
        raise RequestRefused("UnrecognizedClientException", problem)
    signed_headers = signature.signed_headers.split(";")
    if len(scope.split("/")) != 4 or "host" not in signed_headers:
        problem = "The signature lacks its scope or the header Host."
        raise RequestRefused("IncompleteSignature", problem)
    _check_headers(head, signature, scope)
    _check_time(signature)
    service = scope.split("/")[2]

    def check_signature(body_hash: str) -> None:
        headers = {name: head.headers.get(name, "") for name in signed_headers}
        query = _canonical_query(head.query)
        text = canonical_request(head.method, head.path, query, headers, body_hash, service)
        expected = signature_of(text, secret, signature.date, scope)
        if not hmac.compare_digest(expected.encode(), signature.signature.encode()):
            problem = "The signature was not made with this key's secret."
            raise RequestRefused("SignatureDoesNotMatch", problem)

    declared_hash = _declared_hash(head, signature, scope)
    if declared_hash is None:
        return BodyCheck(
            service,
            is_signature_checked=False,
            check=lambda body: check_signature(sha256(body)),
        )
    check_signature(declared_hash)
    return BodyCheck(service, is_signature_checked=True, check=partial(_check_body, head))


def _check_headers(head: Head, signature: _Signature, scope: str) -> None:
    """Check that no unsigned header or form can lead the request to another service.

    A form can name an action of another service, and a file's presigned URL doesn't sign its body.
    """
    signed = signature.signed_headers.split(";")
    unsigned = [name for name in head.headers if name.startswith("x-amz-") and name not in signed]
    if unsigned:
        raise RequestRefused(
            "AccessDenied", f"These headers must be signed: {', '.join(unsigned)}."
        )
    is_form = head.headers.get("content-type", "").strip().lower().startswith(_FORM)
    if signature.is_presigned and _is_for_file(scope) and is_form:
        raise RequestRefused("AccessDenied", "A form can't be sent to the presigned URL of a file.")


def _parse(head: Head) -> _Signature:
    """Return the signature in a request's header or in its query."""
    header = head.headers.get("authorization", "")
    if header:
        algorithm = header.partition(" ")[0]
        fields = _parse_pairs(header.removeprefix(ALGORITHM).replace(" ", "").split(","))
        prefix = ""
        date = head.headers.get("x-amz-date", "")
        lifetime = _MAX_CLOCK_SKEW
    else:
        pairs = _parse_pairs(head.query.split("&"))
        fields = {name: unquote(value) for name, value in pairs.items()}
        algorithm = fields.get("X-Amz-Algorithm", "")
        prefix = "X-Amz-"
        date = fields.get("X-Amz-Date", "")
        seconds = fields.get("X-Amz-Expires", "")
        is_number = seconds.isdecimal() and len(seconds) <= _MAX_LIFETIME_DIGITS
        lifetime = timedelta(seconds=int(seconds) if is_number else 0)
    credential = fields.get(f"{prefix}Credential")
    signed_headers = fields.get(f"{prefix}SignedHeaders")
    signature = fields.get(f"{prefix}Signature")
    if algorithm != ALGORITHM or not (credential and signed_headers and signature):
        problem = f"The signature must be a complete {ALGORITHM} one."
        raise RequestRefused("IncompleteSignature", problem)
    return _Signature(
        credential, signed_headers, signature, date, lifetime, is_presigned=not header
    )


def _parse_pairs(parts: list[str]) -> dict[str, str]:
    pairs = (part.partition("=") for part in parts)
    return {name: value for name, _, value in pairs}


def _check_time(signature: _Signature) -> None:
    try:
        signed_at = datetime.strptime(signature.date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        start = signed_at - _MAX_CLOCK_SKEW
        end = signed_at + min(signature.lifetime, _MAX_LIFETIME)
    except (ValueError, OverflowError):
        raise RequestRefused("IncompleteSignature", "The signature has no time.") from None
    if not start <= datetime.now(UTC) <= end:
        problem = "The signature has expired, or its time is wrong."
        raise RequestRefused("RequestTimeTooSkewed", problem)


def _check_body(head: Head, body: bytes) -> None:
    """Check the hash of the body, if the request has one. Some clients send none."""
    declared_hash = head.headers.get("x-amz-content-sha256", "")
    if len(declared_hash) == _HASH_DIGITS and declared_hash != sha256(body):
        problem = "The body is not the one that was signed."
        raise RequestRefused("XAmzContentSHA256Mismatch", problem)


def _declared_hash(head: Head, signature: _Signature, scope: str) -> str | None:
    """Return what the head contains as the body's hash, or None."""
    if signature.is_presigned and _is_for_file(scope):
        return "UNSIGNED-PAYLOAD"
    return head.headers.get("x-amz-content-sha256") or None


def _is_for_file(scope: str) -> bool:
    return scope.split("/")[2] == "s3"


def _canonical_query(query: str) -> str:
    """Return the parameters in the order and the encoding that a signature covers."""
    pairs = (part.partition("=") for part in query.split("&") if part)
    encoded = sorted(
        (quote(unquote(name), safe=_UNRESERVED), quote(unquote(value), safe=_UNRESERVED))
        for name, _, value in pairs
    )
    return "&".join(f"{name}={value}" for name, value in encoded if name != "X-Amz-Signature")


_READ_METHODS = frozenset({"GET", "HEAD"})
_ALLOWED_SITES = frozenset({"same-origin", "none"})


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

    def admit(self, head: Head) -> BodyCheck | None:
        """Check everything but the body. Raises RequestRefused.

        Return the check of the body, or None if the call isn't signed.
        """
        self._check_browser(head)
        if is_signed(head.headers.get("authorization", ""), head.query):
            return check_head(head, self._secret_of)
        if self._authorization_of(head.method, unquote(head.path)) not in ("NONE", "JWT"):
            raise RequestRefused("MissingAuthenticationToken", "The call is not signed.")
        return None

    def _check_browser(self, head: Head) -> None:
        """Refuse a browser's requests from pages of other origins, or to other host names."""
        headers = head.headers
        if head.repeated & _UNREPEATABLE_HEADERS:
            raise RequestRefused(
                _ACCESS_DENIED, "The request repeats Host, Origin or Authorization."
            )
        host = headers.get("host", "")
        if host not in self._hosts:
            raise RequestRefused(
                _ACCESS_DENIED, f"Use {' or '.join(sorted(self._hosts))} as the host, not {host!r}."
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


def error_response(error: RequestRefused, head: Head) -> tuple[str, bytes]:
    """Return a response's content type and body, in the format of the called service."""
    message = str(error) if error.code == _ACCESS_DENIED else f"{error} {_ADVICE}"
    is_form = head.headers.get("content-type", "").startswith(_FORM)
    if is_form or "/s3/aws4_request" in head.headers.get("authorization", ""):  # XML is expected
        text = f"<Code>{error.code}</Code><Message>{escape(message)}</Message>"
        return "text/xml", f"<ErrorResponse><Error>{text}</Error></ErrorResponse>".encode()
    body = json.dumps({"__type": error.code, "message": message})
    return "application/json", body.encode()


def _decode(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


_OWN_HEADERS = frozenset({"content-length", "transfer-encoding", "connection", "server", "date"})

Respond = Callable[[Head, bytes, str], Awaitable[Response]]
"""Takes an admitted request, and the service for which it is signed (or ""). Returns a response."""


class _BadRequest(Exception):
    """The request can't be read, so its connection must be closed."""

    def __init__(self, status: int) -> None:
        super().__init__(HTTPStatus(status).phrase)
        self.status = status


class HttpServer:
    """Reads requests, lets the guard check them, and sends responses."""

    def __init__(self, guard: Guard, respond: Respond) -> None:
        self._guard, self._respond = guard, respond
        self._servers: list[asyncio.Server] = []

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Serve these sockets, which are bound to addresses."""
        for sock in sockets:
            server = await asyncio.start_server(
                self._serve, sock=sock, backlog=512, limit=_MAX_HEAD
            )
            self._servers.append(server)

    def close(self) -> None:
        """Stop serving. Open connections end with the event loop."""
        for server in self._servers:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._serve_request(reader, writer):
                pass
        except _BadRequest as error:
            _write(writer, "GET", (error.status, {}, f"{error}\n".encode()))
        # The client has closed the connection, or the loop has ended, which cancels open ones.
        # Older Pythons, such as 3.11.7, would log that as an error.
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        except asyncio.LimitOverrunError:
            _write(writer, "GET", (431, {}, b""))
        finally:
            writer.close()

    async def _serve_request(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Serve one request. Return whether the connection stays open."""
        head = _parse_head(await reader.readuntil(b"\r\n\r\n"))
        headers = head.headers
        length = _body_length(headers)
        try:
            check = self._guard.admit(head)
            is_checked = check is not None and check.is_signature_checked
            if length > (_MAX_BODY if is_checked else MAX_UNCHECKED):
                raise body_too_large()
            if headers.get("expect", "").lower() == "100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await reader.readexactly(length) if length else b""
            if check is not None:
                check.check(body)
        except RequestRefused as error:
            content_type, content = error_response(error, head)
            response_headers = {"Content-Type": content_type, "Connection": "close"}
            _write(writer, head.method, (403, response_headers, content))
            await writer.drain()
            return False  # the rest of the body isn't read
        service = check.service if check is not None else ""
        _write(writer, head.method, await self._respond(head, body, service))
        await writer.drain()
        return headers.get("connection", "").lower() != "close"


def _parse_head(text: bytes) -> Head:
    request_line, *header_lines = text.removesuffix(b"\r\n\r\n").split(b"\r\n")
    try:
        method, target, _version = request_line.decode("latin-1").split(" ")
    except ValueError:
        raise _BadRequest(400) from None
    path, _, query = target.partition("?")
    pairs = (line.partition(b":") for line in header_lines)
    return Head.of(method, path, query, [(name, value.strip()) for name, _, value in pairs])


def _body_length(headers: dict[str, str]) -> int:
    if "transfer-encoding" in headers:  # AWS's clients send Content-Length
        raise _BadRequest(411)
    text = headers.get("content-length", "0")
    if not text.isascii() or not text.isdigit():  # such as two different lengths
        raise _BadRequest(400)
    return int(text)


def _write(writer: asyncio.StreamWriter, method: str, response: Response) -> None:
    status, headers, body = response
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    length = str(len(body))
    for name, value in headers.items():
        if name.lower() == "content-length" and method == "HEAD":
            length = value  # the length that a GET would return
        elif name.lower() not in _OWN_HEADERS:
            lines.append(f"{name}: {value}")
    lines.append(f"Content-Length: {length}")
    head = "\r\n".join(lines).encode("utf-8") + b"\r\n\r\n"
    writer.write(head if method == "HEAD" or status in (204, 304) else head + body)
