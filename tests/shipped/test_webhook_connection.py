"""post_webhook and a real TLS server; only the resolver and what counts as public are ours."""

import base64
import hashlib
import hmac
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from job_runners.errors import RetryAfter
from job_runners.shipped.webhooks import pinned_https, posting, public_address
from job_runners.shipped.webhooks.errors import WebhookFailed
from job_runners.shipped.webhooks.signature import parse_secret, signature_headers
from tls_server import TlsServer, make_certificate
from webhook_sender import BODY, HOST, KEY, resolve_to, send


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"), HOST)


@pytest.fixture
def server(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, key: None
) -> Iterator[TlsServer]:
    """Yield the receiver: HOST resolves to it, its certificate is trusted, and it counts as
    public."""
    chain, authority = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    monkeypatch.setattr(public_address, "is_public", lambda address: True)
    pinned_https._tls_context.cache_clear()
    with TlsServer(chain) as running:
        resolve_to(monkeypatch, "127.0.0.1")
        yield running
    pinned_https._tls_context.cache_clear()


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a signing key without an AWS to ask for it, where only the connection matters."""
    monkeypatch.setattr(posting, "webhook_keys", lambda name: [KEY])


def headers_of(request: bytes) -> dict[str, str]:
    lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}


# --- what the receiver gets -----------------------------------------------------------------------


def test_the_event_arrives_as_json_with_a_signature_that_its_receiver_can_check(
    server: TlsServer,
) -> None:
    send(port=server.port, path="/in/box?x=1")
    (request,) = server.requests
    headers = headers_of(request)
    body = request.partition(b"\r\n\r\n")[2]
    assert request.startswith(b"POST /in/box?x=1 HTTP/1.1\r\n")
    assert json.loads(body) == BODY
    assert headers["host"] == f"{HOST}:{server.port}"
    assert headers["content-type"] == "application/json"
    assert headers["webhook-id"] == "evt_1"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    signed = f"evt_1.{headers['webhook-timestamp']}.".encode() + body
    digest = hmac.new(KEY, signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()


def test_the_signature_is_that_of_the_specifications_own_example() -> None:
    headers = signature_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
        parse_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "example"),
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_host_is_resolved_once_and_named_to_the_server(
    server: TlsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = resolve_to(monkeypatch, "127.0.0.1")
    send(port=server.port, host="Hooks.Example.com.")
    assert asked == [HOST]
    assert server.names == [HOST]
    assert headers_of(server.requests[0])["host"] == f"{HOST}:{server.port}"


# --- how its answers are taken --------------------------------------------------------------------


def answered(head: str) -> bytes:
    return f"HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n".encode()


@pytest.mark.parametrize("head", ["200 OK", "201 Created", "202 Accepted", "204 No Content"])
def test_any_2xx_is_success(server: TlsServer, head: str) -> None:
    server.answer = answered(head)
    send(port=server.port)
    assert len(server.requests) == 1


def test_a_redirect_is_not_followed(server: TlsServer) -> None:
    server.answer = answered(f"302 Found\r\nLocation: https://{HOST}:{server.port}/other")
    with pytest.raises(WebhookFailed, match="answered 302; redirects are not followed"):
        send(port=server.port)
    assert len(server.requests) == 1


def test_the_answers_head_decides_when_the_next_attempt_is(server: TlsServer) -> None:
    server.answer = answered("503 Later\r\nRetry-After: 7")
    with pytest.raises(RetryAfter, match=f"the webhook at {HOST} answered 503") as wait:
        send(port=server.port, attempt=1)
    assert wait.value.seconds == 7


# --- a receiver that means harm, or is broken -----------------------------------------------------


def test_a_certificate_for_another_host_is_refused_before_anything_is_sent(
    server: TlsServer,
) -> None:
    with pytest.raises(WebhookFailed, match=r"the webhook at other\.example\.com has no valid"):
        send(port=server.port, host="other.example.com")
    assert server.requests == []


def test_a_certificate_that_nobody_vouches_for_is_refused(
    server: TlsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    pinned_https._tls_context.cache_clear()
    with pytest.raises(WebhookFailed, match="has no valid certificate"):
        send(port=server.port)
    assert server.requests == []


def drip(connection: ssl.SSLSocket) -> None:
    """One byte of an endless header at a time, so that no read ever times out."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    for _ in range(2000):
        connection.sendall(b"x")
        time.sleep(0.05)


def fall_silent(connection: ssl.SSLSocket) -> None:
    connection.recv(1)


@pytest.mark.parametrize("serve", [drip, fall_silent])
def test_the_time_of_the_whole_request_is_limited(
    server: TlsServer, serve: Callable[[ssl.SSLSocket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "TIME_LIMIT", 0.5)
    server.serve = serve
    began = time.monotonic()
    with pytest.raises(WebhookFailed, match=r"did not answer within 0\.5 s"):
        send(port=server.port)
    assert time.monotonic() - began < 30


def test_a_server_that_never_shakes_hands_is_left_in_time(
    key: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "TIME_LIMIT", 0.5)
    monkeypatch.setattr(public_address, "is_public", lambda address: True)
    resolve_to(monkeypatch, "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(WebhookFailed, match=r"did not answer within 0\.5 s"):
            send(port=port)


def test_an_endless_body_is_not_read(server: TlsServer) -> None:
    def flood(connection: ssl.SSLSocket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    server.serve = flood
    began = time.monotonic()
    send(port=server.port)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    "answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"]
)
def test_an_answer_that_is_not_http_is_a_failure_to_try_again(
    server: TlsServer, answer: bytes
) -> None:
    server.answer = answer
    with pytest.raises(WebhookFailed, match="did not answer"):
        send(port=server.port)


def test_a_port_that_nobody_listens_on_is_a_failure_to_try_again(server: TlsServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(WebhookFailed, match="did not answer"):
        send(port=port)
