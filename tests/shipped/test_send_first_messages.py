"""send_first_messages through its front door, on moto: who is texted what, and how often."""

from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from pydantic import ValidationError

from bench import Bench
from contacts_table import keep, statuses
from fake_sns import Sns, answering_sns, refusal
from job_runners.errors import DoNotRetry, RetryAfter
from job_runners.shipped.campaigns.assignment import MessageStatus, assign
from job_runners.shipped.campaigns.contact import Contact
from job_runners.shipped.campaigns.messaging.send_claim import SendClaim
from job_runners.shipped.jobs.send_first_messages import SendFirstMessages, send_first_messages
from job_runners.shipped.jobs.send_first_messages_turn import (
    SendFirstMessagesTurn,
    send_first_messages_turn,
)
from job_runners.store import blobs, children, queries
from job_runners.store.job_request import JobRequest
from recording_job import RecordingJob, Stopped

NONE = {
    **{str(status): 0 for status in MessageStatus},
    "unassigned": 0,
    "too_long": 0,
}


@pytest.fixture
def sns(bench: Bench) -> Sns:
    return answering_sns()


def cell(number: int) -> str:
    return f"+1212555{number:04d}"


def give(*numbers: int, to: str = "ada") -> None:
    for number in numbers:
        assign("acme#spring", cell(number), to, "run")


def dispatch(bench: Bench, **payload: Any) -> JobRequest:
    payload = {"text": "Hi {first_name}"} | payload
    return bench.dispatch("send_first_messages", payload=payload, campaign_id="spring")


def run(bench: Bench, **payload: Any) -> Any:
    """Run the job with all its turns, and return its result."""
    row = dispatch(bench, **payload)
    bench.run(row)
    bench.run_out()
    row = bench.read(row)
    return blobs.get(row.result, row.result_key)


def texts(sns: Sns) -> list[tuple[str, str]]:
    return [(each["PhoneNumber"][0], each["Message"][0]) for each in sns.sent]


def test_every_assigned_contact_gets_a_text_of_its_own(bench: Bench, sns: Sns) -> None:
    keep(3)
    give(0, 2)
    give(1, to="bo")
    assert run(bench) == NONE | {"sent": 3}
    assert texts(sns) == [(cell(number), f"Hi Ann {number}") for number in range(3)]


def test_who_has_no_texter_a_message_already_or_too_long_a_name_is_left_alone(
    bench: Bench, sns: Sns
) -> None:
    keep(4)
    give(1, 2, 3)
    mark = SendClaim("acme#spring", cell(1))
    assert mark.set("ada")
    mark.end(MessageStatus.REFUSED)
    Contact("acme#spring", cell(2), first_name="x" * 1600, last_name="Lee").save()
    only = {"sent": 1, "refused": 1, "unassigned": 1, "needs_message": 1, "too_long": 1}
    assert run(bench) == NONE | only
    assert [number for number, _ in texts(sns)] == [cell(3)]


def test_run_again_it_texts_only_who_was_not_texted(bench: Bench, sns: Sns) -> None:
    keep(3)
    give(0, 1)
    assert run(bench) == NONE | {"sent": 2, "unassigned": 1}
    give(2)
    assert run(bench) == NONE | {"sent": 3}
    assert [number for number, _ in texts(sns)] == [cell(number) for number in range(3)]


def test_each_turn_is_a_job_and_the_last_line_says_how_many_were_texted(
    bench: Bench, sns: Sns
) -> None:
    keep(46)
    give(*range(45))
    row = dispatch(bench)
    bench.run(row)
    bench.run_out()
    row = bench.read(row)
    assert row.result_message == "45 of 45 contacts texted"
    turns = [queries.read(each.id) for each in children.page(row, limit=10).children]
    assert len(turns) == 3
    assert len(set(texts(sns))) == len(sns.sent) == 45


def test_what_sns_refuses_is_counted_and_does_not_keep_the_others_from_their_text(
    bench: Bench, sns: Sns
) -> None:
    keep(3)
    give(0, 1, 2)
    taken, refused = sns.answer, refusal(400, "InvalidParameter")
    sns.answer = lambda: (refused if len(sns.sent) == 2 else taken)()
    assert run(bench) == NONE | {"sent": 2, "refused": 1}


def test_a_turn_that_is_throttled_goes_on_where_it_was(bench: Bench, sns: Sns) -> None:
    keep(3)
    give(0, 1, 2)
    taken, throttled = sns.answer, refusal(400, "Throttling")
    sns.answer = lambda: (throttled if len(sns.sent) == 2 else taken)()
    assert run(bench) == NONE | {"sent": 3}
    assert [number for number, _ in texts(sns)] == [cell(n) for n in (0, 1, 1, 2)]


def test_if_sns_stays_throttled_the_job_says_who_was_not_texted(bench: Bench, sns: Sns) -> None:
    keep(2)
    give(0, 1)
    sns.answer = refusal(400, "Throttling")
    assert run(bench) == NONE | {"needs_message": 2}
    sns.answer = answering_sns().answer
    assert run(bench)["sent"] == 2


def test_a_report_is_texted_once_all_messages_have_an_outcome(bench: Bench, sns: Sns) -> None:
    keep(2)
    give(0, 1)
    run(bench, report_to="+12125550199")
    assert texts(sns)[2:] == [("+12125550199", "First messages: 2 of 2 contacts texted.")]


# --- a turn ---------------------------------------------------------------------------------------


class RecordingTurn(RecordingJob):
    """A job that the job send_first_messages has dispatched."""

    sender: str

    def __init__(self, **fields: Any) -> None:
        super().__init__(parent_id=self.sender, **fields)


@pytest.fixture
def turn(bench: Bench, sns: Sns) -> SendFirstMessagesTurn:
    """Return a turn of five contacts, whose job has not ended."""
    keep(7)
    give(0, 1, 2, 4, 5, 6)
    RecordingTurn.sender = dispatch(bench).id
    return SendFirstMessagesTurn(text="Hi", after=cell(0), last=cell(5))


def unreachable(*_: Any) -> None:
    raise EndpointConnectionError(endpoint_url="https://dynamodb")


def test_stopped_at_any_checkpoint_each_contact_is_texted_once(
    turn: SendFirstMessagesTurn, sns: Sns
) -> None:
    for stop in range(1, 6):
        stopped = RecordingTurn(stop_at=stop)
        with pytest.raises(Stopped):
            send_first_messages_turn(stopped, turn)
        older = stopped.cursors[max(0, stop - 3)]  # what came after it was never written
        send_first_messages_turn(RecordingTurn(cursor=older), turn)
    assert [number for number, _ in texts(sns)] == [cell(number) for number in (1, 2, 4, 5)]


@pytest.mark.parametrize("landed", [True, False])
def test_a_mark_whose_answer_was_lost_does_not_keep_its_contact_from_the_text(
    turn: SendFirstMessagesTurn, sns: Sns, monkeypatch: pytest.MonkeyPatch, landed: bool
) -> None:
    set_mark = SendClaim.set

    def lost(claim: SendClaim, *given: Any) -> bool:
        monkeypatch.setattr(SendClaim, "set", set_mark)
        if landed:
            set_mark(claim, *given)
        unreachable()
        return False

    monkeypatch.setattr(SendClaim, "set", lost)
    job = RecordingTurn()
    with pytest.raises(EndpointConnectionError):
        send_first_messages_turn(job, turn)
    assert statuses()[1] == ("sending" if landed else "needs_message")
    send_first_messages_turn(RecordingTurn(cursor=job.cursor), turn)
    assert [number for number, _ in texts(sns)] == [cell(number) for number in (1, 2, 4, 5)]


def test_a_mark_that_could_not_be_removed_after_a_sure_refusal_is_replaced(
    turn: SendFirstMessagesTurn, sns: Sns, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = SendClaim.end
    monkeypatch.setattr(SendClaim, "end", unreachable)
    job, taken, sns.answer = RecordingTurn(), sns.answer, refusal(400, "Throttling")
    with pytest.raises(RetryAfter):
        send_first_messages_turn(job, turn)
    monkeypatch.setattr(SendClaim, "end", end)
    assert statuses()[1] == "sending"
    sns.answer = taken
    send_first_messages_turn(RecordingTurn(cursor=job.cursor), turn)
    assert [number for number, _ in texts(sns)][1:] == [cell(number) for number in (1, 2, 4, 5)]


def test_a_text_whose_outcome_could_not_be_written_is_not_sent_again(
    turn: SendFirstMessagesTurn, sns: Sns, monkeypatch: pytest.MonkeyPatch
) -> None:
    end, job = SendClaim.end, RecordingTurn()
    monkeypatch.setattr(SendClaim, "end", unreachable)
    with pytest.raises(EndpointConnectionError):
        send_first_messages_turn(job, turn)
    monkeypatch.setattr(SendClaim, "end", end)
    send_first_messages_turn(RecordingTurn(cursor=job.cursor), turn)
    assert [number for number, _ in texts(sns)] == [cell(number) for number in (1, 2, 4, 5)]


def test_a_turn_that_another_job_dispatched_texts_no_contact(
    bench: Bench, turn: SendFirstMessagesTurn, sns: Sns
) -> None:
    other = bench.dispatch("export_contacts", payload={}, campaign_id="spring")
    with pytest.raises(DoNotRetry, match="Only send_first_messages may dispatch this job"):
        send_first_messages_turn(RecordingJob(parent_id=other.id), turn)
    assert send_first_messages_turn(RecordingJob(), turn) == 0
    assert sns.sent == []


# --- the text -------------------------------------------------------------------------------------


def test_what_a_contact_says_is_text_and_never_a_field(bench: Bench, sns: Sns) -> None:
    Contact("acme#spring", "+12125550000", first_name="{zip}", last_name="{0.x}", zip="Z").save()
    give(0)
    run(bench, text="{first_name} {last_name}{external_id}, {zip}!")
    assert texts(sns) == [(cell(0), "{zip} {0.x}, Z!")]


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


def test_a_job_without_its_campaign_says_so(bench: Bench) -> None:
    with pytest.raises(DoNotRetry, match="campaign_id is missing"):
        send_first_messages(RecordingJob(campaign_id=None), SendFirstMessages(text="Hi"))
