"""Share one TLS context between all AWS clients.

botocore gives each client its own context, and urllib3 reads the certificates of more than a
hundred authorities into it for each new connection. That takes 6 ms of CPU before a request is
sent. Here, a process reads them once, before its first request. For AWS endpoints it reads only the
certificates of Amazon's authorities, which sign these endpoints.
"""

import ssl
import threading
from functools import cache
from pathlib import Path
from typing import Any

from botocore.httpsession import URLLib3Session, create_urllib3_context, get_cert_path

# The authorities that sign AWS endpoints (https://www.amazontrust.com/repository), with their names
# in botocore's bundle.
_AMAZON = (
    *(f"Amazon Root CA {number}" for number in (1, 2, 3, 4)),
    "Starfield Services Root Certificate Authority - G2",
)
_AWS = ".amazonaws.com"  # in all regions except China and the secret ones


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
    by_amazon = original._verify is True and host.endswith(_AWS)
    endpoint.http_session = _Session(
        amazon_trust() if by_amazon else bundle_trust(get_cert_path(original._verify)),
        verify=original._verify,
        timeout=(client.meta.config.connect_timeout, client.meta.config.read_timeout),
        max_pool_connections=client.meta.config.max_pool_connections,
        socket_options=original._socket_options,
        client_cert=client.meta.config.client_cert,
    )


class Trust:
    """A context, and the certificates that it reads before its first use."""

    def __init__(self, **certificates: Any) -> None:
        self.context: ssl.SSLContext = create_urllib3_context()
        self._unread: dict[str, Any] | None = certificates
        self._lock = threading.Lock()

    def read(self) -> None:
        """Read the certificates, unless they have been read."""
        if self._unread is None:
            return
        with self._lock:
            if self._unread is not None:
                found = {name: each() for name, each in self._unread.items()}
                self.context.load_verify_locations(**found)
                self._unread = None


class _Session(URLLib3Session):
    """A botocore HTTP session whose connections use the certificates of the context."""

    def __init__(self, trust: Trust, **given: Any) -> None:
        self.trust = trust
        super().__init__(**given)

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
    return Trust(cadata=lambda: "\n".join(_certificates(_AMAZON)))


def _certificates(names: tuple[str, ...]) -> list[str]:
    """Return the certificates of these authorities from botocore's bundle, which labels each with
    its authority's name."""
    text = Path(get_cert_path(True) or "").read_text(encoding="utf-8")
    end = "-----END CERTIFICATE-----"
    found = []
    for name in names:
        labelled = text.partition(f'# Label: "{name}"\n')[2]
        found.append("-----BEGIN" + labelled.partition(end)[0].partition("-----BEGIN")[2] + end)
    return found
