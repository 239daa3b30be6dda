"""Clients of AWS services: one botocore session for all, each client built when first used."""

import threading
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import PynamoDBException

# What a call raises when AWS does not answer, or not with what was asked for.
FAILURES = (BotoCoreError, ClientError, PynamoDBException)

_session: botocore.session.Session | None = None
_clients: dict[str, Any] = {}
_lock = threading.RLock()

# A call that hangs must fail while there is still time to say so. botocore's own defaults (60 s,
# five tries) outlast an API request; S3 alone may stream for long.
_TIMEOUTS = {"s3": 30.0, "lambda": 10.0}
# botocore tries again after a timeout too, and would text a person twice.
_ATTEMPTS = {"sns": 1}
_POOL = 32


def client(service: str) -> Any:
    """The client of a service, shared by every thread of this process (botocore's are safe)."""
    with _lock:
        if service not in _clients:
            _clients[service] = session().create_client(service, config=_config(service))
        return _clients[service]


def session() -> botocore.session.Session:
    """The one session: credentials and service models are loaded once."""
    global _session
    with _lock:
        if _session is None:
            _session = botocore.session.get_session()
        return _session


def forget() -> None:
    """Build every client anew at its next use: for tests."""
    with _lock:
        _clients.clear()


def _config(service: str) -> Config:
    return Config(
        connect_timeout=3.0,
        read_timeout=_TIMEOUTS.get(service, 5.0),
        max_pool_connections=_POOL,
        retries={"total_max_attempts": _ATTEMPTS.get(service, 4), "mode": "standard"},
        # pynamodb builds the requests; checking each again costs time and finds nothing.
        parameter_validation=service != "dynamodb",
        # botocore still signs S3 URLs with version 2 in us-east-1, which no KMS key accepts.
        signature_version="s3v4" if service == "s3" else None,
    )
