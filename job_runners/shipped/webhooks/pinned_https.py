"""Send one HTTPS request to one address, with a time limit, and read only the response's head."""

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


class Answer(NamedTuple):
    """The head of a response. The body is never read, because it may be endless."""

    status: int
    retry_after: str | None


def post(
    target: Target, path: str, body: bytes, headers: Mapping[str, str], seconds: float
) -> Answer:
    """Send the request and read the response's head. Redirects aren't followed.

    Raises WebhookFailed if this fails or takes longer than `seconds`.
    """
    host = target.host if target.port == 443 else f"{target.host}:{target.port}"
    try:
        with _connect(target, seconds) as connection:
            connection.request("POST", path, body, {"Host": host, **headers})
            with connection.getresponse() as answer:
                return Answer(answer.status, answer.headers.get("Retry-After"))
    except ssl.SSLCertVerificationError as error:
        why = f"has no valid certificate: {error.verify_message}"
        raise WebhookFailed(target.host, why) from error
    except TimeoutError as error:
        raise WebhookFailed(target.host, f"did not answer within {seconds:g} s") from error
    except (OSError, HTTPException) as error:
        raise WebhookFailed(target.host, f"did not answer: {error!r}") from error


@contextmanager
def _connect(target: Target, seconds: float) -> Iterator[HTTPConnection]:
    began = time.monotonic()
    with (
        socket.create_connection((target.address, target.port), timeout=seconds) as plain,
        _secured(plain, target) as connected,
        _time_limit(connected, seconds - (time.monotonic() - began)),
    ):
        if isinstance(connected, ssl.SSLSocket):
            connected.do_handshake()
        connection = HTTPConnection(target.host, target.port)
        connection.sock = connected
        yield connection


def _secured(plain: socket.socket, target: Target) -> socket.socket:
    """Return the connection with TLS, before its handshake, if the target has TLS."""
    if not target.has_tls:
        return plain
    # TLS sends and checks the host's name as usual, but DNS doesn't resolve it a second time.
    return _tls().wrap_socket(plain, server_hostname=target.host, do_handshake_on_connect=False)


@contextmanager
def _time_limit(connected: socket.socket, seconds: float) -> Iterator[None]:
    """Cut the connection after `seconds`, because a socket's timeout restarts with every byte."""
    expired = threading.Event()

    def cut() -> None:
        expired.set()
        with suppress(OSError):  # the other end has closed it already
            # SSLSocket's own shutdown would remove the TLS session that the main thread reads from.
            socket.socket.shutdown(connected, socket.SHUT_RDWR)

    timer = threading.Timer(max(seconds, 0), cut)
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
