"""Share one TLS context between all AWS clients.

A *context* contains the certificates of the authorities that a client trusts. botocore gives each
client a context of its own, and urllib3 reads the certificates of more than a hundred authorities
into it for each new connection. This takes 6 ms of CPU time. Here, a process reads them only once,
before its first request. For AWS endpoints, it reads only the certificates of Amazon's authorities,
because these sign the endpoints' certificates.
"""

import ssl
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.httpsession import URLLib3Session, create_urllib3_context, get_cert_path

# The authorities for AWS endpoints (https://www.amazontrust.com/repository), by their labels in
# botocore's bundle of certificates.
_AMAZON_AUTHORITIES = (
    *(f"Amazon Root CA {number}" for number in (1, 2, 3, 4)),
    "Starfield Services Root Certificate Authority - G2",
)
_AWS_DOMAIN = ".amazonaws.com"  # all regions have it, except those in China and of US agencies


def share_context(client: Any) -> None:
    """Make a new botocore client use the shared context for its connections.

    A client that uses a proxy, no TLS, or no certificate checks stays unchanged.
    """
    endpoint = client._endpoint
    original: Any = endpoint.http_session
    proxy = original._proxy_config.proxy_url_for(endpoint.host)
    if proxy or not original._verify or not endpoint.host.startswith("https:"):
        return
    host = urlsplit(endpoint.host).netloc  # `endpoint.host` is a URL
    # `_verify` is True for botocore's own certificates, or the path of a file with certificates.
    if original._verify is True and host.endswith(_AWS_DOMAIN):
        lazy_context = context_for_amazon()
    else:
        lazy_context = context_for_file(get_cert_path(original._verify))
    endpoint.http_session = _Session(
        lazy_context,
        verify=original._verify,
        timeout=(client.meta.config.connect_timeout, client.meta.config.read_timeout),
        max_pool_connections=client.meta.config.max_pool_connections,
        socket_options=original._socket_options,
        client_cert=client.meta.config.client_cert,
    )


class LazyContext:
    """A TLS context whose certificates are read only before its first use.

    `find_certificates` returns the keyword arguments of `SSLContext.load_verify_locations`.
    """

    def __init__(self, find_certificates: Callable[[], dict[str, Any]]) -> None:
        self.context: ssl.SSLContext = create_urllib3_context()
        self._find_certificates = find_certificates
        self._is_read = False
        self._lock = threading.Lock()

    def read(self) -> None:
        """Read the certificates, unless they have been read."""
        if self._is_read:
            return
        with self._lock:
            if not self._is_read:
                self.context.load_verify_locations(**self._find_certificates())
                self._is_read = True


class _Session(URLLib3Session):
    """A botocore HTTP session whose connections use a shared context."""

    def __init__(self, lazy_context: LazyContext, **options: Any) -> None:
        self.lazy_context = lazy_context
        super().__init__(**options)

    def _get_ssl_context(self) -> ssl.SSLContext:
        return self.lazy_context.context

    def _setup_ssl_cert(self, pool: Any, url: str, verify: Any) -> None:
        super()._setup_ssl_cert(pool, url, verify)  # type: ignore[misc] # botocore's stubs lack it
        pool.ca_certs = None  # otherwise urllib3 would read the certificates for each connection
        self.lazy_context.read()


def read_certificates(client: Any) -> None:
    """Read a client's certificates now, so that Lambda's snapshot (SnapStart) contains them."""
    session = client._endpoint.http_session
    if isinstance(session, _Session):
        session.lazy_context.read()


@cache
def context_for_file(path: str | None) -> LazyContext:
    """Return the context that trusts the authorities in a file."""
    return LazyContext(lambda: {"cafile": path})


@cache
def context_for_amazon() -> LazyContext:
    """Return the context that trusts Amazon's authorities."""
    return LazyContext(lambda: {"cadata": "\n".join(_certificates(_AMAZON_AUTHORITIES))})


def _certificates(labels: tuple[str, ...]) -> list[str]:
    """Return the certificates with these labels from botocore's bundle.

    In the bundle, each certificate follows its label and other comments.
    """
    bundle = Path(get_cert_path(True) or "").read_text(encoding="utf-8")
    last_line = "-----END CERTIFICATE-----"
    certificates = []
    for label in labels:
        label_position = bundle.index(f'# Label: "{label}"\n')
        start = bundle.index("-----BEGIN", label_position)
        end = bundle.index(last_line, start) + len(last_line)
        certificates.append(bundle[start:end])
    return certificates
