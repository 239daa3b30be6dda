"""Call a stack on the local AWS with its credentials: its API, and AWS."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Self

import boto3

from job_runners.cli.local_aws import REGION
from job_runners.cli.stack import Stack
from job_runners.client.connections import Connections, Response
from job_runners.client.signing import Access
from job_runners.local.run_folder import Credentials, credentials
from job_runners.local.supervisor import signer


class StackApi:
    """The API of a stack, called as other programs call it."""

    def __init__(self, url: str, access: Access, timeout: float = 35) -> None:
        self.url, self.access = url.rstrip("/"), access
        self._connections = Connections(url, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connections.close()

    def get(self, path: str, *, signed: bool = True) -> Response:
        return self.call("GET", path, signed=signed)

    def post(
        self, path: str, body: Any, *, headers: Mapping[str, str] | None = None, signed: bool = True
    ) -> Response:
        """POST a value as JSON, or bytes unchanged."""
        return self.call("POST", path, body, headers=headers, signed=signed)

    def put(self, path: str, body: Any = None) -> Response:
        return self.call("PUT", path, body)

    def delete(self, path: str) -> Response:
        return self.call("DELETE", path)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        signed: bool = True,
    ) -> Response:
        """Make one call. Without a signature, it has no token either."""
        url, data = self.url + path, None
        all_headers = {"Accept": "application/json", **(headers or {})}
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body, allow_nan=False).encode()
            all_headers = {"Content-Type": "application/json", **all_headers}
        if signed:
            all_headers = self.access.headers(method, url, data, all_headers)
        return self._connections.send(method, url, data, all_headers, repeatable=True)


def stack_api(stack: Stack) -> StackApi:
    """Return a client of a stack's API that signs its calls."""
    return StackApi(stack.api_url, signer(stack))


def session(owner: Stack | Credentials) -> boto3.Session:
    """Return a session for the local AWS. It ignores the caller's environment."""
    return _session(credentials(owner) if isinstance(owner, Stack) else owner)


@lru_cache
def _session(given: Credentials) -> boto3.Session:
    """Return the session for these credentials. It is cached, because each session loads the
    service models again."""
    return boto3.Session(
        aws_access_key_id=given.access_key_id,
        aws_secret_access_key=given.secret_access_key,
        region_name=REGION,
    )
