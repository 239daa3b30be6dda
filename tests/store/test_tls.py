"""What a request waits for on a fresh process: the certificates are read once, and no more of them
than the endpoint needs."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from botocore.exceptions import SSLError

from job_runners.aws import clients, tls
from job_runners.testing.aws import forget
from tls_server import TlsServer, make_certificate

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: 2\r\n\r\n{}"
CALLS = (
    ("dynamodb", "get_item", {"TableName": "jobs", "Key": {"id": {"S": "1"}}}),
    ("lambda", "invoke", {"FunctionName": "worker", "Payload": b"{}"}),
)


class Counted(ssl.SSLContext):
    """A context that knows how often it was made, and how often certificates were read into one."""

    made: ClassVar[int] = 0
    read: ClassVar[int] = 0

    def __init__(self, *_: Any) -> None:
        Counted.made += 1
        self.verify_mode = ssl.CERT_REQUIRED

    def load_verify_locations(self, *given: Any, **named: Any) -> None:
        Counted.read += 1
        super().load_verify_locations(*given, **named)


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Count the contexts of a new process, which trusts what botocore does."""
    for variable in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(variable, raising=False)
    read_environment(monkeypatch)
    monkeypatch.setattr(Counted, "made", 0)
    monkeypatch.setattr(Counted, "read", 0)
    monkeypatch.setattr(tls, "create_urllib3_context", lambda: Counted(ssl.PROTOCOL_TLS_CLIENT))
    for kept in (tls.context_for_file, tls.context_for_amazon):
        kept.cache_clear()
    yield
    for kept in (tls.context_for_file, tls.context_for_amazon):
        kept.cache_clear()


def read_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next client read the environment again, as in a new process."""
    monkeypatch.setattr(clients, "_session", None)
    clients.drop_clients()


def serve(monkeypatch: pytest.MonkeyPatch, folder: Path, host: str) -> TlsServer:
    """Return an AWS over TLS, whose authority is the one that clients trust."""
    chain, authority = make_certificate(folder, host)
    server = TlsServer(chain)
    server.answer = OK
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://localhost:{server.port}")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority))
    read_environment(monkeypatch)
    forget()
    return server


def test_certificates_are_read_once_for_all_clients_and_connections(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with serve(monkeypatch, tmp_path, "localhost") as server:
        for _ in range(3):  # the server closes each connection after its answer
            for service, method, given in CALLS:
                getattr(clients.client(service), method)(**given)
        assert len(server.requests) == 6
    assert (Counted.made, Counted.read) == (1, 1)


@pytest.mark.parametrize("trusted", [True, False])
def test_a_server_that_is_not_who_it_should_be_is_refused(
    trusted: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By its name, or because nobody vouches for it."""
    with serve(monkeypatch, tmp_path, "elsewhere.example" if trusted else "localhost"):
        if not trusted:
            (tmp_path / "other").mkdir()
            _, other = make_certificate(tmp_path / "other", "localhost")
            monkeypatch.setenv("AWS_CA_BUNDLE", str(other))
            read_environment(monkeypatch)
        with pytest.raises(SSLError):
            clients.client("dynamodb").get_item(**CALLS[0][2])


@pytest.mark.parametrize(
    ("region", "certificates"),
    [("us-east-1", 5), ("eu-central-2", 5), ("us-gov-west-1", 5), ("cn-north-1", 100)],
)
def test_an_endpoint_of_aws_takes_amazon_s_authorities_alone(
    region: str, certificates: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    read_environment(monkeypatch)
    made = clients.client("dynamodb")
    context = made._endpoint.http_session._manager.connection_pool_kw["ssl_context"]
    assert context.get_ca_certs() == []  # until there is a request
    tls.read_certificates(made)
    tls.read_certificates(clients.client("lambda"))
    names = [dict(pair[0] for pair in each["subject"]) for each in context.get_ca_certs()]
    assert len(names) >= certificates
    if certificates == 5:
        assert len(names) == 5
        assert {each["organizationName"] for each in names} == {
            "Amazon",
            "Starfield Technologies, Inc.",
        }
    assert (Counted.made, Counted.read) == (1, 1)


def test_what_is_not_over_tls_or_goes_through_a_proxy_is_botocore_s_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    read_environment(monkeypatch)
    assert type(clients.client("dynamodb")._endpoint.http_session) is not tls._Session
    monkeypatch.delenv("HTTPS_PROXY")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    read_environment(monkeypatch)
    assert type(clients.client("dynamodb")._endpoint.http_session) is not tls._Session
    assert Counted.made == 0


def test_a_session_times_out_and_pools_as_the_client_s_configuration_says() -> None:
    for service, seconds in (("dynamodb", 5.0), ("s3", 30.0)):
        session: Any = clients.client(service)._endpoint.http_session
        assert type(session).__name__ == "_Session"
        assert (session._timeout.connect_timeout, session._timeout.read_timeout) == (3.0, seconds)
        assert session._max_pool_connections == 32
