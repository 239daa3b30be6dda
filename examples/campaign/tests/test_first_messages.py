"""The first texts of a campaign: who gets which text, and each person only once."""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

from campaign.contacts import MessageStatus, dynamodb
from campaign.first_message import SendClaim
from campaign.send_first_messages import PER_TURN
from campaign_world import (
    SPRING,
    Answer,
    Sns,
    cell,
    contact,
    give,
    keep,
    put,
    raising,
    refusal,
    statuses,
)
from job_runners.testing.hostile import Hostile, Report
from job_runners.testing.job_runner import InlineRunner, InternalJobType, InvalidPayload
from job_runners.testing.movable_clock import MovableClock
from job_runners.testing.saved_jobs import SavedJobs, assert_succeeded

NONE = {**{str(status): 0 for status in MessageStatus}, "unassigned": 0, "too_long": 0}
TURN = {**SPRING, "text": "Hi", "after": None, "last": cell(2)}  # a turn of three contacts
HI = [(cell(number), "Hi") for number in range(3)]
THROTTLED = refusal(400, "Throttling")


def run(job_runner: InlineRunner, text: str = "Hi {first_name}", **more: Any) -> Any:
    return assert_succeeded(job_runner.run("send_first_messages", {**SPRING, "text": text, **more}))


@pytest.fixture
def three(sns: Sns) -> Sns:
    """Return the fake SNS. Three contacts are assigned."""
    keep_three()
    return sns


def keep_three() -> None:
    keep(range(3))
    give(0, 1, 2)


def test_every_assigned_contact_gets_a_text_of_its_own(job_runner: InlineRunner, sns: Sns) -> None:
    keep(range(4))
    give(0, 2)
    give(1, to="bo")
    assert run(job_runner) == NONE | {"sent": 3, "unassigned": 1}
    assert sns.texts == [(cell(number), f"Hi Ann {number}") for number in range(3)]
    give(3)
    assert run(job_runner) == NONE | {"sent": 4}
    assert [number for number, _ in sns.texts] == [cell(number) for number in range(4)]


def test_turns_keep_to_the_rate_and_the_job_says_how_many_were_texted(
    job_runner: InlineRunner,
    saved_jobs: SavedJobs,
    sns: Sns,
    movable_clock: MovableClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started = movable_clock.now()
    # Only waits take time: a slow machine would shorten the gap between two turns' first texts.
    monkeypatch.setattr("job_runners.clock.now", lambda: started + movable_clock.moved)
    keep(range(2 * PER_TURN + 5))
    give(*range(2 * PER_TURN + 5))
    began: list[int] = []
    sns.before_answering = lambda: began.append(movable_clock.moved)
    run(job_runner, report_to="+12125550199")
    assert saved_jobs.only("send_first_messages").message == "45 of 45 contacts texted"
    assert len(saved_jobs.all("send_first_messages_turn")) == 3
    assert sns.texts[-1] == ("+12125550199", "First messages: 45 of 45 contacts texted.")
    assert set(Counter(number for number, _ in sns.texts).values()) == {1}
    turns = began[:45:PER_TURN]
    assert all(after - before >= 1000 for before, after in pairwise(turns))


def test_campaigns_of_two_organizations_take_turns(job_runner: InlineRunner, sns: Sns) -> None:
    """The one with many contacts gets no larger share of the rate than the one with few."""
    texters = {**SPRING, "texters": [{"id": "ada"}]}
    for organization, turns in {"large": 5, "small": 2}.items():
        keep(range(turns * PER_TURN), organization=organization)
        job_runner.run("assign_texters", texters, organization_id=organization)
    for organization in ("large", "small"):
        payload = {**SPRING, "text": organization}
        job_runner.dispatch("send_first_messages", payload, organization_id=organization)
    job_runner.drain()
    turns_of = [text for _, text in sns.texts[::PER_TURN]]
    assert turns_of == ["large", "small", "large", "small", "large", "large", "large"]


def test_the_text_is_filled_with_the_contacts_values_which_are_never_fields(
    job_runner: InlineRunner, sns: Sns
) -> None:
    put(contact(0, first_name="{zip}", last_name="{0.x}", zip="Z"))
    give(0)
    run(job_runner, "{first_name} {last_name}{external_id}, {zip}!")
    assert sns.texts == [(cell(0), "{zip} {0.x}, Z!")]


def test_a_text_that_would_be_too_long_is_not_sent(job_runner: InlineRunner, three: Sns) -> None:
    put(contact(1, first_name="x" * 1600))
    assert run(job_runner) == NONE | {"sent": 2, "needs_message": 1, "too_long": 1}


# --- each person once -----------------------------------------------------------------------------


def assert_never_twice(report: Report) -> None:
    """A worker that dies between the mark and the text leaves a person without one. No person gets
    two."""
    for play in report.plays:
        assert set(Counter(play.effects).values()) == {1}, play.mishap
        assert play.job.status == "succeeded", play.mishap
        texted_all = set(play.effects) == set(report.undisturbed.effects)
        assert texted_all or play.mishap.startswith("killed after call"), play.mishap


def test_no_caller_dispatches_a_turn(job_runner: InlineRunner, three: Sns) -> None:
    with pytest.raises(InternalJobType, match="'send_first_messages_turn' is internal"):
        job_runner.dispatch("send_first_messages_turn", TURN)
    job_runner.drain()
    assert three.texts == []


def test_a_person_is_texted_once_whatever_dies(hostile: Hostile, sns: Sns) -> None:
    payload = {**SPRING, "text": "Hi"}
    report = hostile.run("send_first_messages", payload, before_each=keep_three, most=40)
    assert_never_twice(report)


def test_a_turn_that_ends_in_the_middle_goes_on_in_another_invocation(
    job_runner: InlineRunner, saved_jobs: SavedJobs, three: Sns, movable_clock: MovableClock
) -> None:
    three.before_answering = lambda: movable_clock.advance(25)
    job_runner.dispatch("send_first_messages", {**SPRING, "text": "Hi"})
    job_runner.drain(seconds=60)
    assert saved_jobs.only("send_first_messages_turn").invocations > 1
    assert three.texts == HI


def test_a_contact_is_marked_while_its_text_is_on_its_way(
    job_runner: InlineRunner, three: Sns
) -> None:
    marked: list[Any] = []
    three.before_answering = lambda: marked.append(statuses())
    run(job_runner, "Hi")
    assert marked[1] == ["sent", "sending", "needs_message"]
    assert statuses() == ["sent"] * 3


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (refusal(400, "InvalidParameter"), "refused"),
        (refusal(500, "InternalError"), "unknown"),
        (raising(ReadTimeoutError(endpoint_url="https://sns")), "unknown"),
    ],
)
def test_a_final_outcome_is_recorded_and_the_others_get_their_text(
    job_runner: InlineRunner, three: Sns, answer: Answer, status: str
) -> None:
    accepted = three.answer
    three.answer = lambda: (answer if len(three.requests) == 2 else accepted)()
    assert run(job_runner, "Hi") == NONE | {"sent": 2, status: 1}
    assert three.texts == HI
    assert statuses() == ["sent", status, "sent"]
    run(job_runner, "Hi")
    assert three.texts == HI  # also in another job


def test_what_sns_throttles_is_texted_by_the_next_attempt(
    job_runner: InlineRunner, three: Sns
) -> None:
    accepted = three.answer
    three.answer = lambda: (THROTTLED if len(three.requests) == 2 else accepted)()
    assert run(job_runner, "Hi") == NONE | {"sent": 3}
    assert three.texts == [HI[0], HI[1], HI[1], HI[2]]


def test_what_sns_throttles_to_the_end_is_left_for_another_job(
    job_runner: InlineRunner, three: Sns
) -> None:
    accepted, three.answer = three.answer, THROTTLED
    assert run(job_runner, "Hi") == NONE | {"needs_message": 3}
    three.answer = accepted
    assert run(job_runner, "Hi") == NONE | {"sent": 3}


Write = Callable[[], Any]


def unreachable() -> Any:
    raise EndpointConnectionError(endpoint_url="https://dynamodb")


def each_write(monkeypatch: pytest.MonkeyPatch, *faults: Callable[[Write], Any]) -> None:
    """Let each of the first writes to a contact's mark go through one of these."""
    client, left = dynamodb(), iter(faults)
    real = client.update_item

    def update_item(**call: Any) -> Any:
        return next(left, lambda write: write())(lambda: real(**call))

    monkeypatch.setattr(client, "update_item", update_item)


def landed_unheard(write: Write) -> Any:
    write()
    return unreachable()


@pytest.mark.parametrize(
    "fault", [landed_unheard, lambda _: unreachable(), lambda write: (write(), write())[1]]
)
def test_a_mark_whose_answer_was_lost_does_not_keep_its_contact_from_the_text(
    job_runner: InlineRunner, three: Sns, monkeypatch: pytest.MonkeyPatch, fault: Any
) -> None:
    each_write(monkeypatch, fault)
    run(job_runner, "Hi")
    assert three.texts == HI
    assert statuses() == ["sent"] * 3


@pytest.mark.parametrize("fault", [landed_unheard, lambda _: unreachable()])
def test_a_mark_that_could_not_be_removed_is_replaced_by_the_next_attempt(
    job_runner: InlineRunner, three: Sns, monkeypatch: pytest.MonkeyPatch, fault: Any
) -> None:
    accepted = three.answer
    three.answer = lambda: (THROTTLED if len(three.requests) < 3 else accepted)()
    # The mark stays, and the second attempt doesn't hear that it has replaced it.
    each_write(monkeypatch, lambda write: write(), fault, landed_unheard)
    run(job_runner, "Hi")
    assert three.texts[-3:] == HI
    assert statuses() == ["sent"] * 3


def test_a_mark_is_not_taken_from_the_job_that_has_set_it_since(
    job_runner: InlineRunner, three: Sns, monkeypatch: pytest.MonkeyPatch
) -> None:
    def removed_and_set_by_another(write: Write) -> Any:
        write()
        assert SendClaim("default#spring", cell(0)).set("ada")
        write()  # botocore repeats it
        return unreachable()

    accepted = three.answer
    three.answer = lambda: (THROTTLED if len(three.requests) == 1 else accepted)()
    each_write(monkeypatch, lambda write: write(), removed_and_set_by_another)
    run(job_runner, "Hi")
    assert three.texts == [HI[0], HI[1], HI[2]]  # the other job texts the first one
    assert statuses() == ["sending", "sent", "sent"]


def test_a_text_whose_outcome_could_not_be_written_is_not_sent_again(
    job_runner: InlineRunner, three: Sns, monkeypatch: pytest.MonkeyPatch
) -> None:
    each_write(monkeypatch, lambda write: write(), lambda _: unreachable())
    run(job_runner, "Hi")
    assert three.texts == HI
    assert statuses() == ["sending", "sent", "sent"]


def test_a_job_that_is_canceled_with_its_turns_texts_no_contact_more(
    job_runner: InlineRunner, saved_jobs: SavedJobs, sns: Sns
) -> None:
    keep(range(2 * PER_TURN))
    give(*range(2 * PER_TURN))
    job = job_runner.dispatch("send_first_messages", {**SPRING, "text": "Hi"})
    job_runner.run_due()
    job_runner.cancel(job, members=True)
    job_runner.drain()
    assert saved_jobs.get(job.id).status == "canceled"
    assert len(sns.texts) == PER_TURN


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
def test_a_text_that_cannot_be_filled_is_refused_at_dispatch(
    job_runner: InlineRunner, text: str, why: str
) -> None:
    with pytest.raises(InvalidPayload, match=why):
        job_runner.dispatch("send_first_messages", {**SPRING, "text": text})
