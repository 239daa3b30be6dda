"""Calls the API of a stack: signed as a service on AWS would, or with a token."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any

from botocore.credentials import Credentials

from job_runners.cli.sending import send
from job_runners.cli.signing import Bearer, Signer
from job_runners.cli.stack import Stack


@dataclass(frozen=True)
class Answer:
    """What the API answered, whatever the status."""

    status: int
    headers: Message  # whatever their case
    text: str

    @property
    def json(self) -> Any:
        """The body's value."""
        return json.loads(self.text)

    @property
    def is_readable(self) -> bool:
        """Whether there is no body, or one of JSON, as all of the API's are."""
        try:
            return not self.text or self.json is not None
        except ValueError:
            return False


class ApiClient:
    """The API at one address."""

    def __init__(self, url: str, access: Signer | Bearer, patience: float = 35) -> None:
        self.url = url.rstrip("/")
        self._access = access
        self._patience = patience  # seconds

    @property
    def uses_token(self) -> bool:
        """Whether calls show a token; else they are signed."""
        return isinstance(self._access, Bearer)

    def get(self, path: str, *, signed: bool = True) -> Answer:
        """GET a path, query included."""
        return self.call("GET", path, signed=signed)

    def post(
        self, path: str, body: Any, *, headers: Mapping[str, str] | None = None, signed: bool = True
    ) -> Answer:
        """POST a value as JSON, or bytes as they are."""
        return self.call("POST", path, body, headers=headers, signed=signed)

    def put(self, path: str) -> Answer:
        """PUT a path."""
        return self.call("PUT", path)

    def delete(self, path: str) -> Answer:
        """DELETE a path."""
        return self.call("DELETE", path)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        signed: bool = True,
    ) -> Answer:
        """Make one call. Raises OSError if there is no answer."""
        url, sent, data = self.url + path, dict(headers or {}), None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent = {"Content-Type": "application/json", **sent}
        if signed:
            sent = self._access.headers(method, url, data, sent)
        call = urllib.request.Request(url, data, sent, method=method)  # noqa: S310  (http or https)
        try:
            with send(call, self._patience) as response:
                return Answer(response.status, response.headers, response.read().decode())
        except urllib.error.HTTPError as refused:
            with refused:
                return Answer(refused.code, refused.headers, refused.read().decode())


def client(stack: Stack) -> ApiClient:
    """Return the API of a stack on the local AWS."""
    return ApiClient(stack.api_url, signer(stack))


def signer(stack: Stack) -> Signer:
    """Return what signs for a stack on the local AWS."""
    credentials = Credentials(stack.aws_access_key_id, stack.aws_secret_access_key)
    return Signer(credentials, stack.region)
