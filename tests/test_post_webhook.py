"""post_webhook against a real TLS server; only the resolver and what counts as public are ours."""

import base64
import hashlib
import hmac
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from errors import DoNotRetry, MissingSetting, RetryAfter, WebhookFailed
from settings import forget
from store import aws as clients
from tasks import pinned_https, public_address, webhook_secrets
from tasks import post_webhook as module
from tasks.post_webhook import PostWebhook, post_webhook
from tasks.webhook_signature import secret_key, signed_headers
from tls_server import TlsServer, make_certificate

HOST = "hooks.example.com"
KEY = b"0123456789abcdef01234567"
BODY = {"type": "contacts.imported", "name": "Zo\u00eb"}
REAL_GETADDRINFO = socket.getaddrinfo


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"), HOST)


@pytest.fixture
def server(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, key: None
) -> Iterator[TlsServer]:
    """The receiver: HOST resolves to it, its certificate is trusted, and it counts as public."""
    chain, authority = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    monkeypatch.setattr(public_address, "is_public", lambda address: True)
    pinned_https._tls.cache_clear()
    with TlsServer(chain) as running:
        resolve_to(monkeypatch, "127.0.0.1")
        yield running
    pinned_https._tls.cache_clear()


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signing key without an AWS to ask for it, where only the connection matters."""
    monkeypatch.setattr(module, "webhook_key", lambda name: KEY)


@pytest.fixture
def secret(aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A signing secret called acme/main."""
    monkeypatch.setenv("WEBHOOK_SECRETS_PATH", "/stack/webhook-secrets")
    forget()
    webhook_secrets.forget()
    put_secret("acme/main", "whsec_" + base64.b64encode(KEY).decode())
    yield
    webhook_secrets.forget()


def put_secret(name: str, value: str) -> None:
    clients.client("ssm").put_parameter(
        Name=f"/stack/webhook-secrets/{name}", Value=value, Type="SecureString", Overwrite=True
    )


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Every name resolves to these addresses; the names asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, *how: int, **named: int) -> list[Any]:
        if host in addresses:  # from create_connection: no name to look up
            return REAL_GETADDRINFO(host, port, *how, **named)
        asked.append(host)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def send(
    server: TlsServer | None = None, *, host: str = HOST, path: str = "/in", **fields: Any
) -> None:
    port = f":{server.port}" if server else ""
    fields = {
        "url": f"https://{host}{port}{path}",
        "event_id": "evt_1",
        "body": BODY,
        "secret": "acme/main",
        **fields,
    }
    post_webhook(PostWebhook(**fields))


def headers_of(request: bytes) -> dict[str, str]:
    lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}


# --- what the receiver gets -----------------------------------------------------------------------


def test_the_event_arrives_as_json_with_a_signature_that_its_receiver_can_check(
    server: TlsServer, secret: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "webhook_key", webhook_secrets.webhook_key)
    send(server, path="/in/box?x=1")
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
    headers = signed_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
        secret_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "example"),
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_host_is_resolved_once_and_named_to_the_server(
    server: TlsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = resolve_to(monkeypatch, "127.0.0.1")
    send(server, host="Hooks.Example.com.")
    assert asked == [HOST]
    assert server.names == [HOST]
    assert headers_of(server.requests[0])["host"] == f"{HOST}:{server.port}"


# --- how its answers are taken --------------------------------------------------------------------


def answered(head: str) -> bytes:
    return f"HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n".encode()


@pytest.mark.parametrize("head", ["200 OK", "201 Created", "202 Accepted", "204 No Content"])
def test_any_2xx_is_success(server: TlsServer, head: str) -> None:
    server.answer = answered(head)
    send(server)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 409, 410, 422])
def test_a_refusal_is_final(server: TlsServer, status: int) -> None:
    server.answer = answered(f"{status} No")
    with pytest.raises(DoNotRetry, match=f"the webhook at {HOST} answered {status}"):
        send(server)


def test_a_redirect_is_not_followed(server: TlsServer) -> None:
    server.answer = answered(f"302 Found\r\nLocation: https://{HOST}:{server.port}/other")
    with pytest.raises(DoNotRetry, match="answered 302; redirects are not followed"):
        send(server)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_trouble_that_may_pass_is_worth_another_try(server: TlsServer, status: int) -> None:
    server.answer = answered(f"{status} Oh")
    with pytest.raises(WebhookFailed, match=f"answered {status}"):
        send(server)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        ("7", 7, 7),
        ("0", 0, 0),
        ("99999999999999999999", 900, 900),
        (formatdate(time.time() + 600, usegmt=True), 500, 600),
        (formatdate(time.time() - 600, usegmt=True), 0, 0),
        ("Wed, 01 Jan 2070 00:00:00 -0000", 900, 900),
    ],
)
def test_a_receiver_says_how_long_to_wait(
    server: TlsServer, status: int, asked: str, least: float, most: float
) -> None:
    server.answer = answered(f"{status} Later\r\nRetry-After: {asked}")
    with pytest.raises(RetryAfter) as wait:
        send(server)
    assert least <= wait.value.seconds <= most


@pytest.mark.parametrize("asked", ["soon", "-5", "1.5", "\u00b2"])
def test_a_wait_that_makes_no_sense_is_not_taken(server: TlsServer, asked: str) -> None:
    server.answer = answered(f"503 Later\r\nRetry-After: {asked}")
    with pytest.raises(WebhookFailed, match="answered 503"):
        send(server)


# --- a receiver that means harm, or is broken -----------------------------------------------------


def test_a_certificate_for_another_host_is_refused_before_anything_is_sent(
    server: TlsServer,
) -> None:
    with pytest.raises(WebhookFailed, match=r"the webhook at other\.example\.com is not who it"):
        send(server, host="other.example.com")
    assert server.requests == []


def test_a_certificate_that_nobody_vouches_for_is_refused(
    server: TlsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    pinned_https._tls.cache_clear()
    with pytest.raises(WebhookFailed, match="is not who it says"):
        send(server)
    assert server.requests == []


def drip(connection: ssl.SSLSocket) -> None:
    """One byte of an endless header at a time, so that no read ever times out."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    for _ in range(200):
        connection.sendall(b"x")
        time.sleep(0.05)


def fall_silent(connection: ssl.SSLSocket) -> None:
    connection.recv(1)


@pytest.mark.parametrize("serve", [drip, fall_silent])
def test_the_time_of_the_whole_request_is_limited(
    server: TlsServer, serve: Callable[[ssl.SSLSocket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIME_LIMIT", 0.5)
    server.serve = serve
    began = time.monotonic()
    with pytest.raises(WebhookFailed, match=r"did not answer within 0\.5 s"):
        send(server)
    assert time.monotonic() - began < 3


def test_a_server_that_never_shakes_hands_is_left_in_time(
    key: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIME_LIMIT", 0.5)
    monkeypatch.setattr(public_address, "is_public", lambda address: True)
    resolve_to(monkeypatch, "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(WebhookFailed, match=r"did not answer within 0\.5 s"):
            send(url=f"https://{HOST}:{port}/")


def test_an_endless_body_is_not_read(server: TlsServer) -> None:
    def flood(connection: ssl.SSLSocket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    server.serve = flood
    began = time.monotonic()
    send(server)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    "answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"]
)
def test_an_answer_that_is_not_http_is_a_failure_to_try_again(
    server: TlsServer, answer: bytes
) -> None:
    server.answer = answer
    with pytest.raises(WebhookFailed, match="did not answer"):
        send(server)


def test_a_port_that_nobody_listens_on_is_a_failure_to_try_again(server: TlsServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(WebhookFailed, match="did not answer"):
        send(url=f"https://{HOST}:{port}/")


# --- where it may not go --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.1.2.3",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "169.254.100.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.1.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::808:808",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "2001::1",
        "2001:db8::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
    ],
)
def test_an_address_that_is_not_public_is_never_connected_to(
    key: None, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, address)
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("connected"))
    with pytest.raises(DoNotRetry, match="is not on the public internet"):
        send()


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::"],
)
def test_an_address_that_is_public_is_the_one_connected_to(
    key: None, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected: list[Any] = []

    def create_connection(to: Any, **_: Any) -> Any:
        connected.append(to)
        raise ConnectionRefusedError

    resolve_to(monkeypatch, address)
    monkeypatch.setattr(socket, "create_connection", create_connection)
    with pytest.raises(WebhookFailed, match="did not answer"):
        send()
    assert connected == [(address, 443)]


def test_one_private_address_among_public_ones_is_enough_to_refuse(
    key: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, "8.8.8.8", "10.0.0.1")
    with pytest.raises(DoNotRetry, match=r"is not on the public internet: 10\.0\.0\.1"):
        send()


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001", "127.1", "localhost"],
)
def test_no_way_of_writing_our_own_address_gets_there(key: None, host: str) -> None:
    with pytest.raises(DoNotRetry, match="is not on the public internet"):
        send(url=f"https://{host}/")


def test_a_host_without_an_address_may_have_one_later(
    key: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def getaddrinfo(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(WebhookFailed, match="has no address: Name or service not known"):
        send()


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/",
        "//hooks.example.com/",
        "https:///in",
        "https://",
        "https://user:pass@hooks.example.com/",
        "https://hooks.example.com\\@127.0.0.1/",
        "https://127.0.0.1\\.example.com/",
        "https://hooks.example.com:0/",
        "https://hooks.example.com:99999/",
        "https://hooks.example.com:x/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[/",
        "https://b\u00fccher.example/",
        "https://hooks.example.com/\u2028",
        "https://hooks.example.com/a b",
        "https://hooks.example.com/\r\nX: y",
        "https://hooks..example.com/",
        "https://hooks.example.com../",
        f"https://{'a' * 64}.example.com/",
        f"https://{'a.' * 130}com/",
        "https://" + "hooks.example.com/".ljust(2048, "x"),
        "file:///etc/passwd",
        "",
    ],
)
def test_a_url_that_no_webhook_may_have_is_refused_when_dispatched(url: str) -> None:
    with pytest.raises(ValidationError) as error:
        PostWebhook(url=url, event_id="evt_1", body={}, secret="acme/main")
    assert [each["loc"] for each in error.value.errors()] == [("url",)]


# --- the secret -----------------------------------------------------------------------------------


def test_a_rotated_secret_is_in_use_a_minute_later(
    secret: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr("tasks.webhook_secrets.time.monotonic", lambda: now)
    assert webhook_secrets.webhook_key("acme/main") == KEY
    other = b"another key of 24 bytes."
    put_secret("acme/main", base64.b64encode(other).decode())
    assert webhook_secrets.webhook_key("acme/main") == KEY
    now += 61
    assert webhook_secrets.webhook_key("acme/main") == other


def test_a_secret_that_does_not_exist_is_named(secret: None) -> None:
    with pytest.raises(DoNotRetry, match="no webhook secret named 'acme/none'"):
        send(secret="acme/none")


@pytest.mark.parametrize(
    "written", ["whsec_short", "whsec_????", "plain words", "whsec_\u00e9\u00e9"]
)
def test_a_secret_that_is_no_key_is_never_signed_with_nor_shown(secret: None, written: str) -> None:
    put_secret("acme/bad", written)
    with pytest.raises(DoNotRetry, match="the webhook secret 'acme/bad' is not") as error:
        send(secret="acme/bad")
    assert written not in str(error.value)


@pytest.mark.parametrize("name", ["", "/acme", "acme/", "a//b", "../other", "a/../b", "a b", "a.b"])
def test_a_secrets_name_stays_below_its_path(name: str) -> None:
    with pytest.raises(ValidationError):
        PostWebhook(url=f"https://{HOST}/", event_id="evt_1", body={}, secret=name)


def test_without_a_path_for_secrets_the_setting_is_named(
    aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WEBHOOK_SECRETS_PATH", raising=False)
    webhook_secrets.forget()
    with pytest.raises(MissingSetting, match="WEBHOOK_SECRETS_PATH"):
        send()
