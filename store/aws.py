"""Clients of AWS services: one botocore session for all, each client built when first used."""

import threading
from collections.abc import Callable
from secrets import SystemRandom
from typing import Any, TypeVar

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError
from pynamodb.exceptions import PynamoDBException, VerboseClientError

from settings import settings
from store import clock

# What a call raises when AWS does not answer, or not with what was asked for.
FAILURES = (BotoCoreError, ClientError, PynamoDBException)
_CONFLICT = "TransactionConflict"
# Codes without "Exception" at their end: the reasons of a cancelled transaction have none.
_PASSING = frozenset(
    {
        "ProvisionedThroughputExceeded",
        "RequestLimitExceeded",
        "SlowDown",
        "Throttled",
        "Throttling",
        "ThrottlingError",
        "TooManyRequests",
        _CONFLICT,
    }
)

_session: botocore.session.Session | None = None
_clients: dict[str, Any] = {}
_used: dict[str, int] = {}  # when a fresh client was last asked for
_lock = threading.RLock()

# A call that hangs must fail while there is still time to say so. botocore's own defaults (60 s,
# five tries) outlast an API request. S3 alone may stream for long; a search of logs takes longer.
_READ_SECONDS = 5.0
_LONGER = {"s3": 30.0, "logs": 6.0}
# botocore tries again after a timeout too. It would text a person twice, and run a task twice:
# runners.lambda_async says which messages may be repeated.
_ATTEMPTS = {"sns": 1, "lambda": 1, "sqs": 1, "logs": 2}
_POOL = 32
_SLEPT = clock.SECOND  # a connection that was not used for longer
# Between two tries of a call that botocore has given up on, in seconds: the first and the longest.
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0

_T = TypeVar("_T")


def client(service: str) -> Any:
    """The client of a service, shared by every thread of this process (botocore's are safe)."""
    with _lock:
        if service not in _clients:
            _clients[service] = session().create_client(service, config=_config(service))
        return _clients[service]


def fresh_client(service: str) -> Any:
    """As `client`, for a request that must not be repeated: over no connection that has slept. See
    `drop_idle_connections`."""
    built, now = client(service), clock.now()
    with _lock:
        if now - _used.get(service, 0) > _SLEPT:
            built.close()
        _used[service] = now
    return built


def session() -> botocore.session.Session:
    """The one session: credentials and service models are loaded once."""
    global _session
    with _lock:
        if _session is None:
            _session = botocore.session.get_session()
        return _session


def may_pass(error: BaseException | None) -> bool:
    """Whether AWS was throttled, broken, busy with the same item, or out of reach. A refusal that
    would only be repeated (no permission, no such table, too large an item) is not among it."""
    error = _origin(error)
    if not isinstance(error, ClientError):
        return isinstance(error, ConnectionError | HTTPClientError)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status >= 500 or status == 429 or bool(_codes(error) & _PASSING)


def retry_until(until: int, call: Callable[[], _T]) -> _T:
    """Return what the call returns, made again for as long as its error may pass.

    Raises the last error once another try would begin after `until` (milliseconds since 1970). For
    calls that may be repeated: reads, and writes whose condition tells that they have landed.
    """
    bound = _FIRST_PAUSE
    while True:
        try:
            return call()
        except FAILURES as error:
            pause = SystemRandom().uniform(bound / 2, bound)
            if not may_pass(error) or clock.now() + pause * clock.SECOND >= until:
                raise
        clock.sleep(pause)
        bound = min(2 * bound, _LONGEST_PAUSE)


def condition_failed(error: BaseException) -> bool:
    """Return whether an item refused a write by its condition, as opposed to AWS refusing the call.

    An error without a response (a connection that broke, a timeout) tells nothing of the item.
    pynamodb's own `cause_response_code` raises AttributeError for those.
    """
    origin = _origin(error)
    return isinstance(origin, ClientError) and "ConditionalCheckFailed" in _codes(origin)


def conflicts(error: BaseException) -> bool:
    """Whether a write met another one of the same item, in a transaction. botocore does not repeat
    it."""
    origin = _origin(error)
    return isinstance(origin, ClientError) and _CONFLICT in _codes(origin)


def _origin(error: BaseException | None) -> BaseException | None:
    if isinstance(error, PynamoDBException):
        error = error.cause
    if isinstance(error, VerboseClientError):
        error = error.__cause__  # pynamodb's own leaves out the HTTP status
    return error


def _codes(error: ClientError) -> set[str]:
    """Why AWS refused: of a transaction, each of its reasons too."""
    answer: Any = error.response
    found = [answer["Error"], *answer.get("CancellationReasons", [])]
    return {str(each.get("Code")).removesuffix("Exception") for each in found}


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


def forget() -> None:
    """Build every client anew at its next use: for tests."""
    with _lock:
        _clients.clear()
        _used.clear()


def _config(service: str) -> Config:
    return Config(
        connect_timeout=3.0,
        read_timeout=_LONGER.get(service, _READ_SECONDS),
        max_pool_connections=_POOL,
        retries={"total_max_attempts": _ATTEMPTS.get(service, 4), "mode": "standard"},
        # pynamodb builds the requests; checking each again costs time and finds nothing.
        parameter_validation=service != "dynamodb",
        # botocore still signs S3 URLs with version 2 in us-east-1, which no KMS key accepts.
        signature_version="s3v4" if service == "s3" else None,
        # It would sign them for S3's global host too, which knows no bucket of a newer region. A
        # local AWS has no hosts for buckets.
        s3={"addressing_style": "path" if settings().has_local_s3 else "virtual"},
    )
