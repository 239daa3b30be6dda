"""As whom the client calls, where it sends that, and where it does not."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bad_server import BadServer, answer
from job_runners import (
    AccessDenied,
    Client,
    ConfigurationError,
    Credentials,
    NoAnswer,
)
from job_runners.client import repeating
from job_runners.client.errors import InsecureAddress, NoCredentials, UnexpectedAnswer
from jobs_command import ID, job
from tls_server import TlsServer, make_certificate

EXPIRED = answer(403, {"message": "The security token included in the request is expired"})
FOUND = answer(200, job("queued"))
CLEARED = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
)


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Start from a machine on which nothing is set up."""
    for name in (*CLEARED, *(each for each in os.environ if each.startswith("JOB_RUNNERS_"))):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(repeating, "_FIRST_WAIT", 0.01)


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the variables that Lambda sets."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session")


def signed_by(server: BadServer) -> list[str]:
    """Return the access key of each request."""
    texts = [each.headers["authorization"] for each in server.seen]
    return [text.partition("Credential=")[2].partition("/")[0] for text in texts]


# --- credentials ----------------------------------------------------------------------------------


def test_those_of_the_environment_are_used_and_read_each_time(
    server: BadServer, keys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.then = FOUND
    client = Client(url=server.url)
    client.get(ID)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDNEW")
    client.get(ID)
    assert signed_by(server) == ["AKIDENV", "AKIDNEW"]
    assert server.seen[0].headers["x-amz-security-token"] == "session"
    assert "/eu-west-1/execute-api/aws4_request" in server.seen[0].headers["authorization"]


def test_botocore_finds_those_of_a_profile(
    server: BadServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "credentials").write_text(
        "[work]\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = s\n"
    )
    (tmp_path / "config").write_text("[profile work]\nregion = ap-south-1\n")
    monkeypatch.setenv("AWS_PROFILE", "work")
    monkeypatch.delenv("AWS_REGION")
    server.then = FOUND
    Client(url=server.url).get(ID)
    assert signed_by(server) == ["AKIDPROFILE"]
    assert "/ap-south-1/" in server.seen[0].headers["authorization"]
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(NoCredentials, match="nobody"):
        Client(url=server.url, region="eu-west-1").get(ID)


def test_without_any_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoCredentials, match="No AWS credentials found"):
        Client(url="http://127.0.0.1:1").get(ID)
    for name in ("botocore", "botocore.session"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(NoCredentials, match=r"pip install 'job-runners\[aws\]'"):
        Client(url="http://127.0.0.1:1").get(ID)
    monkeypatch.delenv("AWS_REGION")
    with pytest.raises(ConfigurationError, match="No AWS region is set"):
        Client(url="http://127.0.0.1:1").get(ID)


def test_credentials_that_were_refused_are_renewed_once(server: BadServer) -> None:
    given = iter(["OLD", "NEW", "NEW", "NEW"])
    server.script = [EXPIRED, FOUND]
    Client(url=server.url, credentials=lambda: Credentials(next(given), "s")).get(ID)
    assert signed_by(server) == ["OLD", "NEW"]
    server.then = EXPIRED
    with pytest.raises(AccessDenied, match="execute-api:Invoke"):
        Client(url=server.url, credentials=Credentials("SAME", "s")).get(ID)
    assert signed_by(server)[2:] == ["SAME"]


def test_a_task_refused_for_its_credentials_is_sent_with_new_ones(server: BadServer) -> None:
    given = iter(["OLD", "NEW", "NEW"])
    server.script = [EXPIRED, answer(202, {"id": "t", "status": "sent"})]
    client = Client(url=server.url, credentials=lambda: Credentials(next(given), "s"))
    assert client.dispatch_task("send_message") == "t"


def test_a_token_is_shown_and_a_function_is_asked_for_a_new_one(server: BadServer) -> None:
    tokens = iter(["one", "two", "two"])
    server.script = [answer(401, {"message": "Unauthorized"}), FOUND]
    Client(url=server.url, token=lambda: next(tokens)).get(ID)
    assert [each.headers["authorization"] for each in server.seen] == ["Bearer one", "Bearer two"]
    assert "x-amz-date" not in server.seen[0].headers
    server.then = answer(401, {"message": "Unauthorized"})
    with pytest.raises(AccessDenied, match="may have expired"):
        Client(url=server.url, token="old").get(ID)
    assert len(server.seen) == 3


def test_a_token_says_the_organisation_itself_and_a_signature_does_not(server: BadServer) -> None:
    server.then = answer(200, {"jobs": [], "cursor": None})
    own = Credentials("k", "s")
    for client in (
        Client(url=server.url, token="t"),
        Client(url=server.url, credentials=own),
        Client(url=server.url, credentials=own, organization_id="acme"),
    ):
        list(client.list(page_size=5))
    list(client.list(page_size=5, organization_id="other & co"))
    assert [each.path for each in server.seen] == [
        "/jobs?limit=5",
        "/jobs?organization_id=default&limit=5",
        "/jobs?organization_id=acme&limit=5",
        "/jobs?organization_id=other%20%26%20co&limit=5",
    ]


# --- where they go --------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(server: BadServer, keys: None, status: int) -> None:
    with BadServer() as elsewhere:
        server.then = answer(status, b"", Location=f"{elsewhere.url}/jobs")
        client = Client(url=server.url)
        calls: list[Callable[[], object]] = [
            lambda: client.get(ID),
            lambda: client.dispatch_task("x"),
        ]
        for call in calls:
            with pytest.raises(UnexpectedAnswer, match="no credentials to a redirect") as caught:
                call()
            assert caught.value.location == f"{elsewhere.url}/jobs"
        assert elsewhere.seen == []
    assert len(server.seen) == 2


def test_nothing_goes_over_a_network_in_the_clear(server: BadServer, keys: None) -> None:
    here = server.url.replace("127.0.0.1", "0.0.0.0")  # leads here, and is not loopback
    for token in (None, "t0ken"):
        with pytest.raises(InsecureAddress, match="https address"):
            Client(url=here, token=token).get(ID)
    assert server.connections == 0


@pytest.mark.parametrize(
    "url",
    [
        "api.example.com",
        "ftp://api.example.com",
        "https://",
        "https://api.example.com/?a=b",
        "https://me:secret@api.example.com",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        Client(url=url)


def test_the_address_may_come_from_the_environment(
    server: BadServer, keys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match="JOB_RUNNERS_URL"):
        Client()
    monkeypatch.setenv("JOB_RUNNERS_URL", server.url)
    monkeypatch.setenv("JOB_RUNNERS_TOKEN", "t0ken")
    server.then = FOUND
    Client().get(ID)
    Client(url=server.url).get(ID)  # whose token it is not
    first, second = (each.headers["authorization"] for each in server.seen)
    assert first == "Bearer t0ken"
    assert second.startswith("AWS4")
    with pytest.raises(ConfigurationError, match="not both"):
        Client(url=server.url, stack="prod")


def test_the_region_is_the_one_that_the_address_says(monkeypatch: pytest.MonkeyPatch) -> None:
    from job_runners.client.addresses import region_for

    assert region_for("https://abc123.execute-api.us-gov-west-1.amazonaws.com/x") == "us-gov-west-1"
    assert region_for("https://abc.execute-api.cn-north-1.amazonaws.com.cn") == "cn-north-1"
    assert region_for("https://jobs.example.com") == "eu-west-1"


def test_a_server_must_prove_who_it_is(
    keys: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    certificate, authority = make_certificate(tmp_path, "localhost")
    with TlsServer(certificate) as server:
        body = json.dumps(job("queued")).encode()
        server.answer = b"HTTP/1.1 202 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        url = f"https://localhost:{server.port}"
        with pytest.raises(NoAnswer, match="CERTIFICATE_VERIFY_FAILED") as caught:
            Client(url=url, max_attempts=1).dispatch("x")
        assert not caught.value.may_have_landed
        assert server.requests == []
        monkeypatch.setenv("AWS_CA_BUNDLE", str(authority))
        assert Client(url=url, max_attempts=1).dispatch("x").id == ID
        with pytest.raises(NoAnswer, match="mismatch"):
            Client(url=url.replace("localhost", "127.0.0.1"), max_attempts=1).dispatch("x")
        assert len(server.requests) == 1


def test_a_proxy_is_given_no_credentials_of_the_api(
    server: BadServer, keys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.then = answer(403, b"")
    monkeypatch.setenv("HTTPS_PROXY", server.url.replace("http://", "http://me:pass@"))
    with pytest.raises(NoAnswer, match="Can't reach") as caught:
        Client(url="https://api.example.com", max_attempts=1).dispatch_task("x")
    assert not caught.value.may_have_landed
    [asked] = server.seen
    assert (asked.method, asked.path) == ("CONNECT", "api.example.com:443")
    assert asked.headers["proxy-authorization"] == "Basic bWU6cGFzcw=="
    assert "authorization" not in asked.headers
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server.then = FOUND
    Client(url=server.url).get(ID)  # loopback: not through the proxy


def test_a_fork_uses_connections_of_its_own(server: BadServer, keys: None) -> None:
    server.then = FOUND
    client = Client(url=server.url)
    client.get(ID)
    seen: list[Any] = []
    client._api._connections._process = -1  # as if this were the child
    thread = threading.Thread(target=lambda: seen.append(client.get(ID)))
    thread.start()
    thread.join(60)
    assert seen[0].id == ID
    assert server.connections == 2
