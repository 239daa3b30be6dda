"""Make calls to an HTTP API, with a signature or a token."""

import json
from collections.abc import Mapping
from typing import Any, Self

from job_runners.client.connections import Answer, Connections
from job_runners.client.signing import Access


class HttpApi:
    """The API at one URL. `timeout` is the seconds to wait for a whole answer."""

    def __init__(self, url: str, access: Access, timeout: float = 35) -> None:
        self.url = url.rstrip("/")
        self.access = access
        self._connections = Connections(url, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close idle connections."""
        self._connections.close()

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = True,
    ) -> Answer:
        """Make one call. Raises NoAnswer.

        A call that isn't `repeatable` doesn't reuse a connection that was idle for a long time.
        """
        url, data = self.url + path, None
        all_headers = {"Accept": "application/json", **(headers or {})}
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body, allow_nan=False).encode()
            all_headers = {"Content-Type": "application/json", **all_headers}
        signed = self.access.headers(method, url, data, all_headers)
        return self._connections.send(method, url, data, signed, repeatable=repeatable)
