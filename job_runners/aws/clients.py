"""The botocore clients for AWS services.

All clients share one session. Each is built on first use, and kept for the life of the process.
"""

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
_fresh_client_used_at: dict[str, int] = {}  # when `fresh_client` was last called, by service
_lock = threading.RLock()
_this_thread = threading.local()

# A call that hangs must fail while there is still time to respond to an API request. botocore's
# defaults (60 s, five tries) take longer than that.
_READ_TIMEOUT = 5.0  # seconds
_READ_TIMEOUT_BY_SERVICE = {"s3": 30.0, "logs": 6.0}  # for streams, and for searches of logs
# botocore retries even after a timeout. Some services have only one attempt, because they must not
# get a request twice: it could text a person twice, or run a task twice. `lambda_async` decides
# which messages may be sent again.
_MAX_ATTEMPTS = 4
_MAX_ATTEMPTS_BY_SERVICE = {"sns": 1, "lambda": 1, "sqs": 1, "logs": 2}
_MAX_CONNECTIONS = 32  # per client
_MAX_IDLE = clock.SECOND  # `fresh_client` closes connections that have been idle for longer


class UnknownService(JobRunnersError):
    """botocore's description of an AWS service is missing in the Lambda functions.

    A build includes only the descriptions of services that the app uses.
    """


def client(service: str) -> Any:
    """Return the client for a service. All threads share it: botocore's clients are thread-safe."""
    with _lock:
        if service not in _clients:
            _clients[service] = _build(service)
            shared_session = session()
            if isinstance(shared_session, Session) and shared_session.is_reduced:
                _add_missing_operations(_clients[service], shared_session)
        return _clients[service]


def _build(service: str) -> Any:
    try:
        new_client = session().create_client(service, config=_config(service))
    except UnknownServiceError:
        raise UnknownService(
            f"The functions can't call the AWS service {service!r}, because the build left it out. "
            f'Check the name, or add it to app.toml: services = ["{service}"]'
        ) from None
    events: Any = new_client.meta.events  # the stubs don't allow handlers to return a value
    service_id = new_client.meta.service_model.service_id.hyphenize()
    events.register_first(f"needs-retry.{service_id}", _refuse_retry)
    tls.share_context(new_client)
    return new_client


def fresh_client(service: str) -> Any:
    """Return the client for a service, without idle connections.

    Use it for a request that must not be repeated. `drop_idle_connections` explains why.
    """
    shared_client = client(service)
    now = clock.now()
    with _lock:
        if now - _fresh_client_used_at.get(service, 0) > _MAX_IDLE:
            shared_client.close()
        _fresh_client_used_at[service] = now
    return shared_client


def session() -> botocore.session.Session:
    """Return the shared session. It loads credentials and service descriptions only once."""
    global _session
    with _lock:
        if _session is None:
            _session = Session()
        return _session


@contextmanager
def without_retries() -> Iterator[None]:
    """Stop botocore from retrying calls that this thread makes in the block.

    Use it for optional calls that must not delay anything.
    """
    _this_thread.retries_disabled = True
    try:
        yield
    finally:
        _this_thread.retries_disabled = False


def drop_idle_connections() -> None:
    """Close the idle connections of services whose calls are never repeated.

    Call this at the start of an invocation, when no connection is in use. Lambda freezes a process
    between two invocations. In that time, AWS may close an idle connection after some seconds, and
    a NAT gateway after 350 seconds. The frozen process doesn't notice, so the connection later
    looks open. The first request on it fails with an error that doesn't show whether AWS received
    the request. If it must not be repeated, its outcome remains in doubt.

    The other services keep their connections, which saves a handshake: botocore repeats a failed
    request over a new connection. While a process runs, the kernel notices closed connections, and
    urllib3 checks a connection before it reuses it.
    """
    with _lock:
        for service, service_client in _clients.items():
            if _MAX_ATTEMPTS_BY_SERVICE.get(service) == 1:
                service_client.close()


def close_connections() -> None:
    """Close all idle connections. The clients open new ones when needed."""
    with _lock:
        for service_client in _clients.values():
            service_client.close()


def renew_credentials() -> None:
    """Read the credentials again, and make all clients sign with them."""
    with _lock:
        shared_session: Any = _session
        if shared_session is not None:
            shared_session._credentials = None
            credentials = shared_session.get_credentials()
            for service_client in _clients.values():
                service_client._request_signer._credentials = credentials


def services() -> list[str]:
    """Return the names of the services that have a client."""
    with _lock:
        return sorted(_clients)


def use_session(new_session: botocore.session.Session) -> None:
    """Replace the shared session and all clients. Only `job-runners erase` needs this."""
    global _session
    with _lock:
        if _session is not new_session:
            _session = new_session
            drop_clients()


def drop_clients() -> None:
    """Drop all clients, so that their next use builds new ones."""
    with _lock:
        _clients.clear()
        _fresh_client_used_at.clear()


def _add_missing_operations(reduced: Any, shared_session: Session) -> None:
    """Make a reduced client pass calls of operations that it lacks to a complete client.

    In a build, the session describes only the operations that the code is known to call. The first
    call of another operation builds the complete client, which then replaces the reduced one.
    """
    service = reduced.meta.service_model.service_name

    def complete_client() -> Any:
        with _lock:
            if _clients.get(service) is reduced:
                shared_session.use_all_operations()
                _clients[service] = _build(service)
            return client(service)

    def find_method(event_name: str, **_: Any) -> Any:
        """Return the complete client's method. If this returns None, an AttributeError follows."""
        method_name = event_name.rpartition(".")[2]
        if method_name.startswith("_"):
            return None
        return getattr(complete_client(), method_name, None)

    def forwarding_method(name: str) -> Any:
        def method(*args: Any, **kwargs: Any) -> Any:
            return getattr(complete_client(), name)(*args, **kwargs)

        return method

    # botocore emits the event "getattr" for each attribute that a client lacks.
    reduced.meta.events.register("getattr", find_method)
    # The reduced client has these methods, but they would support only its own operations.
    for name in ("can_paginate", "get_paginator", "get_waiter", "generate_presigned_url"):
        setattr(reduced, name, forwarding_method(name))


def _refuse_retry(**_: Any) -> bool | None:
    """Answer botocore's question whether to retry a call. This handler is asked first.

    False stops botocore from retrying. None leaves the decision to the next handler.
    """
    return False if getattr(_this_thread, "retries_disabled", False) else None


def _config(service: str) -> Config:
    return Config(
        connect_timeout=3.0,
        read_timeout=_READ_TIMEOUT_BY_SERVICE.get(service, _READ_TIMEOUT),
        max_pool_connections=_MAX_CONNECTIONS,
        retries={
            "total_max_attempts": _MAX_ATTEMPTS_BY_SERVICE.get(service, _MAX_ATTEMPTS),
            "mode": "standard",
        },
        # Only pynamodb and `lambda_async` build these requests. Validating them would cost time and
        # find nothing.
        parameter_validation=service not in ("dynamodb", "lambda"),
        # By default, botocore signs S3 URLs with version 2 in us-east-1, which KMS keys don't
        # accept.
        signature_version="s3v4" if service == "s3" else None,
        # By default, botocore would sign S3 URLs for S3's global host, which doesn't know buckets
        # in newer regions. With "virtual", each bucket has its own host, but not on a local AWS.
        s3={"addressing_style": "path" if settings().has_local_s3 else "virtual"},
    )
