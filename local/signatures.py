"""Checks AWS signatures (version 4), in a header or in a presigned URL, as AWS does."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote

ALGORITHM = "AWS4-HMAC-SHA256"

_SKEW = timedelta(minutes=15)
_LONGEST = timedelta(days=7)  # that a presigned URL may hold
_UNRESERVED = "-_.~"
_PLAIN_HASH = 64  # hexadecimal digits of a SHA-256


class Refused(Exception):
    """A request is not signed as it has to be."""

    def __init__(self, code: str, problem: str) -> None:
        super().__init__(problem)
        self.code = code


@dataclass(frozen=True)
class Request:
    """A request as it arrived: path and query as they were sent, names of headers in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class _Signature:
    credential: str
    signed_headers: str
    signature: str
    date: str  # of signing
    lifetime: timedelta
    presigned: bool


def is_signed(authorization: str, query: str) -> bool:
    """Whether a request with this Authorization header, or "", claims to be signed in any way."""
    return authorization.startswith(("AWS4-", "AWS ")) or "Signature=" in query


def check(request: Request, secret_of: Callable[[str], str | None]) -> None:
    """Raise Refused unless the request is signed with the secret of the key that it names."""
    given = _parse(request)
    key, _, scope = given.credential.partition("/")
    secret = secret_of(key)
    if secret is None:
        raise Refused("UnrecognizedClientException", f"the access key {key!r} is not known here")
    if len(scope.split("/")) != 4 or "host" not in given.signed_headers.split(";"):
        raise Refused("IncompleteSignature", "the signature lacks its scope or the header Host")
    _check_time(given)
    _check_body(request)
    signed = hmac.new(_key(secret, scope), _text(request, given, scope), hashlib.sha256)
    if not hmac.compare_digest(signed.hexdigest().encode(), given.signature.encode()):
        raise Refused("SignatureDoesNotMatch", "the signature was not made with this key's secret")


def _parse(request: Request) -> _Signature:
    header = request.headers.get("authorization", "")
    if header:
        fields = _pairs(header.removeprefix(ALGORITHM).replace(" ", "").split(","))
        date, lifetime = request.headers.get("x-amz-date", ""), _SKEW
        names = ("Credential", "SignedHeaders", "Signature")
        algorithm = header.partition(" ")[0]
    else:
        fields = {name: unquote(value) for name, value in _pairs(request.query.split("&")).items()}
        date, seconds = fields.get("X-Amz-Date", ""), fields.get("X-Amz-Expires", "")
        lifetime = timedelta(seconds=int(seconds)) if seconds.isdecimal() else timedelta()
        names = ("X-Amz-Credential", "X-Amz-SignedHeaders", "X-Amz-Signature")
        algorithm = fields.get("X-Amz-Algorithm", "")
    if algorithm != ALGORITHM or not all(fields.get(name) for name in names):
        raise Refused("IncompleteSignature", f"a signature has to be of {ALGORITHM}, whole")
    credential, signed_headers, signature = (fields[name] for name in names)
    return _Signature(credential, signed_headers, signature, date, lifetime, not header)


def _pairs(parts: list[str]) -> dict[str, str]:
    return dict(part.partition("=")[::2] for part in parts)


def _check_time(given: _Signature) -> None:
    try:
        signed_at = datetime.strptime(given.date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Refused("IncompleteSignature", "the signature names no time") from None
    now = datetime.now(UTC)
    lifetime = min(given.lifetime, _LONGEST)
    if not signed_at - _SKEW <= now <= signed_at + lifetime:
        raise Refused("RequestTimeTooSkewed", "the signature is of another time, or has expired")


def _check_body(request: Request) -> None:
    """Check that a hash of the body, if one is given, is the body's. Some signers give none."""
    given = request.headers.get("x-amz-content-sha256", "")
    if len(given) == _PLAIN_HASH and given != hashlib.sha256(request.body).hexdigest():
        raise Refused("XAmzContentSHA256Mismatch", "the body is not the one that was signed")


def _key(secret: str, scope: str) -> bytes:
    """Return what signs for one date, region and service."""
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def _text(request: Request, given: _Signature, scope: str) -> bytes:
    """Return what is signed."""
    service = scope.split("/")[2]
    headers = "".join(
        f"{name}:{' '.join(request.headers.get(name, '').split())}\n"
        for name in given.signed_headers.split(";")
    )
    canonical = (
        request.method,
        _path(request.path, service),
        _query(request.query),
        headers,
        given.signed_headers,
        _body_hash(request, given, service),
    )
    digest = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
    return f"{ALGORITHM}\n{given.date}\n{scope}\n{digest}".encode()


def _body_hash(request: Request, given: _Signature, service: str) -> str:
    if given.presigned and service == "s3":
        return "UNSIGNED-PAYLOAD"
    said = request.headers.get("x-amz-content-sha256")
    return said or hashlib.sha256(request.body).hexdigest()


def _path(path: str, service: str) -> str:
    """Return the path that is signed: S3's as it is, another's without dots and encoded once
    more."""
    if service == "s3":
        return path
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            segments[-1:] = []
        elif segment not in ("", "."):
            segments.append(segment)
    tail = "/" if path.endswith("/") and segments else ""
    return quote("/" + "/".join(segments) + tail, safe="/" + _UNRESERVED)


def _query(query: str) -> str:
    """Return the parameters in order, each encoded in the one way that is signed."""
    pairs = (part.partition("=") for part in query.split("&") if part)
    encoded = sorted(
        (quote(unquote(name), safe=_UNRESERVED), quote(unquote(value), safe=_UNRESERVED))
        for name, _, value in pairs
    )
    return "&".join(f"{name}={value}" for name, value in encoded if name != "X-Amz-Signature")
