"""The botocore clients for AWS services.

They share one session. Each is built at its first use, and kept for the life of the process.
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

# A call that hangs must fail while there is still time to respond. botocore's defaults (60 s, five
# tries) outlast an API request.
_READ_SECONDS = 5.0
_READ_SECONDS_BY_SERVICE = {"s3": 30.0, "logs": 6.0}  # S3 may stream; a search of logs takes longer
# botocore also retries after a timeout. That could text a person twice, or run a task twice.
# job_runners.runners.lambda_async decides which messages may be repeated.
_MAX_ATTEMPTS = {"sns": 1, "lambda": 1, "sqs": 1, "logs": 2}
_MAX_CONNECTIONS = 32  # connections of each client
_MAX_IDLE = clock.SECOND  # `fresh_client` closes connections that have been idle for longer


class UnknownService(JobRunnersError):
    """The code in the Lambda functions lacks botocore's description of an AWS service.

    A build leaves out the descriptions of services that the app doesn't use.
    """


def client(service: str) -> Any:
    """Return the client for a service. All threads share it, which is safe with botocore."""
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

    Use it for a request that must not be repeated. See `drop_idle_connections` for the reason.
    """
    shared_client = client(service)
    now = clock.now()
    with _lock:
        if now - _fresh_client_used_at.get(service, 0) > _MAX_IDLE:
            shared_client.close()
        _fresh_client_used_at[service] = now
    return shared_client


def session() -> botocore.session.Session:
    """Return the shared session, with which credentials and service models are loaded only once."""
    global _session
    with _lock:
        if _session is None:
            _session = Session()
        return _session


@contextmanager
def without_retries() -> Iterator[None]:
    """Stop botocore from retrying the calls of this thread in the block.

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
    looks open. The first request on it is lost, with an error that doesn't show whether AWS
    received it. Such a request can't be repeated, so its outcome would be in doubt.

    The other services keep their connections, because botocore repeats their requests over a new
    connection. Opening one for each invocation would cost a handshake. While the process runs, the
    kernel notices a close, and urllib3 checks each connection before it reuses it.
    """
    with _lock:
        for service, service_client in _clients.items():
            if _MAX_ATTEMPTS.get(service) == 1:
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
    """Build all clients from this session from now on. Only `job-runners erase` needs this."""
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
    """Make a client with few operations pass calls of all others to a complete client.

    In a build, the session only has the descriptions of the operations that the code is known to
    call. The complete client is built at the first call of another operation, and then replaces
    this reduced one.
    """
    service = reduced.meta.service_model.service_name

    def complete_client() -> Any:
        with _lock:
            if _clients.get(service) is reduced:
                shared_session.use_all_operations()
                _clients[service] = _build(service)
            return client(service)

    def find_method(event_name: str, **_: Any) -> Any:
        """Return a method that the reduced client lacks, or None for an AttributeError."""
        method_name = event_name.rpartition(".")[2]
        if method_name.startswith("_"):
            return None
        return getattr(complete_client(), method_name, None)

    def forwarding_method(name: str) -> Any:
        def method(*args: Any, **kwargs: Any) -> Any:
            return getattr(complete_client(), name)(*args, **kwargs)

        return method

    # botocore emits the event "getattr" for each attribute that a client lacks. These methods exist
    # in every client, but would know only the reduced operations, so replace them.
    reduced.meta.events.register("getattr", find_method)
    for name in ("can_paginate", "get_paginator", "get_waiter", "generate_presigned_url"):
        setattr(reduced, name, forwarding_method(name))


def _refuse_retry(**_: Any) -> bool | None:
    """Stop botocore from retrying if this thread is in a block of `without_retries`.

    This handler runs before all others. For botocore, False means that it must not retry, and None
    that the next handler decides.
    """
    return False if getattr(_this_thread, "retries_disabled", False) else None


def _config(service: str) -> Config:
    return Config(
        connect_timeout=3.0,
        read_timeout=_READ_SECONDS_BY_SERVICE.get(service, _READ_SECONDS),
        max_pool_connections=_MAX_CONNECTIONS,
        retries={"total_max_attempts": _MAX_ATTEMPTS.get(service, 4), "mode": "standard"},
        # pynamodb builds the requests to DynamoDB, and `lambda_async` those to Lambda. Validating
        # them would cost time and find nothing.
        parameter_validation=service not in ("dynamodb", "lambda"),
        # By default, botocore signs S3 URLs with version 2 in us-east-1, which KMS keys don't
        # accept.
        signature_version="s3v4" if service == "s3" else None,
        # By default, botocore would sign S3 URLs for S3's global host, which doesn't know buckets
        # in newer regions. With "virtual", each bucket has its own host, but not on a local AWS.
        s3={"addressing_style": "path" if settings().has_local_s3 else "virtual"},
    )
