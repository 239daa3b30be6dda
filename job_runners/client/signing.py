"""Sign calls with AWS credentials (Signature Version 4), or add a bearer token.

The signature covers the canonical request. This is a text that AWS and the client both derive from
the request by the same rules.
"""

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from urllib.parse import quote, urlsplit

from job_runners.client.credentials import Credentials

ALGORITHM = "AWS4-HMAC-SHA256"
# These headers aren't signed, because proxies may change them, or they belong to one connection.
_UNSIGNED_HEADERS = frozenset({"expect", "transfer-encoding", "user-agent", "x-amzn-trace-id"})
_DEFAULT_PORTS = {"https": 443, "http": 80}


class Signer:
    """Adds a signature to calls to HTTP APIs in one region."""

    uses_token = False

    def __init__(self, credentials: Callable[[], Credentials], region: str) -> None:
        self._credentials = credentials
        self._region = region
        self._last: Credentials | None = None

    def headers(
        self, method: str, url: str, data: bytes | None, headers: Mapping[str, str]
    ) -> dict[str, str]:
        """Return the call's headers with its signature."""
        # Get the credentials for each call, because temporary ones are renewed.
        self._last = self._credentials()
        return sign(method, url, headers, sha256(data), self._last, self._region, "execute-api")

    def renew(self) -> bool:
        """Look for credentials again after a refusal. Return whether they have changed."""
        forget = getattr(self._credentials, "forget", None)
        if forget is not None:
            forget()
        return self._last is not None and self._credentials() != self._last


class Bearer:
    """Adds a bearer token to calls. If the token is a function, it is called for each request."""

    uses_token = True

    def __init__(self, token: str | Callable[[], str]) -> None:
        self._token = token
        self._last = ""

    def headers(
        self,
        method: str,  # noqa: ARG002 - Signer needs these parameters
        url: str,  # noqa: ARG002
        data: bytes | None,  # noqa: ARG002
        headers: Mapping[str, str],
    ) -> dict[str, str]:
        """Return the call's headers with the token."""
        self._last = self._token if isinstance(self._token, str) else self._token()
        return {**headers, "Authorization": f"Bearer {self._last}"}

    def renew(self) -> bool:
        """Return whether there is a new token after the last one was refused. Only a function can
        return one."""
        return not isinstance(self._token, str) and self._token() != self._last


Access = Signer | Bearer


def sign(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body_digest: str,
    credentials: Credentials,
    region: str,
    service: str,
    *,
    moment: float | None = None,
) -> dict[str, str]:
    """Return a call's headers with its signature.

    The added headers are `Authorization`, `X-Amz-Date` and, for temporary credentials,
    `X-Amz-Security-Token`.

    The URL's path and query must be percent-encoded, and are sent unchanged. `body_digest` is the
    body's SHA-256 in hexadecimal. `moment` is in seconds since 1970 (default: now).
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(moment))
    signed = {**headers, "X-Amz-Date": stamp}
    if credentials.session_token:
        signed["X-Amz-Security-Token"] = credentials.session_token
    parts = urlsplit(url)
    canonical_headers = {name.lower(): value for name, value in signed.items()}
    canonical_headers.setdefault("host", _host(url))
    names = sorted(canonical_headers.keys() - _UNSIGNED_HEADERS)
    request = canonical_request(
        method.upper(),
        parts.path or "/",
        _canonical_query(parts.query),
        {name: canonical_headers[name] for name in names},
        body_digest,
        service,
    )
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    signature = signature_of(request, credentials.secret_key, stamp, scope)
    signed["Authorization"] = (
        f"{ALGORITHM} Credential={credentials.access_key}/{scope}, "
        f"SignedHeaders={';'.join(names)}, Signature={signature}"
    )
    return signed


def canonical_request(
    method: str,
    path: str,
    query: str,  # in its canonical form
    headers: Mapping[str, str],
    body_digest: str,
    service: str,
) -> str:
    """Return the text that a request's signature covers. The headers must be sorted by name."""
    # S3 signs the path unchanged. Other services normalize it and encode it a second time.
    if service != "s3":
        path = quote(_normalize(path), safe="/~")
    lines = (f"{name}:{' '.join(value.split())}" for name, value in headers.items())
    return "\n".join([method, path, query, *lines, "", ";".join(headers), body_digest])


def signature_of(request: str, secret: str, stamp: str, scope: str) -> str:
    """Return the signature of a canonical request."""
    digest = hashlib.sha256(request.encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    # Each digest is the key for the next digest. The last digest is the signature.
    for part in (*scope.split("/"), f"{ALGORITHM}\n{stamp}\n{scope}\n{digest}"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key.hex()


def _canonical_query(query: str) -> str:
    """Return a query string with its parameters sorted. Each gets an equals sign if it has none."""
    if not query:
        return ""
    parameters = sorted(parameter.partition("=") for parameter in query.split("&"))
    return "&".join(f"{name}={value}" for name, _, value in parameters)


def _host(url: str) -> str:
    """Return the value of the header Host that http.client sends."""
    parts = urlsplit(url)
    name = parts.hostname or ""
    if ":" in name:  # an IPv6 address
        name = f"[{name}]"
    is_default_port = parts.port in (None, _DEFAULT_PORTS.get(parts.scheme))
    return name if is_default_port else f"{name}:{parts.port}"


def _normalize(path: str) -> str:
    """Return a path without empty segments, `.` and `..`."""
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in ("", "."):
            segments.append(segment)
    normalized = "/" + "/".join(segments)
    return f"{normalized}/" if path.endswith("/") and segments else normalized


def sha256(data: bytes | None) -> str:
    """Return the SHA-256 of a body in hexadecimal."""
    return hashlib.sha256(data or b"").hexdigest()
