"""Check AWS signatures (version 4), in a header or in a presigned URL, as AWS does.

The local AWS decides from the headers which service a request is for, so every header that it uses
for this must be signed. Otherwise a person with a presigned URL of one file could use it to call
any service.
"""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple
from urllib.parse import quote, unquote

from job_runners.client.signing import ALGORITHM, canonical_request, sha256, signature_of

_SKEW = timedelta(minutes=15)
_MAX_DIGITS = 6  # of a presigned URL's lifetime: 7 days are 604,800 seconds
_MAX_LIFETIME = timedelta(days=7)
_FORM = "application/x-www-form-urlencoded"
_UNRESERVED = "-_.~"
_HASH_DIGITS = 64  # hexadecimal digits of a SHA-256


class Refused(Exception):
    """A request is not signed as required."""

    def __init__(self, code: str, problem: str) -> None:
        super().__init__(problem)
        self.code = code


@dataclass(frozen=True)
class Request:
    """A request as it arrived: the original path and query, and header names in lower case.

    `check_head` does not need the body.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class _Signature:
    credential: str
    signed_headers: str
    signature: str
    date: str  # the time of signing
    lifetime: timedelta
    presigned: bool


def is_signed(authorization: str, query: str) -> bool:
    """Return whether a request claims to be signed, in its header or in its query.

    `authorization` is "" if the request has no Authorization header.
    """
    return authorization.startswith(("AWS4-", "AWS ")) or "Signature=" in query


def check(request: Request, secret_of: Callable[[str], str | None]) -> None:
    """Raise Refused unless the request is signed with the secret of the key that it names."""
    check_head(request, secret_of).check(request.body)


class BodyCheck(NamedTuple):
    """What remains to be checked once the body of a request is read.

    `is_signature_checked` is True if the head names the hash of the body, or if the signature
    doesn't cover the body. Otherwise the signature can be checked only together with the body.
    """

    service: str  # for which the request is signed, such as s3
    is_signature_checked: bool
    check: Callable[[bytes], None]
    """Raise Refused unless this is the body that was signed."""


def check_head(request: Request, secret_of: Callable[[str], str | None]) -> BodyCheck:
    """Check everything that can be checked before the body is read. Raises Refused."""
    given = _parse(request)
    key_id, _, scope = given.credential.partition("/")
    secret = secret_of(key_id)
    if secret is None:
        raise Refused("UnrecognizedClientException", f"The access key {key_id!r} is unknown here.")
    if len(scope.split("/")) != 4 or "host" not in given.signed_headers.split(";"):
        raise Refused("IncompleteSignature", "The signature lacks its scope or the header Host.")
    _check_headers(request, given, scope)
    _check_time(given)
    service = scope.split("/")[2]

    def check_signature(body_hash: str) -> None:
        names = given.signed_headers.split(";")
        headers = {name: request.headers.get(name, "") for name in names}
        query = _query(request.query)
        text = canonical_request(request.method, request.path, query, headers, body_hash, service)
        signature = signature_of(text, secret, given.date, scope)
        if not hmac.compare_digest(signature.encode(), given.signature.encode()):
            problem = "The signature was not made with this key's secret."
            raise Refused("SignatureDoesNotMatch", problem)

    named = _named_hash(request, given, scope)
    if named is None:
        return BodyCheck(service, False, lambda body: check_signature(sha256(body)))
    check_signature(named)
    return BodyCheck(service, True, partial(_check_body, request))


def _check_headers(request: Request, given: _Signature, scope: str) -> None:
    """Check that no unsigned header or form can lead the request to another service.

    A form can name an action of another service, and a file's presigned URL doesn't sign its body.
    """
    signed = given.signed_headers.split(";")
    unsigned = [
        name for name in request.headers if name.startswith("x-amz-") and name not in signed
    ]
    if unsigned:
        raise Refused("AccessDenied", f"These headers must be signed: {', '.join(unsigned)}.")
    is_form = request.headers.get("content-type", "").strip().lower().startswith(_FORM)
    if given.presigned and _is_for_file(scope) and is_form:
        raise Refused("AccessDenied", "A form can't be sent to the presigned URL of a file.")


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
        is_number = seconds.isdecimal() and len(seconds) <= _MAX_DIGITS
        lifetime = timedelta(seconds=int(seconds)) if is_number else timedelta()
        names = ("X-Amz-Credential", "X-Amz-SignedHeaders", "X-Amz-Signature")
        algorithm = fields.get("X-Amz-Algorithm", "")
    if algorithm != ALGORITHM or not all(fields.get(name) for name in names):
        raise Refused("IncompleteSignature", f"The signature must be a complete {ALGORITHM} one.")
    credential, signed_headers, signature = (fields[name] for name in names)
    return _Signature(credential, signed_headers, signature, date, lifetime, not header)


def _pairs(parts: list[str]) -> dict[str, str]:
    return dict(part.partition("=")[::2] for part in parts)


def _check_time(given: _Signature) -> None:
    try:
        signed_at = datetime.strptime(given.date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        first, last = signed_at - _SKEW, signed_at + min(given.lifetime, _MAX_LIFETIME)
    except (ValueError, OverflowError):
        raise Refused("IncompleteSignature", "The signature has no time.") from None
    if not first <= datetime.now(UTC) <= last:
        raise Refused("RequestTimeTooSkewed", "The signature has expired, or its time is wrong.")


def _check_body(request: Request, body: bytes) -> None:
    """Check the hash of the body, if the request gives one. Some signers give none."""
    given = request.headers.get("x-amz-content-sha256", "")
    if len(given) == _HASH_DIGITS and given != sha256(body):
        raise Refused("XAmzContentSHA256Mismatch", "The body is not the one that was signed.")


def _named_hash(request: Request, given: _Signature, scope: str) -> str | None:
    """Return the value that the head gives as the body's hash, or None."""
    if given.presigned and _is_for_file(scope):
        return "UNSIGNED-PAYLOAD"
    return request.headers.get("x-amz-content-sha256") or None


def _is_for_file(scope: str) -> bool:
    return scope.split("/")[2] == "s3"


def _query(query: str) -> str:
    """Return the parameters in order, each in its canonical encoding."""
    pairs = (part.partition("=") for part in query.split("&") if part)
    encoded = sorted(
        (quote(unquote(name), safe=_UNRESERVED), quote(unquote(value), safe=_UNRESERVED))
        for name, _, value in pairs
    )
    return "&".join(f"{name}={value}" for name, value in encoded if name != "X-Amz-Signature")
