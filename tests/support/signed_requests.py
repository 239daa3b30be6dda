"""Requests as they arrive at the local AWS, signed as clients sign: by botocore."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from job_runners.local.guard import Head

KEY, SECRET = "LOCALKEY", "secret"
HOST = "127.0.0.1:4566"


@dataclass(frozen=True)
class Request(Head):
    """A request with its body."""

    body: bytes = b""


def signed(
    path: str = "/jobs?limit=1",
    *,
    by: type[SigV4Auth] = SigV4Auth,
    service: str = "execute-api",
    secret: str = SECRET,
    body: bytes = b"",
    method: str = "POST",
    **headers: str,
) -> Request:
    """Return a request as it arrives, signed by botocore."""
    request = AWSRequest(method, f"http://{HOST}{path}", data=body, headers=headers)
    by(Credentials(KEY, secret), service, "us-east-1").add_auth(request)
    sent = request.prepare()
    url = urlsplit(sent.url)
    names = {name.lower(): _text(value) for name, value in sent.headers.items()}
    return Request(method, url.path, url.query, {"host": HOST, **names}, body=body)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
