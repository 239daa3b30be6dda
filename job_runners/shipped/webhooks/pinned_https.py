"""Send an HTTPS request to a given IP address, within a total time limit.

The caller has checked the address, so the host must not be resolved a second time.
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
    """The IP address to connect to, and the host that the server's certificate must name."""

    host: str
    address: str
    port: int
    uses_tls: bool = True


class ResponseHead(NamedTuple):
    """A response's status and Retry-After. Its body is never read, because it may be endless."""

    status: int
    retry_after: str | None


def post(
    target: Target, path: str, body: bytes, headers: Mapping[str, str], seconds: float
) -> ResponseHead:
    """Post the body, and return the response's head. This follows no redirects.

    Raises WebhookFailed if there is no response within `seconds`.
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
        _wrap_in_tls(tcp_socket, target) as sock,
        _time_limit(sock, seconds - (time.monotonic() - started_at)),
    ):
        if isinstance(sock, ssl.SSLSocket):
            sock.do_handshake()
        connection = HTTPConnection(target.host, target.port)
        connection.sock = sock
        yield connection


def _wrap_in_tls(tcp_socket: socket.socket, target: Target) -> socket.socket:
    """Wrap the socket if the target uses TLS. The caller does the handshake."""
    if not target.uses_tls:
        return tcp_socket
    # The certificate must name the host, although we connect to an address.
    return _tls_context().wrap_socket(
        tcp_socket, server_hostname=target.host, do_handshake_on_connect=False
    )


@contextmanager
def _time_limit(sock: socket.socket, seconds: float) -> Iterator[None]:
    """Raise TimeoutError after `seconds`. A socket's own timeout restarts with every byte."""
    expired = threading.Event()

    def close() -> None:
        expired.set()
        with suppress(OSError):  # the receiver has already closed it
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
