"""send_message down to the request that SNS gets: at most one text, tried again only when sure."""

import socket
import threading
import traceback
from typing import Any, BinaryIO

import pytest
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
    SSLError,
)
from pydantic import ValidationError

from fake_sns import TAKEN, Sns, answering_sns, raising, refusal
from job_runners.aws import clients
from job_runners.errors import DoNotRetry, RetryAfter
from job_runners.handlers import worker
from job_runners.runners import get_job_runner
from job_runners.shipped.tasks.send_message import SendMessage, send_message
from job_runners.testing.lambda_context import Context

CELL = "+12125550123"


@pytest.fixture
def sns() -> Sns:
    return answering_sns()


def send() -> None:
    send_message(SendMessage(cell=CELL, text="Zo\u00eb, polls close at 8."))


def test_the_number_and_the_text_reach_sns_as_a_transactional_sms(sns: Sns) -> None:
    send()
    (sent,) = sns.sent
    assert sent["PhoneNumber"] == [CELL]
    assert sent["Message"] == ["Zo\u00eb, polls close at 8."]
    assert sent["MessageAttributes.entry.1.Name"] == ["AWS.SNS.SMS.SMSType"]
    assert sent["MessageAttributes.entry.1.Value.StringValue"] == ["Transactional"]


def test_a_task_dispatched_by_name_texts_once(sns: Sns) -> None:
    get_job_runner().dispatch_task("send_message", {"cell": CELL, "text": "Hello"})
    assert [sent["Message"] for sent in sns.sent] == [["Hello"]]


@pytest.mark.parametrize("code", ["Throttling", "ThrottledException"])
def test_a_message_refused_for_load_is_tried_again(sns: Sns, code: str) -> None:
    sns.answer = refusal(400, code)
    with pytest.raises(RetryAfter, match="SNS throttled the message; retry after 5 s"):
        send()
    assert len(sns.sent) == 1


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url="https://sns"),
        ConnectTimeoutError(endpoint_url="https://sns"),
    ],
)
def test_a_message_that_never_left_is_tried_again(sns: Sns, error: Exception) -> None:
    sns.answer = raising(error)
    with pytest.raises(RetryAfter, match="SNS can't be reached"):
        send()
    assert len(sns.sent) == 1


@pytest.mark.parametrize(
    "error",
    [
        ReadTimeoutError(endpoint_url="https://sns"),
        ConnectionClosedError(endpoint_url="https://sns"),
        SSLError(endpoint_url="https://sns", error=OSError("EOF")),
        NoCredentialsError(),
    ],
)
def test_a_message_that_may_have_left_is_given_up_rather_than_doubled(
    sns: Sns, error: Exception
) -> None:
    sns.answer = raising(error)
    with pytest.raises(DoNotRetry, match="SNS may have accepted the message"):
        send()
    assert len(sns.sent) == 1


@pytest.mark.parametrize(("status", "code"), [(500, "InternalError"), (503, "ServiceUnavailable")])
def test_after_a_failure_inside_sns_nobody_knows(sns: Sns, status: int, code: str) -> None:
    sns.answer = refusal(status, code)
    with pytest.raises(DoNotRetry, match=f"it isn't sent again: SNS answered {code}"):
        send()
    assert len(sns.sent) == 1


@pytest.mark.parametrize(("status", "code"), [(400, "InvalidParameter"), (500, "InternalError")])
def test_no_error_carries_the_number_that_sns_repeats(sns: Sns, status: int, code: str) -> None:
    sns.answer = refusal(
        status, code, f"Invalid parameter: PhoneNumber Reason: {CELL} is not valid"
    )
    with pytest.raises(DoNotRetry) as refused:
        send()
    # As it is logged and kept: with its cause.
    assert CELL not in "".join(traceback.format_exception(refused.value))


class _SleepyServer:
    """An SNS whose connections have all died whenever the worker slept, which nobody hears of."""

    def __init__(self) -> None:
        self.texts = 0
        self.connections = 0
        self.slept = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            self.connections += 1
            threading.Thread(target=self._answer, args=[connection], daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        opened = self.slept
        with connection, connection.makefile("rb") as lines:
            while length := _body_length(lines):
                if self.slept != opened:
                    return  # as whoever gets a packet of a connection that it has forgotten
                lines.read(length)
                self.texts += 1
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(TAKEN)}\r\n\r\n"
                connection.sendall((head + TAKEN).encode())


def _body_length(lines: BinaryIO) -> int:
    length = 0
    while line := lines.readline().strip():
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return length


def test_a_worker_that_slept_texts_over_a_new_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    sns = _SleepyServer()
    monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", f"http://127.0.0.1:{sns.port}")
    clients.forget()
    payload = {"cell": CELL, "text": "Hello"}
    event = {"v": 1, "kind": "task", "id": "1", "name": "send_message", "payload": payload}
    event |= {"attempt": 1}
    for text in (1, 2, 3):
        worker.handler(event, Context())  # type: ignore[arg-type]
        assert sns.texts == text
        sns.slept += 1
    with pytest.raises(DoNotRetry, match="may have accepted the message"):
        send()  # no invocation has begun: nobody would know that the text is lost
    clients.forget()


def test_within_an_invocation_texts_share_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    sns = _SleepyServer()
    monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", f"http://127.0.0.1:{sns.port}")
    clients.forget()
    clients.drop_idle_connections()
    for _ in range(3):
        send()
    assert (sns.texts, sns.connections) == (3, 1)
    clients.forget()


def test_a_refusal_is_final(sns: Sns) -> None:
    sns.answer = refusal(400, "InvalidParameter")
    with pytest.raises(DoNotRetry, match="the message was not sent: SNS answered InvalidParameter"):
        send()
    assert len(sns.sent) == 1


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"cell": CELL},
        {"cell": "2125550123", "text": "x"},
        {"cell": "+1 212 555 0123", "text": "x"},
        {"cell": "+0212555012", "text": "x"},
        {"cell": "+" + "1" * 16, "text": "x"},
        {"cell": CELL + "\n", "text": "x"},
        {"cell": "+\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668", "text": "x"},
        {"cell": CELL, "text": ""},
        {"cell": CELL, "text": "x" * 1601},
        {"cell": CELL, "text": "x", "topic": "arn"},
    ],
)
def test_a_payload_that_does_not_fit_is_refused(payload: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SendMessage.model_validate(payload)
