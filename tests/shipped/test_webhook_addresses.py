"""Where post_webhook may not go: no address that only we can reach, however it is written."""

import socket
from typing import Any

import pytest
from pydantic import ValidationError

from job_runners import settings
from job_runners.errors import DoNotRetry
from job_runners.shipped.jobs.post_webhook import PostWebhook
from job_runners.shipped.webhooks import posting
from job_runners.shipped.webhooks.errors import WebhookFailed
from job_runners.shipped.webhooks.public_address import resolve_public_address
from job_runners.shipped.webhooks.url import parse_url
from webhook_sender import KEY, resolve_to, send


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a signing key without an AWS to ask for it, where only the connection matters."""
    monkeypatch.setattr(posting, "webhook_keys", lambda name: [KEY])


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
        "2002:808:808::",
        "192.0.0.9",
        "192.31.196.1",
        "192.52.193.1",
        "192.88.99.1",
        "192.175.48.1",
        "168.63.129.16",
        "::ffff:192.88.99.1",
        "64:ff9b::c058:6301",
        "2001::1",
        "2001:1::1",
        "2001:3::1",
        "2001:4:112::1",
        "2001:20::1",
        "2001:30::1",
        "2001:db8::1",
        "2620:4f:8000::1",
        "3ffe::1",
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
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, address)
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("connected"))
    with pytest.raises(DoNotRetry, match="is not on the public internet"):
        send()


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2001:4860:4860::8888"],
)
def test_an_address_that_is_public_is_the_one_connected_to(
    address: str, monkeypatch: pytest.MonkeyPatch
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
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve_to(monkeypatch, "8.8.8.8", "10.0.0.1")
    with pytest.raises(DoNotRetry, match=r"is not on the public internet: 10\.0\.0\.1"):
        send()


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001", "127.1", "localhost"],
)
def test_no_way_of_writing_our_own_address_gets_there(host: str) -> None:
    with pytest.raises(ValidationError, match="must be on the public internet"):
        send(url=f"https://{host}/")
    with pytest.raises(DoNotRetry, match="is not on the public internet"):
        resolve_public_address(
            host, 443
        )  # the name of another host may resolve to the same address


def test_a_host_without_an_address_may_have_one_later(monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_is_allowed_only_on_a_local_aws_that_is_told_so(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://{host}:8000/hook"
    for told, aws in (("", ""), ("true", ""), ("", "http://127.0.0.1:4566")):
        monkeypatch.setenv("LOOPBACK_WEBHOOKS", told)
        monkeypatch.setenv("AWS_ENDPOINT_URL", aws)
        settings.forget()
        with pytest.raises(ValueError, match="must begin with https"):
            parse_url(url)
    monkeypatch.setenv("LOOPBACK_WEBHOOKS", "true")
    settings.forget()
    assert parse_url(url).is_loopback
    for other in ("http://10.0.0.1/hook", "http://example.com/hook", "https://127.0.0.1/hook"):
        with pytest.raises(ValueError, match="must "):
            parse_url(other)
