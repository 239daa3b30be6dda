"""send_message down to the request that SNS gets: at most one text, tried again only when sure."""

from typing import Any

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

from errors import DoNotRetry, RetryAfter
from fake_sns import Sns, answering_sns, raising, refusal
from runners import get_job_runner
from tasks.send_message import SendMessage, send_message

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
    with pytest.raises(RetryAfter, match="takes no more messages for now; retry after 5 s"):
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
    with pytest.raises(DoNotRetry, match="given up, for SNS may have taken the message"):
        send()
    assert len(sns.sent) == 1


@pytest.mark.parametrize(("status", "code"), [(500, "InternalError"), (503, "ServiceUnavailable")])
def test_after_a_failure_inside_sns_nobody_knows(sns: Sns, status: int, code: str) -> None:
    sns.answer = refusal(status, code)
    with pytest.raises(DoNotRetry, match=f"SNS may have taken the message: {code}: because"):
        send()
    assert len(sns.sent) == 1


def test_a_refusal_is_final(sns: Sns) -> None:
    sns.answer = refusal(400, "InvalidParameter")
    with pytest.raises(DoNotRetry, match="SNS did not send the message: InvalidParameter: because"):
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
