"""send_first_message down to the request that SNS gets: one text for a person, whatever happens."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError
from pydantic import ValidationError

from contacts_table import keep, statuses
from fake_sns import Sns, answering_sns, raising, refusal
from job_runners import clock
from job_runners.aws import clients
from job_runners.engine.running.execution import run
from job_runners.engine.wire.messages import Message, TaskMessage
from job_runners.engine.wire.sending import Send
from job_runners.errors import DoNotRetry, RetryAfter
from job_runners.shipped.campaigns.assignment import assign
from job_runners.shipped.campaigns.messaging.send_claim import SendClaim
from job_runners.shipped.tasks.send_first_message import SendFirstMessage, send_first_message

pytestmark = pytest.mark.usefixtures("aws")

Write = Callable[[Callable[[], Any]], Any]
CELL = "+12125550000"
PAYLOAD = {
    "organization_id": "acme",
    "campaign_id": "spring",
    "cell": CELL,
    "texter": "ada",
    "text": "Hi Ann",
}


@pytest.fixture
def sns() -> Sns:
    """SNS, and one contact, who is ada's."""
    keep(1)
    assign("acme#spring", CELL, "ada", "run")
    return answering_sns()


def deliver(**changed: str) -> None:
    send_first_message(SendFirstMessage.model_validate(PAYLOAD | changed))


def texts(sns: Sns) -> list[tuple[str, str]]:
    return [(each["PhoneNumber"][0], each["Message"][0]) for each in sns.sent]


def test_the_contact_is_marked_before_the_text_is_sent_and_sent_after(sns: Sns) -> None:
    marked = []
    taken = sns.answer

    def answer() -> AWSResponse:
        marked.extend(statuses())
        return taken()

    sns.answer = answer
    assert statuses() == ["needs_message"]
    deliver()
    assert marked == ["sending"]
    assert statuses() == ["sent"]
    assert texts(sns) == [(CELL, "Hi Ann")]


def test_delivered_twice_it_texts_once(sns: Sns) -> None:
    deliver()
    deliver()
    assert len(sns.sent) == 1


def test_delivered_again_while_it_is_being_sent_it_texts_once(sns: Sns) -> None:
    taken = sns.answer

    def answer() -> AWSResponse:
        deliver()
        return taken()

    sns.answer = answer
    deliver()
    assert len(sns.sent) == 1
    assert statuses() == ["sent"]


@pytest.mark.parametrize(
    "refused",
    [refusal(400, "Throttling"), raising(ConnectTimeoutError(endpoint_url="https://sns"))],
)
def test_after_a_sure_refusal_another_attempt_texts(
    sns: Sns, refused: Callable[[], AWSResponse]
) -> None:
    taken, sns.answer = sns.answer, refused
    sent: list[tuple[Message, float]] = []

    def send(message: Message, delay: float = 0) -> None:
        sent.append((message, delay))

    run_task(TaskMessage(id="1", name="send_first_message", payload=PAYLOAD), send)
    assert statuses() == ["needs_message"]
    ((again, delay),) = sent
    assert delay == 5
    sns.answer = taken
    run_task(again, send)
    assert statuses() == ["sent"]
    assert len(sns.sent) == 2  # of which SNS refused one
    assert len(sent) == 1


def run_task(message: Message, send: Send) -> None:
    run(message, deadline=clock.now() + clock.MINUTE, send=send)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (refusal(400, "InvalidParameter"), "refused"),
        (refusal(500, "InternalError"), "unknown"),
        (raising(ReadTimeoutError(endpoint_url="https://sns")), "unknown"),
    ],
)
def test_what_is_not_surely_refused_for_now_is_never_tried_again(
    sns: Sns, answer: Callable[[], AWSResponse], status: str
) -> None:
    sns.answer = answer
    with pytest.raises(DoNotRetry):
        deliver()
    assert statuses() == [status]
    deliver()
    assert len(sns.sent) == 1


def test_a_worker_killed_while_it_sends_leaves_a_contact_that_nobody_texts_again(sns: Sns) -> None:
    def answer() -> AWSResponse:
        raise KeyboardInterrupt  # not an Exception: nothing is recorded

    sns.answer = answer
    with pytest.raises(KeyboardInterrupt):
        deliver()
    assert statuses() == ["sending"]
    deliver()
    assert len(sns.sent) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"texter": "bo"},
        {"cell": "+12125550001"},
        {"campaign_id": "fall"},
        {"organization_id": "other"},
    ],
)
def test_who_is_not_this_texters_contact_gets_no_text(sns: Sns, changed: dict[str, str]) -> None:
    keep(2)  # the second is nobody's
    deliver(**changed)
    assert sns.sent == []
    assert statuses() == ["needs_message", None]


def test_a_mark_whose_response_was_lost_is_ours_all_the_same(
    sns: Sns, monkeypatch: pytest.MonkeyPatch
) -> None:
    each_write(monkeypatch, lambda write: [write(), write()][-1])  # as botocore does in a timeout
    deliver()
    assert len(sns.sent) == 1
    assert statuses() == ["sent"]


def timed_out() -> Any:
    raise ReadTimeoutError(endpoint_url="https://dynamodb")


def landed_unheard(write: Callable[[], Any]) -> Any:
    write()
    return timed_out()


def test_the_next_attempt_texts_though_the_mark_of_this_one_could_not_be_taken_back(
    sns: Sns, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, sns.answer = sns.answer, refusal(400, "Throttling")
    sent: list[Message] = []

    def send(message: Message, delay: float = 0) -> None:
        sent.append(message)

    first = TaskMessage(id="1", name="send_first_message", payload=PAYLOAD)
    with monkeypatch.context() as patched:
        writes: Iterator[Write] = iter([lambda write: write(), lambda _: timed_out()])
        each_write(patched, lambda write: next(writes)(write))
        run_task(first, send)
    assert statuses() == ["sending"]
    with (
        monkeypatch.context() as patched
    ):  # it marks the contact, does not hear of it, sends nothing
        each_write(patched, landed_unheard)
        run_task(sent.pop(), send)
    sns.answer = taken
    again = sent.pop()
    run_task(first, send)  # delivered twice
    assert len(sns.sent) == 1
    run_task(again, send)
    assert (statuses(), len(sns.sent)) == (["sent"], 2)
    run_task(again, send)  # delivered twice
    assert (len(sns.sent), sent) == (2, [])


def test_the_next_attempt_does_not_text_beside_a_duplicate_that_is_sending(
    sns: Sns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first delivery could not take its mark back for all that it knows, and yet it had."""
    sns.answer = refusal(400, "Throttling")
    sent: list[Message] = []

    def send(message: Message, delay: float = 0) -> None:
        sent.append(message)

    with monkeypatch.context() as patched:
        writes: Iterator[Write] = iter([lambda write: write(), landed_unheard])
        each_write(patched, lambda write: next(writes)(write))
        run_task(TaskMessage(id="1", name="send_first_message", payload=PAYLOAD), send)
    (again,) = sent
    assert SendClaim("acme#spring", CELL).set("ada")  # the second delivery of the first attempt
    run_task(again, send)
    assert len(sns.sent) == 1


def test_a_mark_is_not_taken_back_from_who_has_set_it_since(
    sns: Sns, monkeypatch: pytest.MonkeyPatch
) -> None:
    sns.answer = refusal(400, "Throttling")
    written = []

    def lost(write: Callable[[], Any]) -> Any:
        written.append(write())
        if len(written) == 2:  # it is taken back, and marked by the next before we try again
            assert SendClaim("acme#spring", CELL).set("ada")
            return write()
        return written[-1]

    each_write(monkeypatch, lost)
    with pytest.raises(RetryAfter):
        deliver()
    assert statuses() == ["sending"]


def each_write(monkeypatch: pytest.MonkeyPatch, wrap: Callable[[Callable[[], Any]], Any]) -> None:
    client = clients.client("dynamodb")
    real = client.update_item
    monkeypatch.setattr(client, "update_item", lambda **how: wrap(lambda: real(**how)))


@pytest.mark.parametrize(
    "changed",
    [
        {"organization_id": "acme#spring"},
        {"organization_id": ""},
        {"cell": "2125550000"},
        {"texter": ""},
        {"text": ""},
        {"text": "x" * 1601},
    ],
)
def test_a_payload_that_does_not_fit_is_refused(changed: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        SendFirstMessage.model_validate(PAYLOAD | changed)
