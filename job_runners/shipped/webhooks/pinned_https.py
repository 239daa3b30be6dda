"""Send an HTTPS request to a given IP address, within a total time limit.

The caller has checked the address. Resolving the host again could return another address.
"""

import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from http.client import HTTPConnection, HTTPException
from typing import NamedTuple

from job_runners.shipped.webhooks.errors import WebhookFailed


class PinnedHost(NamedTuple):
    """A host, and the IP address to connect to. The server's certificate must name the host."""

    name: str
    address: str
    port: int
    uses_tls: bool = True


class ResponseHead(NamedTuple):
    """A response's status and Retry-After. Its body is never read, because it may be endless."""

    status: int
    retry_after: str | None


def post(
    host: PinnedHost, path: str, body: bytes, headers: Mapping[str, str], seconds: float
) -> ResponseHead:
    """Post the body, and return the response's head. This follows no redirects.

    Raises WebhookFailed if there is no response within `seconds`.
    """
    host_header = host.name if host.port == 443 else f"{host.name}:{host.port}"
    try:
        with _connect(host, seconds) as connection:
            connection.request("POST", path, body, {"Host": host_header, **headers})
            with connection.getresponse() as response:
                return ResponseHead(response.status, response.headers.get("Retry-After"))
    except ssl.SSLCertVerificationError as error:
        problem = f"has no valid certificate: {error.verify_message}"
        raise WebhookFailed(host.name, problem) from error
    except TimeoutError as error:
        raise WebhookFailed(host.name, f"did not answer within {seconds:g} s") from error
    except (OSError, HTTPException) as error:
        raise WebhookFailed(host.name, f"did not answer: {error!r}") from error


@contextmanager
def _connect(host: PinnedHost, seconds: float) -> Iterator[HTTPConnection]:
    """Connect to the host, and close the connection after `seconds` at the latest."""
    started_at = time.monotonic()
    with (
        socket.create_connection((host.address, host.port), timeout=seconds) as tcp_socket,
        _wrap_in_tls(tcp_socket, host) as sock,
        _time_limit(sock, seconds - (time.monotonic() - started_at)),
    ):
        if isinstance(sock, ssl.SSLSocket):
            sock.do_handshake()
        connection = HTTPConnection(host.name, host.port)
        connection.sock = sock
        yield connection


def _wrap_in_tls(tcp_socket: socket.socket, host: PinnedHost) -> socket.socket:
    """Wrap the socket if the host uses TLS. The caller does the handshake."""
    if not host.uses_tls:
        return tcp_socket
    # The certificate must name the host, although we connect to an address.
    return _tls_context().wrap_socket(
        tcp_socket, server_hostname=host.name, do_handshake_on_connect=False
    )


@contextmanager
def _time_limit(sock: socket.socket, seconds: float) -> Iterator[None]:
    """Close the socket after `seconds`, and raise TimeoutError in the code that uses it.

    The socket's own timeout doesn't suffice, because it starts again with every byte.
    """
    expired = threading.Event()

    def close() -> None:
        expired.set()
        with suppress(OSError):  # the receiver may have closed the connection already
            # SSLSocket.shutdown would also discard the TLS session that the main thread still uses.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    timer = threading.Timer(max(seconds, 0), close)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, HTTPException) as error:
        if expired.is_set():
            raise TimeoutError from error
        raise
    finally:
        timer.cancel()


@cache
def _tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()  # loads all certificate authorities, which is slow
