"""Clients of AWS services: one session of botocore for all, each client built when first used."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import botocore.session
from botocore.config import Config

import clock
from aws import tls
from aws.session import Session
from settings import settings

_session: botocore.session.Session | None = None
_clients: dict[str, Any] = {}
_used: dict[str, int] = {}  # when a fresh client was last asked for
_lock = threading.RLock()
_this_thread = threading.local()

# A call that hangs must fail while there is still time to say so. botocore's own defaults (60 s,
# five tries) outlast an API request. S3 alone may stream for long; a search of logs takes longer.
_READ_SECONDS = 5.0
_LONGER = {"s3": 30.0, "logs": 6.0}
# botocore tries again after a timeout too. It would text a person twice, and run a task twice:
# runners.lambda_async says which messages may be repeated.
_ATTEMPTS = {"sns": 1, "lambda": 1, "sqs": 1, "logs": 2}
_POOL = 32
_SLEPT = clock.SECOND  # a connection that was not used for longer


def client(service: str) -> Any:
    """Return the client of a service, shared by all threads (botocore's are safe)."""
    with _lock:
        if service not in _clients:
            built = session().create_client(service, config=_config(service))
            built.meta.events.register("getattr", _refuse_unknown)
            events: Any = built.meta.events  # typed as if no handler's answer counted
            service_id = built.meta.service_model.service_id.hyphenize()
            events.register_first(f"needs-retry.{service_id}", _refuse_to_repeat)
            tls.share_context(built)
            _clients[service] = built
        return _clients[service]


def fresh_client(service: str) -> Any:
    """Return the client for a request that must not be repeated: with no connection that was idle.

    See `drop_idle_connections`.
    """
    built, now = client(service), clock.now()
    with _lock:
        if now - _used.get(service, 0) > _SLEPT:
            built.close()
        _used[service] = now
    return built


def session() -> botocore.session.Session:
    """Return the one session: credentials and service models are loaded once."""
    global _session
    with _lock:
        if _session is None:
            _session = Session()
        return _session


@contextmanager
def tried_once() -> Iterator[None]:
    """Have botocore repeat no call that this thread makes in this block: for calls that may be left
    out, and that nothing may wait for."""
    _this_thread.tries_once = True
    try:
        yield
    finally:
        _this_thread.tries_once = False


def drop_idle_connections() -> None:
    """Close the idle connections of services whose calls are never repeated. For the beginning of
    an invocation, when none of them is in use.

    Lambda freezes a process between two invocations. What closes a connection meanwhile (the other
    end, after some idle seconds, or a NAT gateway after 350) is not heard, so on thawing it looks
    open. The first request on it is lost and ends in an error that says nothing of that: whoever
    may not repeat it would have to say that it may have been heard. For all other services botocore
    repeats the request over a new connection, and a new one each time would cost a handshake.
    While the process runs the kernel hears of a close, and urllib3 looks before it takes a
    connection again.
    """
    with _lock:
        for service, built in _clients.items():
            if _ATTEMPTS.get(service) == 1:
                built.close()


def close_connections() -> None:
    """Close every idle connection. Clients go on, with new ones."""
    with _lock:
        for built in _clients.values():
            built.close()


def renew_credentials() -> None:
    """Have every client sign with credentials that are read anew."""
    with _lock:
        kept: Any = _session
        if kept is not None:
            kept._credentials = None
            fresh = kept.get_credentials()
            for built in _clients.values():
                built._request_signer._credentials = fresh


def services() -> list[str]:
    """Return the services that a client was built of."""
    with _lock:
        return sorted(_clients)


def use_session(given: botocore.session.Session) -> None:
    """Build clients from this session from now on: for tests."""
    global _session
    with _lock:
        if _session is not given:
            _session = given
            forget()


def forget() -> None:
    """Build every client anew at its next use: for tests."""
    with _lock:
        _clients.clear()
        _used.clear()


def _refuse_unknown(event_name: str, client: Any, **_: Any) -> None:
    """Say of an operation that a client does not have where to name it. A build ships the
    operations that are called: tools/botocore_data.py."""
    method = event_name.rpartition(".")[2]
    service = client.meta.service_model.service_name
    operation = "".join(word.capitalize() for word in method.split("_"))
    raise AttributeError(
        f"the client of {service} has no {method}: only operations that are named are built in. "
        f'Name it in app.toml, as services = ["{service}:{operation}"]'
    )


def _refuse_to_repeat(**_: Any) -> bool | None:
    """Return False, the first answer of all handlers, if this thread wants no call repeated."""
    return False if getattr(_this_thread, "tries_once", False) else None


def _config(service: str) -> Config:
    return Config(
        connect_timeout=3.0,
        read_timeout=_LONGER.get(service, _READ_SECONDS),
        max_pool_connections=_POOL,
        retries={"total_max_attempts": _ATTEMPTS.get(service, 4), "mode": "standard"},
        # pynamodb builds the requests, and runners.lambda_async the only one to Lambda: checking
        # each again costs time and finds nothing.
        parameter_validation=service not in ("dynamodb", "lambda"),
        # botocore still signs S3 URLs with version 2 in us-east-1, which no KMS key accepts.
        signature_version="s3v4" if service == "s3" else None,
        # It would sign them for S3's global host too, which knows no bucket of a newer region. A
        # local AWS has no hosts for buckets.
        s3={"addressing_style": "path" if settings().has_local_s3 else "virtual"},
    )
