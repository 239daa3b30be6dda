"""send_first_messages through its front door, on moto: who is texted what, how often, how fast."""

from collections import Counter
from typing import Any

import pytest
from pydantic import ValidationError

from contacts_table import keep, statuses
from fake_sns import answering_sns
from job_runners import clock
from job_runners.engine.running.execution import run
from job_runners.engine.wire.messages import Message, TaskMessage
from job_runners.errors import DoNotRetry, SendFailed
from job_runners.shipped.campaigns.assignment import MessageStatus, assign
from job_runners.shipped.campaigns.contact import Contact
from job_runners.shipped.campaigns.messaging.send_claim import SendClaim
from job_runners.shipped.jobs.send_first_messages import SendFirstMessages, send_first_messages
from job_runners.work.interrupts import TurnOver
from recording_job import RecordingJob, Stopped

pytestmark = pytest.mark.usefixtures("aws")


class Wire:
    """Messages on their way to the worker."""

    def __init__(self) -> None:
        self.sent: list[TaskMessage] = []
        self.breaks_at: int | None = None

    def __call__(self, message: Message, delay: float = 0) -> None:
        assert isinstance(message, TaskMessage)
        if len(self.sent) == self.breaks_at:
            raise SendFailed("the worker", "throttled")
        self.sent.append(message)

    @property
    def payloads(self) -> list[Any]:
        return [message.payload for message in self.sent]

    def deliver(self) -> None:
        for message in self.sent:
            run(message, deadline=clock.now() + clock.MINUTE, send=self)


@pytest.fixture
def wire() -> Wire:
    return Wire()


def start(wire: Wire, job: RecordingJob | None = None, **payload: Any) -> dict[str, Any]:
    given = SendFirstMessages.model_validate({"text": "Hi {first_name}"} | payload)
    return send_first_messages(job or RecordingJob(send=wire), given)


def give(*numbers: int, to: str = "ada") -> None:
    for number in numbers:
        assign("acme#spring", f"+1212555{number:04d}", to, "run")


def test_every_assigned_contact_gets_a_task_with_a_text_of_its_own(wire: Wire) -> None:
    keep(3)
    give(0, 2)
    give(1, to="bo")
    assert start(wire) == {"dispatched": 3, "earlier": 0, "unassigned": 0, "too_long": 0}
    assert {message.name for message in wire.sent} == {"send_first_message"}
    assert wire.payloads[1] == {
        "organization_id": "acme",
        "campaign_id": "spring",
        "cell": "+12125550001",
        "texter": "bo",
        "text": "Hi Ann 1",
    }
    assert [each["texter"] for each in wire.payloads] == ["ada", "bo", "ada"]


def test_who_has_no_texter_a_message_already_or_too_long_a_name_is_left_alone(wire: Wire) -> None:
    keep(4)
    give(1, 2, 3)
    mark = SendClaim("acme#spring", "+12125550001")
    assert mark.set("ada")
    mark.end(MessageStatus.SENT)
    Contact("acme#spring", "+12125550002", first_name="x" * 1600, last_name="Lee").save()
    assert start(wire) == {"dispatched": 1, "earlier": 1, "unassigned": 1, "too_long": 1}
    assert [each["cell"] for each in wire.payloads] == ["+12125550003"]


def test_run_again_it_texts_only_who_was_not_texted(wire: Wire) -> None:
    sns = answering_sns()
    keep(3)
    give(0, 1)
    start(wire)
    wire.deliver()
    give(2)
    assert start(wire) == {"dispatched": 1, "earlier": 2, "unassigned": 0, "too_long": 0}
    wire.deliver()
    assert Counter(each["PhoneNumber"][0] for each in sns.sent) == {
        f"+1212555000{number}": 1 for number in range(3)
    }
    assert statuses() == ["sent"] * 3


def test_stopped_at_any_checkpoint_everyone_is_texted_once(wire: Wire) -> None:
    sns = answering_sns()
    keep(6)
    give(0, 1, 2, 4, 5)
    for stop in range(1, 7):
        stopped = RecordingJob(send=wire, stop_at=stop)
        with pytest.raises(Stopped):
            start(wire, stopped)
        older = stopped.cursors[max(0, stop - 3)]  # what came after it was never written
        start(wire, RecordingJob(send=wire, cursor=older))
    assert len(wire.sent) > 30
    wire.deliver()
    assert sorted(each["PhoneNumber"][0] for each in sns.sent) == [
        f"+1212555000{number}" for number in (0, 1, 2, 4, 5)
    ]


def test_a_task_that_could_not_be_sent_is_dispatched_by_the_next_attempt(wire: Wire) -> None:
    keep(4)
    give(0, 1, 2, 3)
    wire.breaks_at = 2
    job = RecordingJob(send=wire)
    with pytest.raises(SendFailed):
        start(wire, job)
    wire.breaks_at = None
    assert start(wire, RecordingJob(send=wire, cursor=job.cursor))["dispatched"] == 4
    assert [each["text"] for each in wire.payloads] == [
        "Hi Ann 0",
        "Hi Ann 1",
        "Hi Ann 2",
        "Hi Ann 3",
    ]


def test_messages_leave_in_turns_of_the_queue(wire: Wire) -> None:
    keep(45)
    give(*range(45))
    cursor, turns = None, []
    while True:
        job = RecordingJob(send=wire, cursor=cursor)
        before = len(wire.sent)
        try:
            result = start(wire, job)
        except TurnOver:
            cursor = job.cursors[-1]
        else:
            break
        finally:
            turns.append((len(wire.sent) - before, job.messages[-1]))
    assert turns == [
        (20, "20 of 45 messages dispatched"),
        (20, "40 of 45 messages dispatched"),
        (5, "45 of 45 messages dispatched"),
    ]
    assert result["dispatched"] == len({each["cell"] for each in wire.payloads}) == 45


def test_a_turn_is_given_up_only_if_there_is_more_to_send(wire: Wire) -> None:
    keep(25)
    give(*range(20))
    assert start(wire) == {"dispatched": 20, "earlier": 0, "unassigned": 5, "too_long": 0}


def test_progress_counts_who_is_to_be_texted(wire: Wire) -> None:
    keep(3)
    give(0, 2)
    job = RecordingJob(send=wire)
    start(wire, job)
    assert list(zip(job.shares, job.messages, strict=True)) == [
        (50.0, "1 of 2 messages dispatched"),
        (50.0, "1 of 2 messages dispatched"),
        (100.0, "2 of 2 messages dispatched"),
    ]


def test_what_a_contact_says_is_text_and_never_a_field(wire: Wire) -> None:
    Contact("acme#spring", "+12125550000", first_name="{zip}", last_name="{0.x}", zip="Z").save()
    give(0)
    start(wire, text="{first_name} {last_name}{external_id}, {zip}!")
    assert [each["text"] for each in wire.payloads] == ["{zip} {0.x}, Z!"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "at least 1 character"),
        ("x" * 1601, "at most 1600"),
        ("Hi {firstname}", r"\{firstname\} isn't a field of a contact; use \{first_name\}, "),
        ("Hi {cell}", r"\{cell\} isn't a field"),
        ("Hi {}", r"\{\} isn't a field"),
        ("Hi {first_name.__class__}", "isn't a field"),
        ("Hi {{first_name}}", "has a single brace"),
        ("Hi {first_name", "has a single brace"),
        ("{first_name} {last_name}", "must have text besides"),
    ],
)
def test_a_text_that_can_not_be_filled_is_refused_at_dispatch(text: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        SendFirstMessages.model_validate({"text": text})


def test_a_job_without_its_campaign_says_so(wire: Wire) -> None:
    with pytest.raises(DoNotRetry, match="campaign_id is missing"):
        start(wire, RecordingJob(campaign_id=None, send=wire))
