"""Send an HTTPS request to a given IP address, with a time limit, and read the response's head.

The head is the status and the headers.
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


class Target(NamedTuple):
    """The address to connect to, and the host that the server's certificate must name."""

    host: str
    address: str
    port: int
    has_tls: bool = True


class ResponseHead(NamedTuple):
    """What a webhook needs of a response. The body is never read, because it may be endless."""

    status: int
    retry_after: str | None


def post(
    target: Target, path: str, body: bytes, headers: Mapping[str, str], seconds: float
) -> ResponseHead:
    """Send the request and read the response's head. Redirects aren't followed.

    Raises WebhookFailed if this fails or takes longer than `seconds`.
    """
    host = target.host if target.port == 443 else f"{target.host}:{target.port}"
    try:
        with _connect(target, seconds) as connection:
            connection.request("POST", path, body, {"Host": host, **headers})
            with connection.getresponse() as response:
                return ResponseHead(response.status, response.headers.get("Retry-After"))
    except ssl.SSLCertVerificationError as error:
        problem = f"has no valid certificate: {error.verify_message}"
        raise WebhookFailed(target.host, problem) from error
    except TimeoutError as error:
        raise WebhookFailed(target.host, f"did not answer within {seconds:g} s") from error
    except (OSError, HTTPException) as error:
        raise WebhookFailed(target.host, f"did not answer: {error!r}") from error


@contextmanager
def _connect(target: Target, seconds: float) -> Iterator[HTTPConnection]:
    started_at = time.monotonic()
    with (
        socket.create_connection((target.address, target.port), timeout=seconds) as tcp_socket,
        _add_tls(tcp_socket, target) as sock,
        _time_limit(sock, seconds - (time.monotonic() - started_at)),
    ):
        if isinstance(sock, ssl.SSLSocket):
            sock.do_handshake()
        connection = HTTPConnection(target.host, target.port)
        connection.sock = sock
        yield connection


def _add_tls(tcp_socket: socket.socket, target: Target) -> socket.socket:
    """Return the socket with TLS, before the handshake, if the target uses TLS."""
    if not target.has_tls:
        return tcp_socket
    # The certificate is checked for the host's name, although we connect to its address.
    return _tls().wrap_socket(
        tcp_socket, server_hostname=target.host, do_handshake_on_connect=False
    )


@contextmanager
def _time_limit(sock: socket.socket, seconds: float) -> Iterator[None]:
    """Close the connection after `seconds`. A socket's own timeout restarts with every byte."""
    expired = threading.Event()

    def close() -> None:
        expired.set()
        with suppress(OSError):  # the other end has closed it already
            # SSLSocket's own shutdown would remove the TLS session that the main thread reads from.
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
def _tls() -> ssl.SSLContext:
    # Cached, because loading the certificate authorities takes longer than a request.
    return ssl.create_default_context()
