"""Call a stack on the local AWS with its credentials: its API, and AWS."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import boto3

from job_runners.cli.local_aws import REGION
from job_runners.cli.stack import Stack
from job_runners.client.connections import Answer
from job_runners.client.http_api import HttpApi
from job_runners.local.credentials import Credentials, credentials
from job_runners.local.supervisor import signer


class StackApi(HttpApi):
    """The API of a stack."""

    def get(self, path: str, *, signed: bool = True) -> Answer:
        """GET a path with its query."""
        return self.call("GET", path) if signed else self.call_unsigned("GET", path)

    def post(
        self, path: str, body: Any, *, headers: Mapping[str, str] | None = None, signed: bool = True
    ) -> Answer:
        """POST a value as JSON, or bytes unchanged."""
        if signed:
            return self.call("POST", path, body, headers=headers)
        return self.call_unsigned("POST", path, body, headers)

    def put(self, path: str, body: Any = None) -> Answer:
        """PUT a value as JSON, bytes unchanged, or no body."""
        return self.call("PUT", path, body)

    def delete(self, path: str) -> Answer:
        """DELETE a path."""
        return self.call("DELETE", path)

    def call_unsigned(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Make a call with neither a signature nor a token."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        sent = {"Accept": "application/json", **kind, **(headers or {})}
        return self._connections.send(method, self.url + path, data, sent, repeatable=True)


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
