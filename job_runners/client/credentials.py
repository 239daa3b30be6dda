"""Find AWS credentials in the environment, at a container's endpoint, or with botocore.

The environment and a container's endpoint are for Lambda, ECS and EKS. They need no other package.
botocore also finds profiles, SSO and instance roles. If the environment has no credentials,
botocore is used unless there is an endpoint. It is also preferred to the endpoint if the
environment names a profile or a web identity.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from job_runners.client.errors import NoCredentials
from job_runners.values import Value, field

_RENEWAL_MARGIN = 600.0  # seconds before temporary credentials expire
_TIMEOUT = 5.0  # seconds; it is short because the container's endpoint is on this machine
_MAX_TRIES = 3
_PAUSE = 0.1  # seconds between two tries
_HINT = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or pass credentials= or token=. "
    "For profiles, SSO and instance roles: pip install 'job-runners[aws]'."
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
                self._source = _find_source(os.environ)
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


def _find_source(environment: Mapping[str, str]) -> Callable[[], Credentials]:
    """Find where credentials come from. Return a function that returns the current ones.

    Raises NoCredentials.
    """
    url = _container_url(environment)
    # botocore prefers a profile or a web identity to a container's endpoint.
    names = ("AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE")
    has_preferred_source = any(environment.get(name) for name in names)
    if url is not None and not has_preferred_source:
        return _ContainerCredentials(url)
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


def _container_url(environment: Mapping[str, str]) -> str | None:
    relative = environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    if relative:
        return f"http://169.254.170.2{relative}"
    return environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI") or None


class _ContainerCredentials:
    """Gets credentials from the endpoint of ECS, EKS or Lambda. Caches them until they are about to
    expire."""

    def __init__(self, url: str) -> None:
        from job_runners.client.addresses import is_container_endpoint, is_private

        if not is_private(url) and not is_container_endpoint(url):
            hint = (
                "AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or an address of this machine."
            )
            raise NoCredentials(f"The client doesn't request credentials from {url}.", hint)
        self._url = url
        self._cached: Credentials | None = None
        self._expires_at = 0.0  # seconds since 1970

    def __call__(self) -> Credentials:
        seconds_left = self._expires_at - time.time()
        if self._cached is not None and seconds_left > _RENEWAL_MARGIN:
            return self._cached
        try:
            response = self._request()
            self._cached = Credentials(
                response["AccessKeyId"], response["SecretAccessKey"], response.get("Token")
            )
            self._expires_at = _timestamp(response["Expiration"])
        except (OSError, ValueError, KeyError) as error:
            # Credentials are renewed early, so the cached ones can still be used until they expire.
            if self._cached is None or seconds_left <= 0:
                raise NoCredentials(
                    f"The container's endpoint {self._url} returned no credentials: {error!r}.",
                    "Check that the task or the pod has a role.",
                ) from error
        return self._cached

    def _request(self) -> dict[str, Any]:
        from job_runners.client.connections import Connections
        from job_runners.client.errors import NoAnswer

        headers = {"Accept": "application/json"}
        token = _container_token()
        if token:
            headers["Authorization"] = token
        problem = ""
        with Connections(self._url, _TIMEOUT, use_proxy=False) as connections:
            for _ in range(_MAX_TRIES):
                try:
                    response = connections.send("GET", self._url, None, headers)
                except NoAnswer as error:
                    problem = error.problem
                else:
                    if response.status == 200:
                        body: dict[str, Any] = json.loads(response.text)
                        return body
                    problem = f"it answered {response.status}"
                time.sleep(_PAUSE)
        raise OSError(problem)


def _container_token() -> str | None:
    path = os.environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    if path:  # read it each time, because its token is replaced while the process runs
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib is slow to import
            return file.read().strip()
    return os.environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN")


def _timestamp(iso_time: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(iso_time).timestamp()
