"""Calls the API as a service on AWS would: signed with the caller's credentials (SigV4)."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local.emulator import CREDENTIALS
from local.stack import Stack

_TIMEOUT_SECONDS = 35  # API Gateway's own is 30


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


class ApiClient:
    """The API of one stack."""

    def __init__(self, stack: Stack) -> None:
        self._url = stack.api_url
        credentials = Credentials(
            CREDENTIALS["AWS_ACCESS_KEY_ID"], CREDENTIALS["AWS_SECRET_ACCESS_KEY"]
        )
        self._signer = SigV4Auth(credentials, "execute-api", stack.region)

    def get(self, path: str, *, signed: bool = True) -> Answer:
        """GET a path, query included."""
        return self._call("GET", path, None, {}, signed)

    def post(
        self, path: str, body: Any, *, headers: Mapping[str, str] | None = None, signed: bool = True
    ) -> Answer:
        """POST a value as JSON, or bytes as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **(headers or {})}
        return self._call("POST", path, data, sent, signed)

    def put(self, path: str) -> Answer:
        """PUT a path."""
        return self._call("PUT", path, None, {}, True)

    def delete(self, path: str) -> Answer:
        """DELETE a path."""
        return self._call("DELETE", path, None, {}, True)

    def _call(
        self, method: str, path: str, data: bytes | None, headers: Mapping[str, str], signed: bool
    ) -> Answer:
        url = self._url + path
        sent = dict(headers)
        if signed:
            request = AWSRequest(method=method, url=url, data=data, headers=sent)
            self._signer.add_auth(request)
            sent = dict(request.headers.items())
        call = urllib.request.Request(url, data, sent, method=method)  # noqa: S310  (loopback)
        try:
            with urllib.request.urlopen(call, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310
                return Answer(response.status, response.headers, response.read().decode())
        except urllib.error.HTTPError as refused:
            with refused:
                return Answer(refused.code, refused.headers, refused.read().decode())
