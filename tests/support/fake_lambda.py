"""A Lambda in this process: takes Invoke calls at the HTTP boundary, delivers when told to."""

import io
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.compat import HTTPHeaders

import job_runners.handlers.worker
from distinct_times import next_millisecond
from job_runners.aws import clients
from job_runners.testing.lambda_context import Context


class FakeLambda:
    """Answers every Invoke with 202, or with `refuse`, and keeps the events until delivered."""

    def __init__(self) -> None:
        self.invokes: list[dict[str, Any]] = []
        self.events: list[Any] = []
        self.refuse: int | None = None
        self.not_there: dict[str, str] = {}  # functions, and how Lambda refuses a call of each
        clients.client("lambda").meta.events.register_first(
            "before-send.lambda.Invoke", self._answer
        )

    def _answer(self, request: AWSRequest, **_: Any) -> AWSResponse:
        self.invokes.append(
            {"url": request.url, "type": dict(request.headers)["X-Amz-Invocation-Type"]}
        )
        if (kind := self.not_there.get(self.called[-1])) is not None:
            headers = {"X-Amzn-Errortype": kind}
            return _response(request.url, 404, b'{"Message": "Function not found"}', headers)
        if self.refuse is not None:
            body = json.dumps({"message": "Rate Exceeded"}).encode()
            return _response(request.url, self.refuse, body)
        self.events.append(json.loads(request.body))
        return _response(request.url, 202, b"")

    @property
    def called(self) -> list[str]:
        """The names or ARNs of the functions that were invoked, in order."""
        return [unquote(str(each["url"])).split("/")[-2] for each in self.invokes]

    def deliver(self, context: Callable[[], Context] = Context) -> int:
        """Run every event that has arrived, and those that they cause. Returns how many."""
        delivered = 0
        while self.events:
            next_millisecond()
            job_runners.handlers.worker.handler(self.events.pop(0), context())  # type: ignore[arg-type]
            delivered += 1
        return delivered


def _response(
    url: Any, status: int, body: bytes, headers: Mapping[str, str] | None = None
) -> AWSResponse:
    given = HTTPHeaders()
    for name, value in (headers or {}).items():
        given[name] = value
    return AWSResponse(url, status, given, _Raw(body))


class _Raw(io.BytesIO):
    """As much of a urllib3 response as botocore reads."""

    def stream(self, **_: Any) -> Any:
        yield self.read()
