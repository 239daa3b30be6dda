"""What answers in SNS's place, down to the request that it gets."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders

from job_runners.aws import clients

TAKEN = "<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>"
Answer = Callable[[], AWSResponse]


class Sns:
    """What answers in SNS's place, request by request."""

    def __init__(self) -> None:
        self.sent: list[dict[str, list[str]]] = []
        self.answer: Answer = lambda: response(200, TAKEN)

    def __call__(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        assert isinstance(request.body, str)
        self.sent.append(parse_qs(request.body))
        return self.answer()


class Body(bytes):
    """A response's body, whole."""

    def stream(self, **_: Any) -> list[bytes]:
        return [self]


def response(status: int, body: str) -> AWSResponse:
    return AWSResponse("https://sns", status, HTTPHeaders(), Body(body.encode()))


def refusal(status: int, code: str, message: str = "because") -> Answer:
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    return lambda: response(status, f"<ErrorResponse>{error}</ErrorResponse>")


def raising(error: Exception) -> Answer:
    def answer() -> AWSResponse:
        raise error

    return answer


def answering_sns() -> Sns:
    """From now on it answers."""
    sns = Sns()
    clients.client("sns").meta.events.register("before-send.sns.Publish", sns)
    return sns
