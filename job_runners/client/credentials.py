"""Find AWS credentials in the environment or with botocore.

The environment is enough for Lambda. botocore also finds profiles, SSO and the roles of instances,
tasks and pods.
"""

import os
import threading
from collections.abc import Callable
from typing import Any

from job_runners.client.errors import NoCredentials
from job_runners.values import Value, field

_HINT = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or pass credentials= or token=. "
    "For profiles, SSO and roles: pip install 'job-runners[aws]'."
)


class Credentials(Value):
    """AWS credentials. Temporary ones have a `session_token`."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


class CredentialFinder:
    """Finds credentials as the AWS tools do, and renews them before they expire.

    Call the object to get the current credentials. This raises NoCredentials if there are none.
    Threads can share one object.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._source: Callable[[], Credentials] | None = None

    def __call__(self) -> Credentials:
        """Return the current credentials."""
        # Read the environment each time, because it may change, and reading it is cheap.
        credentials = _from_environment()
        if credentials is not None:
            return credentials
        with self._lock:
            if self._source is None:
                self._source = _find_source()
            return self._source()

    def forget(self) -> None:
        """Forget the source of refused credentials, so that the next call looks for one again."""
        with self._lock:
            self._source = None


def _from_environment() -> Credentials | None:
    access_key = os.environ.get("AWS_ACCESS_KEY_ID")
    secret_key = os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not access_key or not secret_key:
        return None
    return Credentials(access_key, secret_key, os.environ.get("AWS_SESSION_TOKEN") or None)


def _find_source() -> Callable[[], Credentials]:
    """Find where botocore's credentials come from. Return a function that returns the current ones.

    Raises NoCredentials.
    """
    try:
        from botocore.session import Session
    except ImportError:
        raise NoCredentials("The environment has no AWS credentials.", _HINT) from None
    return _botocore_source(Session())


def _botocore_source(session: Any) -> Callable[[], Credentials]:
    from botocore.exceptions import BotoCoreError

    try:
        botocore_credentials = session.get_credentials()
    except BotoCoreError as error:
        raise NoCredentials(f"Can't use the AWS credentials: {error}.", _HINT) from error
    if botocore_credentials is None:
        raise NoCredentials("No AWS credentials found.", _HINT)

    def current_credentials() -> Credentials:
        try:
            return of_botocore(botocore_credentials)
        except BotoCoreError as error:
            hint = "Renew them with aws sso login, or start a new session."
            raise NoCredentials(f"Can't use the AWS credentials: {error}.", hint) from error

    return current_credentials


def of_botocore(botocore_credentials: Any) -> Credentials:
    """Return botocore's current credentials. botocore renews them before they expire."""
    frozen = botocore_credentials.get_frozen_credentials()
    return Credentials(frozen.access_key, frozen.secret_key, frozen.token)
