"""Services that fail for a while: each call of one is refused, or times out, until its storm is
over."""

from collections.abc import Callable
from dataclasses import dataclass

from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError

SERVICES = ("dynamodb", "dynamodb", "s3", "lambda", "sqs")  # the first is met most
_LASTS = (5, 20, 60, 120)  # seconds
_READ_SECONDS = {"s3": 30}  # until a call times out: aws.clients has the same
_CONNECT_SECONDS = 3


@dataclass
class _Storm:
    kind: str
    until: int


class Storms:
    """Which services are away, how, and until when. `now` is the world's time in milliseconds,
    `spend` lets seconds of it pass for whoever calls."""

    def __init__(self, now: Callable[[], int], spend: Callable[[float], None]) -> None:
        self._now = now
        self._spend = spend
        self._storms: dict[str, _Storm] = {}

    def begin(self, choose: Callable[[str, int], int], service: str | None = None) -> None:
        """One service goes away: this one, or any."""
        service = service or SERVICES[choose("which service", len(SERVICES))]
        kind = _KINDS[choose("how it fails", len(_KINDS))]
        lasts = _LASTS[choose("how long it fails", len(_LASTS))]
        self._storms[service] = _Storm(kind, self._now() + lasts * 1000)

    def end_all(self) -> None:
        """Everything is well again."""
        self._storms.clear()

    def meet(self, service: str) -> int | None:
        """Return what a call to this service meets now: None if all is well, or the HTTP status of
        a refusal. Raises botocore's error where there is no answer at all."""
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
        """Return the error of a call that got no answer, once the time for that has passed."""
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
