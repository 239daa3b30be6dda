"""Share one TLS context between all AWS clients.

botocore gives each client its own context, and for each new connection, urllib3 reads the
certificates of more than a hundred authorities into it. That takes 6 ms of CPU time before a
request is sent. Here, a process reads them once, before its first request. For AWS endpoints, it
reads only the certificates of Amazon's authorities, which sign the certificates of these endpoints.
"""

import ssl
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from botocore.httpsession import URLLib3Session, create_urllib3_context, get_cert_path

# The authorities for AWS endpoints (https://www.amazontrust.com/repository), with their labels in
# botocore's bundle of certificates.
_AMAZON_AUTHORITIES = (
    *(f"Amazon Root CA {number}" for number in (1, 2, 3, 4)),
    "Starfield Services Root Certificate Authority - G2",
)
_AWS_DOMAIN = ".amazonaws.com"  # in all regions except China and the secret ones


def share_context(client: Any) -> None:
    """Make a new botocore client use the shared context for its connections.

    A client with a proxy, without TLS, or without certificate checks stays as it is.
    """
    endpoint = client._endpoint
    original: Any = endpoint.http_session
    proxy = original._proxy_config.proxy_url_for(endpoint.host)
    if proxy or not original._verify or not endpoint.host.startswith("https:"):
        return
    host = endpoint.host.partition("//")[2].partition("/")[0]
    if original._verify is True and host.endswith(_AWS_DOMAIN):
        trust = amazon_trust()
    else:
        trust = bundle_trust(get_cert_path(original._verify))
    endpoint.http_session = _Session(
        trust,
        verify=original._verify,
        timeout=(client.meta.config.connect_timeout, client.meta.config.read_timeout),
        max_pool_connections=client.meta.config.max_pool_connections,
        socket_options=original._socket_options,
        client_cert=client.meta.config.client_cert,
    )


class Trust:
    """A TLS context, and the certificates that it reads before its first use.

    The constructor takes functions that return the arguments of `load_verify_locations`.
    """

    def __init__(self, **loaders: Callable[[], Any]) -> None:
        self.context: ssl.SSLContext = create_urllib3_context()
        self._loaders: dict[str, Callable[[], Any]] | None = loaders  # None once they were called
        self._lock = threading.Lock()

    def read(self) -> None:
        """Read the certificates, unless they have been read."""
        if self._loaders is None:
            return
        with self._lock:
            if self._loaders is not None:
                certificates = {name: load() for name, load in self._loaders.items()}
                self.context.load_verify_locations(**certificates)
                self._loaders = None


class _Session(URLLib3Session):
    """A botocore HTTP session whose connections use a shared context."""

    def __init__(self, trust: Trust, **options: Any) -> None:
        self.trust = trust
        super().__init__(**options)

    def _get_ssl_context(self) -> ssl.SSLContext:
        return self.trust.context

    def _setup_ssl_cert(self, pool: Any, url: str, verify: Any) -> None:
        super()._setup_ssl_cert(pool, url, verify)  # type: ignore[misc] # its stubs lack it
        pool.ca_certs = None  # otherwise urllib3 would read them for each connection
        self.trust.read()


def read_certificates(client: Any) -> None:
    """Read a client's certificates before its first request, for a snapshot of the process."""
    session = client._endpoint.http_session
    if isinstance(session, _Session):
        session.trust.read()


@cache
def bundle_trust(file: str | None) -> Trust:
    """Return the context that trusts the authorities in a file."""
    return Trust(cafile=lambda: file)


@cache
def amazon_trust() -> Trust:
    """Return the context that trusts Amazon's authorities."""
    return Trust(cadata=lambda: "\n".join(_certificates(_AMAZON_AUTHORITIES)))


def _certificates(authorities: tuple[str, ...]) -> list[str]:
    """Return the certificates of these authorities from botocore's bundle, which labels each."""
    text = Path(get_cert_path(True) or "").read_text(encoding="utf-8")
    begin, end = "-----BEGIN", "-----END CERTIFICATE-----"
    certificates = []
    for name in authorities:
        after_label = text.partition(f'# Label: "{name}"\n')[2]
        content = after_label.partition(end)[0].partition(begin)[2]
        certificates.append(begin + content + end)
    return certificates
