"""What the local AWS's guard takes for a signature, signed as clients sign: by botocore."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import urlsplit

import botocore.auth
import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local.signatures import Refused, Request, check, is_signed

KEY, SECRET = "LOCALKEY", "secret"
HOST = "127.0.0.1:4566"

Sign = Callable[..., Request]


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
    return Request(method, url.path, url.query, {"host": HOST, **names}, body)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def refusal(request: Request) -> str | None:
    """Return the code of the refusal of a request, if it is refused."""
    assert is_signed(request.headers.get("authorization", ""), request.query)
    try:
        check(request, {KEY: SECRET}.get)
    except Refused as refused:
        return refused.code
    return None


GOOD: dict[str, Callable[[], Request]] = {
    "a query": partial(signed, "/jobs?organization_id=a%20b&limit=1&cursor="),
    "a path with what is encoded once more": partial(
        signed, "/_aws/execute-api/1/$default/jobs/a%20b"
    ),
    "a path with dots and double slashes": partial(signed, "/a/../b//c/./d/"),
    "a body": partial(signed, "/", service="dynamodb", body=b'{"a": 1}', X_Amz_Target="A.B"),
    "an object": partial(signed, "/bucket/a%20b//c", by=S3SigV4Auth, service="s3", body=b"text"),
    "a presigned object": partial(signed, "/bucket/key?a=b", by=S3SigV4QueryAuth, service="s3"),
    "a presigned call": partial(
        signed, "/?Action=A", by=SigV4QueryAuth, service="sts", method="GET"
    ),
    "spaces in a header": partial(signed, X_Amz_Meta="a   b "),
}


@pytest.fixture(params=GOOD.values(), ids=list(GOOD))
def good(request: pytest.FixtureRequest) -> Request:
    """Return a request that is signed now: a signature holds for a quarter of an hour."""
    made: Request = request.param()
    return made


def test_what_botocore_signs_is_let_in(good: Request) -> None:
    assert refusal(good) is None


def test_any_change_of_what_was_signed_is_refused(good: Request) -> None:
    headers = good.headers
    changed = {
        "method": replace(good, method="DELETE"),
        "path": replace(good, path=good.path + "x"),
        "query": replace(good, query=good.query + "&x=y"),
        "host": replace(good, headers={**headers, "host": "evil.example"}),
    }
    if "UNSIGNED" not in str(headers) and "X-Amz-Signature" not in good.query:
        changed["body"] = replace(good, body=good.body + b"x")
    refused = {what: refusal(request) for what, request in changed.items()}
    assert {*refused.values()} <= {"SignatureDoesNotMatch", "XAmzContentSHA256Mismatch"}, refused


def test_another_secret_and_another_key_are_refused() -> None:
    assert refusal(signed(secret="other")) == "SignatureDoesNotMatch"
    request = signed()
    header = request.headers["authorization"].replace(KEY, "test")
    unknown = replace(request, headers={**request.headers, "authorization": header})
    assert refusal(unknown) == "UnrecognizedClientException"


@pytest.mark.parametrize(
    "header",
    [
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=LOCALKEY",
        "AWS4-HMAC-SHA256 Credential=LOCALKEY/1/2/3/4, SignedHeaders=host, Signature=é",
        "AWS4-HMAC-SHA256 Credential=LOCALKEY, SignedHeaders=host, Signature=0",
        "AWS4-HMAC-SHA256 Credential=LOCALKEY/1/2/3/4, SignedHeaders=x-amz-date, Signature=0",
        "AWS4-ECDSA-P256-SHA256 Credential=LOCALKEY/1/2/3/4, SignedHeaders=host, Signature=0",
        "AWS4-X",
        "AWS LOCALKEY:c2lnbmF0dXJl",
    ],
)
def test_half_a_signature_is_refused(header: str) -> None:
    request = signed()
    half = replace(request, headers={**request.headers, "authorization": header})
    assert refusal(half) is not None


@pytest.mark.parametrize("minutes", [-16, 16])
def test_a_signature_of_another_time_is_refused(
    monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    _sign_at(monkeypatch, datetime.now(UTC) + timedelta(minutes=minutes))
    assert refusal(signed()) == "RequestTimeTooSkewed"
    _sign_at(monkeypatch, datetime.now(UTC) + timedelta(minutes=minutes / 2))
    assert refusal(signed()) is None


def test_a_presigned_url_holds_as_long_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    _sign_at(monkeypatch, datetime.now(UTC) - timedelta(minutes=59))
    assert refusal(signed("/bucket/key", by=S3SigV4QueryAuth, service="s3")) is None
    _sign_at(monkeypatch, datetime.now(UTC) - timedelta(minutes=61))
    assert (
        refusal(signed("/bucket/key", by=S3SigV4QueryAuth, service="s3")) == "RequestTimeTooSkewed"
    )


def _sign_at(monkeypatch: pytest.MonkeyPatch, when: datetime) -> None:
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_, **__: when)
