"""Simulate storms. In a storm, each call to a service is refused, gets a network error or times
out."""

from collections.abc import Callable
from dataclasses import dataclass

from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError

# DynamoDB is listed twice, so that it is chosen most
SERVICES = ("dynamodb", "dynamodb", "s3", "lambda", "sqs")
_DURATIONS = (5, 20, 60, 120)  # seconds
_READ_SECONDS = {"s3": 30}  # seconds until a call times out, as in job_runners.aws.clients
_CONNECT_SECONDS = 3


@dataclass
class _Storm:
    kind: str
    until: int


class Storms:
    """The services that are unavailable, how they fail, and until when.

    `now` returns the world's time in milliseconds. `spend` lets seconds pass for the caller.
    """

    def __init__(self, now: Callable[[], int], spend: Callable[[float], None]) -> None:
        self._now = now
        self._spend = spend
        self._storms: dict[str, _Storm] = {}

    def begin(self, choose: Callable[[str, int], int], service: str | None = None) -> None:
        """Start a storm at this service, or at one that `choose` selects."""
        service = service or SERVICES[choose("which service", len(SERVICES))]
        kind = _KINDS[choose("how it fails", len(_KINDS))]
        seconds = _DURATIONS[choose("how long it fails", len(_DURATIONS))]
        self._storms[service] = _Storm(kind, self._now() + seconds * 1000)

    def end_all(self) -> None:
        """End all storms."""
        self._storms.clear()

    def refusal_status(self, service: str) -> int | None:
        """Return the HTTP status with which this service refuses a call now, or None if it works.

        Raises a botocore error if the service does not answer at all.
        """
        storm = self._storms.get(service)
        if storm is None:
            return None
        if self._now() >= storm.until:
            del self._storms[service]
            return None
        match storm.kind:
            case "throttles":
                return 400
            case "is broken":
                return 500
        raise self.network_error(service, storm.kind)

    def network_error(self, service: str, kind: str) -> Exception:
        """Return the error that a call raises if it fails in this way.

        If the failure is a timeout, let the time pass first.
        """
        url = f"https://{service}.us-east-1.amazonaws.com"
        match kind:
            case "can't be reached":
                return EndpointConnectionError(endpoint_url=url)
            case "takes no connection":
                self._spend(_CONNECT_SECONDS)
                return ConnectTimeoutError(endpoint_url=url)
        self._spend(_READ_SECONDS.get(service, 5))
        return ReadTimeoutError(endpoint_url=url)


_KINDS = ("throttles", "is broken", "can't be reached", "takes no connection", "does not answer")
