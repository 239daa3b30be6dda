"""How much of a body the local AWS's guard reads before it knows who calls, and of which kind."""

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth

from emulated_aws import guarded_app
from emulated_aws.guarded_app import GuardedApp, Message, Receive, Scope, Send
from signed_requests import HOST, KEY, SECRET, Request, signed

PORT = int(HOST.partition(":")[2])


class Asked:
    """What became of one request: which parts were read, what the local AWS got, the answer."""

    def __init__(self, request: Request, parts: Iterable[Message]) -> None:
        self._parts = iter(parts)
        self.read = 0
        self.passed: bytes | None = None
        self.status: int | None = None
        names = {name.encode(): value.encode() for name, value in request.headers.items()}
        scope = {
            "type": "http",
            "method": request.method,
            "path": request.path,
            "raw_path": request.path.encode(),
            "query_string": request.query.encode(),
            "headers": list(names.items()),
        }
        serve = GuardedApp(self._app, PORT, {KEY: SECRET}.get, lambda *_: None)
        with ThreadPoolExecutor(1) as pool:  # Playwright's loop may run in the tests' thread
            pool.submit(asyncio.run, serve(scope, self._receive, self._send)).result()

    async def _receive(self) -> Message:
        self.read += 1
        return next(self._parts)

    async def _send(self, message: Message) -> None:
        self.status = message.get("status", self.status)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.passed = (await receive())["body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})


def part(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


WHOLE = (part(b"te"), part(b"xt"), part(b"", more=False))
GONE: Message = {"type": "http.disconnect"}


def test_a_call_without_a_known_key_has_none_of_its_body_read() -> None:
    headers = {"host": HOST}
    for query in ("Signature=x", "X-Amz-Signature=x", "a=b"):
        asked = Asked(Request("PUT", "/bucket/key", query, headers), ())
        assert (asked.status, asked.read) == (403, 0)
    for service in ("s3", "dynamodb"):
        asked = Asked(signed(service=service, secret="other", by=S3SigV4Auth), ())
        assert (asked.status, asked.read) == (403, 0)


def test_a_body_whose_hash_only_it_tells_is_read_up_to_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = Asked(signed(body=b"text"), WHOLE)
    assert (asked.status, asked.passed) == (200, b"text")
    monkeypatch.setattr(guarded_app, "MAX_UNCHECKED", 3)
    asked = Asked(signed(body=b"text"), WHOLE)
    assert (asked.status, asked.read, asked.passed) == (403, 2, None)
    named = signed("/bucket/key", body=b"text", by=S3SigV4Auth, service="s3")
    assert Asked(named, WHOLE).passed == b"text"


@pytest.mark.parametrize("by", [S3SigV4Auth, S3SigV4QueryAuth])
def test_a_body_that_is_cut_off_is_not_passed_on(by: Any) -> None:
    body = b"text" if by is S3SigV4Auth else b""  # a presigned URL says nothing of it
    request = signed("/bucket/key", by=by, service="s3", method="PUT", body=body)
    for parts in ((GONE,), (part(b"te"), GONE), (part(b"text"), GONE)):
        asked = Asked(request, parts)
        assert (asked.passed, asked.status) == (None, None)
    assert Asked(request, WHOLE).passed == b"text"
