"""One HTTPS request to one address, with a limit on its time and on what is read of the answer."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from http.client import HTTPConnection, HTTPException
from typing import NamedTuple

from webhooks.errors import WebhookFailed


class Target(NamedTuple):
    """Where to connect, and the host that must prove to be there by its certificate."""

    host: str
    address: str
    port: int


class Answer(NamedTuple):
    """The head of an answer. Its body is never read: it may be endless."""

    status: int
    retry_after: str | None


def post(
    target: Target, path: str, body: bytes, headers: Mapping[str, str], seconds: float
) -> Answer:
    """Send the request and read the answer's head. A redirect is an answer like any other.

    Raises WebhookFailed if that does not work out within `seconds`.
    """
    host = target.host if target.port == 443 else f"{target.host}:{target.port}"
    try:
        with _connected(target, seconds) as connection:
            connection.request("POST", path, body, {"Host": host, **headers})
            with connection.getresponse() as answer:
                return Answer(answer.status, answer.headers.get("Retry-After"))
    except ssl.SSLCertVerificationError as error:
        raise WebhookFailed(target.host, f"is not who it says: {error.verify_message}") from error
    except TimeoutError as error:
        raise WebhookFailed(target.host, f"did not answer within {seconds:g} s") from error
    except (OSError, HTTPException) as error:
        raise WebhookFailed(target.host, f"did not answer: {error!r}") from error


@contextmanager
def _connected(target: Target, seconds: float) -> Iterator[HTTPConnection]:
    began = time.monotonic()
    with (
        socket.create_connection((target.address, target.port), timeout=seconds) as plain,
        # The name is sent and checked as ever; it is only not resolved a second time.
        _tls().wrap_socket(
            plain, server_hostname=target.host, do_handshake_on_connect=False
        ) as secure,
        _time_limit(secure, seconds - (time.monotonic() - began)),
    ):
        secure.do_handshake()
        connection = HTTPConnection(target.host, target.port)
        connection.sock = secure
        yield connection


@contextmanager
def _time_limit(connected: socket.socket, seconds: float) -> Iterator[None]:
    """Cut the connection after `seconds`: a socket's own timeout begins anew with every byte."""
    over = threading.Event()

    def cut() -> None:
        over.set()
        with suppress(OSError):  # the other end was faster
            # Not SSLSocket's own, which takes the TLS session from under whoever reads.
            socket.socket.shutdown(connected, socket.SHUT_RDWR)

    timer = threading.Timer(max(seconds, 0), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, HTTPException) as error:
        if over.is_set():
            raise TimeoutError from error
        raise
    finally:
        timer.cancel()


@cache
def _tls() -> ssl.SSLContext:
    # Loading the certificate authorities takes longer than a request.
    return ssl.create_default_context()
