"""The clients for AWS services. They share one botocore session, and are built at first use."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import UnknownServiceError

from job_runners import clock
from job_runners.aws import tls
from job_runners.aws.session import Session
from job_runners.errors import JobRunnersError
from job_runners.settings import settings

_session: botocore.session.Session | None = None
_clients: dict[str, Any] = {}
_fresh_used: dict[str, int] = {}  # by service, when `fresh_client` was last called
_lock = threading.RLock()
_this_thread = threading.local()

# A call that hangs must fail while there is still time to respond. botocore's own defaults (60 s,
# five tries) outlast an API request. S3 may stream for longer, and a search of logs takes longer.
_READ_SECONDS = 5.0
_READ_SECONDS_OF = {"s3": 30.0, "logs": 6.0}  # by service
# botocore also retries after a timeout. That could text a person twice, or run a task twice.
# job_runners.runners.lambda_async defines which messages may be repeated.
_ATTEMPTS = {"sns": 1, "lambda": 1, "sqs": 1, "logs": 2}
_POOL = 32
_MAX_IDLE = clock.SECOND  # a connection that has been idle for longer isn't used again


class UnknownService(JobRunnersError):
    """The code of the functions has no description of this AWS service."""


def client(service: str) -> Any:
    """Return the client for a service. All threads share it, which is safe with botocore."""
    with _lock:
        if service not in _clients:
            _clients[service] = _build(service)
            used = session()
            if isinstance(used, Session) and used.is_reduced:
                _add_missing(_clients[service], used)
        return _clients[service]


def _build(service: str) -> Any:
    try:
        built = session().create_client(service, config=_config(service))
    except UnknownServiceError:
        raise UnknownService(
            f"The functions can't call the AWS service {service!r}, because the build left it out. "
            f'Check the name, or add it to app.toml: services = ["{service}"]'
        ) from None
    events: Any = built.meta.events  # the stubs don't allow handlers to return a value
    service_id = built.meta.service_model.service_id.hyphenize()
    events.register_first(f"needs-retry.{service_id}", _refuse_to_repeat)
    tls.share_context(built)
    return built


def fresh_client(service: str) -> Any:
    """Return a client without idle connections, for a request that must not be repeated.

    See `drop_idle_connections` for the reason.
    """
    built, now = client(service), clock.now()
    with _lock:
        if now - _fresh_used.get(service, 0) > _MAX_IDLE:
            built.close()
        _fresh_used[service] = now
    return built


def session() -> botocore.session.Session:
    """Return the shared session, so that credentials and service models are loaded only once."""
    global _session
    with _lock:
        if _session is None:
            _session = Session()
        return _session


@contextmanager
def without_retries() -> Iterator[None]:
    """Make botocore try each call of this thread only once in this block.

    Use it for optional calls that must not delay anything.
    """
    _this_thread.tries_once = True
    try:
        yield
    finally:
        _this_thread.tries_once = False


def drop_idle_connections() -> None:
    """Close the idle connections of services whose calls are never repeated.

    Call this at the start of an invocation, when no connection is in use. Lambda freezes a process
    between two invocations. In that time the other end (after some idle seconds) or a NAT gateway
    (after 350) may close a connection. The frozen process doesn't notice, and later the connection
    looks open. The first request on it is lost, with an error that doesn't show whether AWS
    received it. Such a request can't be repeated, so its outcome would be in doubt.

    The other services keep their connections, because botocore repeats their requests over a new
    connection. Opening one for each invocation would cost a handshake. While the process runs, the
    kernel notices a close, and urllib3 checks each connection before it reuses it.
    """
    with _lock:
        for service, built in _clients.items():
            if _ATTEMPTS.get(service) == 1:
                built.close()


def close_connections() -> None:
    """Close all idle connections. The clients open new ones when needed."""
    with _lock:
        for built in _clients.values():
            built.close()


def renew_credentials() -> None:
    """Read the credentials again, and make all clients sign with them."""
    with _lock:
        kept: Any = _session
        if kept is not None:
            kept._credentials = None
            fresh = kept.get_credentials()
            for built in _clients.values():
                built._request_signer._credentials = fresh


def services() -> list[str]:
    """Return the names of the services that have a client."""
    with _lock:
        return sorted(_clients)


def use_session(given: botocore.session.Session) -> None:
    """Build all clients from this session from now on, for `job-runners erase`."""
    global _session
    with _lock:
        if _session is not given:
            _session = given
            forget()


def forget() -> None:
    """Drop all clients, so that their next use builds new ones, for tests."""
    with _lock:
        _clients.clear()
        _fresh_used.clear()


def _add_missing(reduced: Any, used: Session) -> None:
    """Let a client with few operations pass the others to a client with all of them.

    That client then replaces the reduced one, so that only the first of such calls takes time.
    """
    service = reduced.meta.service_model.service_name

    def whole() -> Any:
        with _lock:
            if _clients.get(service) is reduced:
                used.load_everything()
                _clients[service] = _build(service)
            return client(service)

    def find(event_name: str, **_: Any) -> Any:
        method = event_name.rpartition(".")[2]
        return None if method.startswith("_") else getattr(whole(), method, None)

    def use(name: str) -> Any:
        return lambda *given, **named: getattr(whole(), name)(*given, **named)

    reduced.meta.events.register("getattr", find)
    for name in ("can_paginate", "get_paginator", "get_waiter", "generate_presigned_url"):
        setattr(reduced, name, use(name))


def _refuse_to_repeat(**_: Any) -> bool | None:
    """Stop botocore from retrying if this thread is in `without_retries`.

    For botocore, False means that it must not retry. This handler runs before all others.
    """
    return False if getattr(_this_thread, "tries_once", False) else None


def _config(service: str) -> Config:
    return Config(
        connect_timeout=3.0,
        read_timeout=_READ_SECONDS_OF.get(service, _READ_SECONDS),
        max_pool_connections=_POOL,
        retries={"total_max_attempts": _ATTEMPTS.get(service, 4), "mode": "standard"},
        # pynamodb builds the requests to DynamoDB. The only request to Lambda is built by
        # `lambda_async`. Validating them would cost time and find nothing.
        parameter_validation=service not in ("dynamodb", "lambda"),
        # By default, botocore signs S3 URLs with version 2 in us-east-1, which KMS keys don't
        # accept.
        signature_version="s3v4" if service == "s3" else None,
        # By default, botocore would also sign them for S3's global host, which doesn't know buckets
        # in newer regions. A local AWS has no hosts for buckets.
        s3={"addressing_style": "path" if settings().has_local_s3 else "virtual"},
    )
