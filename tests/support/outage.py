"""Services that are away for a while on a clock that is moved: they refuse, hang or say nothing."""

from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from bench import Bench
from job_runners import clock
from job_runners.aws import clients

URL = "https://dynamodb.us-east-1.amazonaws.com"
# A call that hangs holds whoever makes it for so long, with all its tries.
_HANGS = 20.0  # seconds


def _throttled(operation: str) -> Exception:
    answer: Any = {
        "Error": {"Code": "ProvisionedThroughputExceededException", "Message": "too much"},
        "ResponseMetadata": {"HTTPStatusCode": 400},
    }
    return ClientError(answer, operation)


def _broken(operation: str) -> Exception:
    answer: Any = {
        "Error": {"Code": "InternalServerError", "Message": "we encountered an error"},
        "ResponseMetadata": {"HTTPStatusCode": 500},
    }
    return ClientError(answer, operation)


def _refused(operation: str) -> Exception:
    answer: Any = {
        "Error": {"Code": "AccessDeniedException", "Message": "not authorized"},
        "ResponseMetadata": {"HTTPStatusCode": 400},
    }
    return ClientError(answer, operation)


class Outage:
    """Ways for a service to be away. Each begins now, and ends after so many seconds."""

    KINDS = ("throttled", "broken", "hanging", "cut off", "unheard")  # all temporary

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        self._bench = bench
        self._monkeypatch = monkeypatch
        self.calls: list[str] = []  # that failed
        self._ends: dict[str, int] = {}  # by service

    def begin(
        self, kind: str, seconds: float = 120, *, service: str = "dynamodb", only: str = ""
    ) -> None:
        """Let the service be away; `only` names the one operation that fails."""
        client = clients.client(service)
        real = client._make_api_call
        self._ends[service] = clock.now() + int(seconds * clock.SECOND)

        def call(operation: str, arguments: Any) -> Any:
            if clock.now() < self._ends[service] and only in ("", operation):
                self.calls.append(operation)
                self._fail(kind, operation, lambda: real(operation, arguments))
            return real(operation, arguments)

        self._monkeypatch.setattr(client, "_make_api_call", call)

    def end(self) -> None:
        """Let every service be back."""
        self._ends = dict.fromkeys(self._ends, 0)

    def _fail(self, kind: str, operation: str, make: Callable[[], Any]) -> NoReturn:
        match kind:
            case "throttled":
                raise _throttled(operation)
            case "broken":
                raise _broken(operation)
            case "refused":
                raise _refused(operation)
            case "hanging":
                self._bench.advance(_HANGS)
                raise ReadTimeoutError(endpoint_url=URL)
            case "cut off":
                raise ConnectionClosedError(endpoint_url=URL)
            case "unheard" | "unheard and hanging":  # it lands each time, and no answer arrives
                if kind != "unheard":
                    self._bench.advance(_HANGS)
                try:
                    make()
                finally:
                    raise ReadTimeoutError(endpoint_url=URL)
        raise AssertionError(kind)


@pytest.fixture
def outage(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Outage:
    """Services that can be away, on the bench's clock."""
    return Outage(bench, monkeypatch)
