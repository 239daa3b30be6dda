"""One text through SNS: sent once at most, to a number that may be texted, and never logged."""

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

from campaign_world import HEADER, Answer, Sns, accepted, import_file, raising, refusal, rows_of
from job_runners.testing.job_runner import InlineRunner, InvalidPayload
from job_runners.testing.saved_jobs import assert_succeeded

US, UK, FRENCH = "+12125550123", "+447400123456", "+33612345678"
US_PREMIUM, UK_PREMIUM = "+19002345678", "+449098790123"
IRIDIUM, INMARSAT, NETWORK = "+881612345678", "+870773111632", "+882161234567"
TEXT = "Zo\u00eb, polls close at 8."


def send(job_runner: InlineRunner, cell: str = US) -> None:
    job_runner.run_task("send_message", {"cell": cell, "text": TEXT})


def test_the_number_and_the_text_reach_sns_as_a_transactional_sms(
    job_runner: InlineRunner, sns: Sns
) -> None:
    send(job_runner)
    assert sns.texts == [(US, TEXT)]
    (request,) = sns.requests
    assert request["MessageAttributes.entry.1.Name"] == ["AWS.SNS.SMS.SMSType"]
    assert request["MessageAttributes.entry.1.Value.StringValue"] == ["Transactional"]


def test_each_invocation_opens_a_connection_of_its_own(job_runner: InlineRunner, sns: Sns) -> None:
    """While Lambda freezes a worker, its connections die. A text on a dead one would be lost."""
    send(job_runner)
    send(job_runner)
    assert sns.clients == 2


@pytest.mark.parametrize(
    "answer",
    [
        refusal(400, "Throttling"),
        refusal(429, "ThrottledException"),
        raising(EndpointConnectionError(endpoint_url="https://sns")),
        raising(ConnectTimeoutError(endpoint_url="https://sns")),
    ],
)
def test_a_text_that_sns_certainly_did_not_accept_is_tried_again(
    job_runner: InlineRunner, sns: Sns, answer: Answer
) -> None:
    sns.answer = lambda: (answer if len(sns.requests) == 1 else accepted)()
    send(job_runner)
    assert len(sns.requests) == 2
    sns.answer = answer
    with pytest.raises(AssertionError, match=r"in attempt 5: RetryAfter: SNS (throttled|can't be)"):
        send(job_runner)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (raising(ReadTimeoutError(endpoint_url="https://sns")), "ReadTimeoutError"),
        (raising(ConnectionClosedError(endpoint_url="https://sns")), "ConnectionClosedError"),
        (raising(SSLError(endpoint_url="https://sns", error=OSError("EOF"))), "SSLError"),
        (raising(NoCredentialsError()), "NoCredentialsError"),
        (refusal(500, "InternalError", f"{US} failed"), "SNS answered InternalError"),
        (refusal(503, "ServiceUnavailable", f"{US} failed"), "SNS answered ServiceUnavailable"),
        (refusal(400, "InvalidParameter", f"{US} is not valid"), "SNS answered InvalidParameter"),
    ],
)
def test_a_text_that_may_have_left_or_was_refused_is_never_tried_again(
    job_runner: InlineRunner, sns: Sns, caplog: pytest.LogCaptureFixture, answer: Answer, why: str
) -> None:
    sns.answer = answer
    with pytest.raises(AssertionError, match=why) as failed:
        send(job_runner)
    assert len(sns.requests) == 1
    shown = " ".join([str(failed.value), *(str(vars(record)) for record in caplog.records)])
    assert US[1:] not in shown  # SNS repeats the number in its message


# --- which numbers may be texted ------------------------------------------------------------------


def is_texted(job_runner: InlineRunner, sns: Sns, cell: str) -> bool:
    before = len(sns.texts)
    try:
        send(job_runner, cell)
    except AssertionError as error:
        assert "the message was not sent: the number" in str(error)  # noqa: PT017
        assert cell[4:] not in str(error)  # noqa: PT017
    return len(sns.texts) > before


def test_premium_and_satellite_numbers_are_not_texted(job_runner: InlineRunner, sns: Sns) -> None:
    for cell in (US_PREMIUM, UK_PREMIUM, IRIDIUM, INMARSAT, NETWORK, "+979123456789"):
        assert not is_texted(job_runner, sns, cell), cell
    for cell in (US, UK, FRENCH, "+8613812345678", "+12125550000"):
        assert is_texted(job_runner, sns, cell), cell


def test_an_import_rejects_such_numbers_and_says_why(job_runner: InlineRunner) -> None:
    numbers = (US, US_PREMIUM, IRIDIUM, UK)
    job = import_file(job_runner, HEADER + "".join(f"A,B,{number}\n" for number in numbers))
    result = assert_succeeded(job)
    assert (result["imported"], result["invalid"]) == (2, 2)
    assert [row[1] for row in rows_of(result["rejected"]["file"])[1:]] == [
        "has a number that has a premium rate",
        "has a number that belongs to no country",
    ]


@pytest.mark.parametrize(
    "payload",
    [
        {"cell": US},
        {"cell": "2125550123", "text": "x"},
        {"cell": "+" + "1" * 16, "text": "x"},
        {"cell": US + "\n", "text": "x"},
        {"cell": "+\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668", "text": "x"},
        {"cell": US, "text": ""},
        {"cell": US, "text": "x" * 1601},
        {"cell": US, "text": "x", "topic": "arn"},
    ],
)
def test_a_payload_that_does_not_fit_is_refused(
    job_runner: InlineRunner, payload: dict[str, Any]
) -> None:
    with pytest.raises(InvalidPayload):
        job_runner.run_task("send_message", payload)
