"""Signs calls as whoever the AWS credentials belong to (Signature Version 4), or shows a token."""

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from typing import Protocol
from urllib.parse import quote, urlsplit

from job_runners.credentials import Credentials

# What those on the way may change, or what is of the connection alone.
_UNSIGNED = frozenset({"expect", "transfer-encoding", "user-agent", "x-amzn-trace-id"})
_PORTS = {"https": 443, "http": 80}


class Access(Protocol):
    """What lets a caller in."""

    @property
    def uses_token(self) -> bool:
        """Whether calls show a token; else they are signed."""

    def headers(
        self, method: str, url: str, data: bytes | None, headers: Mapping[str, str]
    ) -> dict[str, str]:
        """Return the call's headers, and what lets it in."""

    def renew(self) -> bool:
        """Forget what was refused; return whether there is something else to try with."""


class Signer:
    """Signs for one region's HTTP APIs."""

    uses_token = False

    def __init__(self, credentials: Callable[[], Credentials], region: str) -> None:
        self._credentials = credentials
        self._region = region
        self._last: Credentials | None = None

    def headers(
        self, method: str, url: str, data: bytes | None, headers: Mapping[str, str]
    ) -> dict[str, str]:
        """Return the call's headers, and its signature."""
        # Asked for at each call: credentials that expire are renewed in between, all parts at once.
        self._last = self._credentials()
        return sign(method, url, headers, sha256(data), self._last, self._region, "execute-api")

    def renew(self) -> bool:
        """Return whether the credentials are others than those that were refused."""
        forget = getattr(self._credentials, "forget", None)
        if forget is not None:
            forget()
        return self._last is not None and self._credentials() != self._last


class Bearer:
    """Shows a token instead; a function is asked for it at each call."""

    uses_token = True

    def __init__(self, token: str | Callable[[], str]) -> None:
        self._token = token
        self._last = ""

    def headers(
        self,
        method: str,  # noqa: ARG002 - as Signer's
        url: str,  # noqa: ARG002
        data: bytes | None,  # noqa: ARG002
        headers: Mapping[str, str],
    ) -> dict[str, str]:
        """Return the call's headers, and the token."""
        self._last = self._token if isinstance(self._token, str) else self._token()
        return {**headers, "Authorization": f"Bearer {self._last}"}

    def renew(self) -> bool:
        """Return whether the function gives another token than the one that was refused."""
        return not isinstance(self._token, str) and self._token() != self._last


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
    """Return a call's headers with its signature: `Authorization`, `X-Amz-Date` and, for temporary
    credentials, `X-Amz-Security-Token`.

    The URL's path and query are percent-encoded already, and sent as they are. `body_digest` is the
    body's SHA-256 in hexadecimal. `moment` is in seconds since 1970, and now by default.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(moment))
    signed = {**headers, "X-Amz-Date": stamp}
    if credentials.session_token:
        signed["X-Amz-Security-Token"] = credentials.session_token
    parts = urlsplit(url)
    named = {name.lower(): " ".join(value.split()) for name, value in signed.items()}
    named.setdefault("host", _host(url))
    names = sorted(named.keys() - _UNSIGNED)
    # S3 signs the path as it is; every other service in its shortest form, encoded once more.
    path = parts.path or "/"
    path = path if service == "s3" else quote(_shortest(path), safe="/~")
    query = "&".join("=".join(pair) for pair in sorted(map(_pair, parts.query.split("&"))))
    request = "\n".join(
        [
            method.upper(),
            path,
            query if parts.query else "",
            *(f"{name}:{named[name]}" for name in names),
            "",
            ";".join(names),
            body_digest,
        ]
    )
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    digest = hashlib.sha256(request.encode()).hexdigest()
    key = f"AWS4{credentials.secret_key}".encode()
    for part in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"):
        key = hmac.digest(key, part.encode(), "sha256")
    signed["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
        f"SignedHeaders={';'.join(names)}, Signature={key.hex()}"
    )
    return signed


def _pair(parameter: str) -> tuple[str, str]:
    name, _, value = parameter.partition("=")
    return name, value


def _host(url: str) -> str:
    """Return the header Host, as http.client sends it."""
    parts = urlsplit(url)
    name = parts.hostname or ""
    name = f"[{name}]" if ":" in name else name
    return name if parts.port in (None, _PORTS.get(parts.scheme)) else f"{name}:{parts.port}"


def _shortest(path: str) -> str:
    """Return a path without empty segments, and without those that mean this or the one above."""
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in ("", "."):
            segments.append(segment)
    return "/" + "/".join(segments) + ("/" if path.endswith("/") and segments else "")


def sha256(data: bytes | None) -> str:
    """Return the SHA-256 of a body, as a signature wants it."""
    return hashlib.sha256(data or b"").hexdigest()
