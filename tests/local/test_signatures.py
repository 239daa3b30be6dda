"""What the local AWS's guard takes for a signature, signed as clients sign: by botocore."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import botocore.auth
import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4QueryAuth

from job_runners.local.guard import RequestRefused, check_head, is_signed
from signed_requests import KEY, SECRET, Request, signed


def refusal(request: Request) -> str | None:
    """Return the code of the refusal of a request, if it is refused."""
    assert is_signed(request.headers.get("authorization", ""), request.query)
    try:
        check_head(request, {KEY: SECRET}.get).check(request.body)
    except RequestRefused as refused:
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


STEERING = {
    "x-amz-target": "DynamoDB_20120810.ListTables",
    "x-amz-copy-source": "/bucket/secret",
    "content-type": "application/x-www-form-urlencoded; charset=utf-8",
}


@pytest.mark.parametrize("name", STEERING)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_header_added_to_a_presigned_url_leads_to_no_other_service(
    name: str, method: str
) -> None:
    request = signed("/bucket/key", by=S3SigV4QueryAuth, service="s3", method=method)
    assert refusal(request) is None
    assert refusal(replace(request, headers={**request.headers, "content-type": "a/b"})) is None
    added = replace(request, headers={**request.headers, name: STEERING[name]})
    assert refusal(added) == "AccessDenied"


def test_nor_does_one_that_is_added_to_a_signed_call() -> None:
    request = signed("/", service="s3", by=S3SigV4Auth)
    added = replace(request, headers={**request.headers, "x-amz-target": "Any.Thing"})
    assert refusal(added) == "AccessDenied"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Amz-Expires", "9" * 30),
        ("X-Amz-Expires", "9" * 5000),
        ("X-Amz-Expires", "-1"),
        ("X-Amz-Date", "00010101T000000Z"),
        ("X-Amz-Date", "99991231T235959Z"),
    ],
)
def test_a_time_out_of_every_range_is_refused(name: str, value: str) -> None:
    request = signed("/bucket/key", by=S3SigV4QueryAuth, service="s3")
    changed = re.sub(f"{name}=[^&]*", f"{name}={value}", request.query)
    assert refusal(replace(request, query=changed)) in (
        "RequestTimeTooSkewed",
        "IncompleteSignature",
    )


def _sign_at(monkeypatch: pytest.MonkeyPatch, when: datetime) -> None:
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_, **__: when)
