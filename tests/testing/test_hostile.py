"""What the fixture `hostile` finds in jobs of one's own, and what it does not hold against them."""

import re
from collections import Counter
from collections.abc import Mapping
from itertools import count
from types import SimpleNamespace

import boto3
import pytest

import reminders
from job_runners.testing.hostile import Hostile, Report
from job_runners.work import Recurring

ONE = {"names": ["Ada"]}
TWO = {"names": ["Ada", "Grace"]}


@pytest.fixture
def job_settings() -> Mapping[str, str]:
    return {"JOBS_PACKAGES": "reminders"}


@pytest.fixture
def hostile(hostile: Hostile, monkeypatch: pytest.MonkeyPatch) -> Hostile:
    """Return the plugin's, with a service that knows idempotency keys, as texts are sent by."""

    def send(text: str, key: str | None = None) -> bool:
        return hostile.effects.record(text, idempotency_key=key)

    monkeypatch.setattr(reminders, "send", send)
    return hostile


def beginnings(report: Report) -> Counter[str]:
    """Return what went wrong in the plays, without numbers."""
    return Counter(play.mishap.split(" (")[0].rstrip("0123456789 ") for play in report.plays)


def test_a_job_that_goes_on_in_turns_is_done_once_whatever_happens(hostile: Hostile) -> None:
    """Its slot is given back and taken again, whoever is killed or not heard in between."""
    report = hostile.run("remind_in_turns", TWO, most=24)
    report.assert_done_once()
    assert max(play.job.invocations for play in report.plays) > 2


def test_a_step_under_an_idempotency_key_is_done_once_whatever_happens(hostile: Hostile) -> None:
    report = hostile.run("remind", ONE)
    report.assert_done_once()
    assert report.findings == {}
    plays = len(report.plays)
    assert str(report) == f"'remind': 0 of {plays} runs had problems (status: {plays} succeeded)."
    counted = beginnings(report)
    assert counted["every message was delivered twice"] == 1
    for mishap in (
        "killed before call",
        "killed after call",
        "the answer to call",
        "its message was delivered again during call",
        "froze before call",
        "AWS refused all calls for a minute from call",
        "killed at checkpoint",
        "killed after checkpoint",
        "out of time at checkpoint",
        "killed after side effect",
        "message",
    ):
        assert any(each.startswith(mishap) for each in counted), mishap
    assert counted["killed before call"] >= 6
    assert max(play.job.attempt for play in report.plays) == 2
    assert max(play.job.invocations for play in report.plays) == 2


def test_so_is_one_of_a_job_that_is_async(hostile: Hostile) -> None:
    report = hostile.run("remind_async", ONE, most=20)
    report.assert_done_once()
    assert all(play.has_succeeded for play in report.plays)


def test_what_comes_after_the_last_checkpoint_is_found_to_be_done_twice(hostile: Hostile) -> None:
    report = hostile.run("remind_hastily", ONE)
    assert report.done_twice == ["text to Ada"]
    found = report.findings["Done twice: 'text to Ada'"]
    assert "killed after side effect 1 ('text to Ada')" in found
    assert any(mishap.startswith("killed at checkpoint 1") for mishap in found)
    assert any(mishap.startswith("froze before call") for mishap in found)
    assert not any(mishap.startswith("every message was delivered twice") for mishap in found)
    with pytest.raises(AssertionError, match="Done twice: 'text to Ada'"):
        report.assert_done_once()


def test_an_effect_outside_a_step_is_found_though_the_fake_takes_a_key(hostile: Hostile) -> None:
    report = hostile.run("remind_under_a_key", ONE, most=24)
    assert report.done_twice == []
    (found,) = report.findings.items()
    assert found[0] == "Repeated outside a step: 'text to Ada'"
    assert any(mishap.startswith("killed ") for mishap in found[1])
    with pytest.raises(AssertionError, match=r"Put the effect into a job\.step"):
        report.assert_done_once()


def test_an_effect_that_may_come_twice_may_do_so_only_in_a_step(
    hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mail server takes no key, so a worker that dies in the step leaves a second e-mail."""

    def send(text: str, _key: str | None = None) -> None:
        hostile.effects.record(text, at_least_once=True)

    monkeypatch.setattr(reminders, "send", send)
    hostile.run("remind", TWO).assert_done_once()
    report = hostile.run("remind_under_a_key", ONE, most=24)
    assert list(report.findings) == ["Done twice: 'text to Ada'"]


def test_what_is_said_to_be_done_before_it_is_is_found_to_be_lost(hostile: Hostile) -> None:
    report = hostile.run("remind_too_late", ONE)
    assert report.done_twice == []
    lost = report.findings["Missing, though the job succeeded: 'text to Ada'"]
    assert "killed after checkpoint 1" in lost
    assert "out of time at checkpoint 1" in lost
    assert any(finding.startswith("Wrong result") for finding in report.findings)


def test_of_a_task_it_is_said_that_it_may_be_lost_or_come_twice(hostile: Hostile) -> None:
    report = hostile.run("remind_by_task", ONE)
    assert "every message was delivered twice" in report.findings["Done twice: 'text to Ada'"]
    lost = report.findings["Missing, though the job succeeded: 'text to Ada'"]
    assert [mishap for mishap in lost if mishap.startswith("message ")] == lost
    advice = "A task exists only as a message, which may be lost or delivered twice."
    assert advice in str(report)
    assert advice not in str(hostile.run("remind_hastily", ONE))


def test_an_untagged_job_is_cut_off_and_does_nothing_twice(hostile: Hostile) -> None:
    report = hostile.run("remind_hastily_once", TWO, most=25)
    report.assert_done_once()
    ends = {play.ending for play in report.plays}
    assert {"succeeded", "failed with Interrupted"} <= ends


def test_a_play_can_be_played_again_and_is_the_same(hostile: Hostile) -> None:
    report = hostile.run("remind_hastily", TWO, most=12)
    assert (len(report.plays), report.left_out > 0) == (12, True)
    assert f"{report.left_out} more runs were left out" in str(report)
    assert hostile.run("remind_hastily", TWO, most=12) == report
    again = hostile.run("remind_hastily", TWO, only=report.plays[5].mishap)
    assert again.plays == report.plays[5:6]


def test_effects_may_be_a_list_that_the_fakes_fill(
    hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    keys: set[str] = set()

    def send(text: str, key: str) -> None:
        if key not in keys:
            keys.add(key)
            sent.append(text)

    monkeypatch.setattr(reminders, "send", send)
    report = hostile.run("remind", TWO, effects=sent, before_each=keys.clear, most=15)
    report.assert_done_once()
    assert report.undisturbed.effects == ("text to Ada", "text to Grace")
    assert sent == []


def test_no_job_of_a_declared_schedule_runs(
    hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = {"names": ["Bob"]}
    every_minute = Recurring("remind", cron="* * * * *", organization_id="acme", payload=bob)
    monkeypatch.setattr(reminders, "RECURRING", {"every minute": every_minute}, raising=False)
    hostile.run("remind", ONE, most=30).assert_done_once()


def test_it_ends_when_its_time_is_over(hostile: Hostile) -> None:
    with pytest.warns(UserWarning, match=r"did 0 of \d+ runs of remind in 0 seconds\. Raise"):
        report = hostile.run("remind", TWO, seconds=0)
    assert (report.plays, report.left_out > 50) == ((), True)


def test_what_it_played_by_then_is_evenly_spread(
    hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_of_them = hostile.run("remind", ONE, most=12).plays
    a_second_each = SimpleNamespace(monotonic=count().__next__)
    monkeypatch.setattr("job_runners.testing.hostile.hostile.time", a_second_each)
    with pytest.warns(UserWarning, match="did 3 of"):
        report = hostile.run("remind", ONE, most=12, seconds=3)
    assert report.plays == tuple(all_of_them[number] for number in (0, 4, 8))


def test_a_job_that_waits_is_done_once_whatever_happens(hostile: Hostile) -> None:
    report = hostile.run("remind_if_approved", ONE, signals={"approve": "Ada"}, most=24)
    report.assert_done_once()
    assert report.undisturbed.job.result == "approve: Ada"
    assert report.undisturbed.job.invocations == 1
    assert report.plays[0].mishap == "each wait ended its invocation"
    assert report.plays[0].job.invocations == 3  # before the sleep, before the wait, and after both


@pytest.mark.parametrize("job_type", ["remind_before_it_waits", "remind_between_waits"])
def test_an_effect_before_a_wait_is_found_to_be_done_twice(job_type: str, hostile: Hostile) -> None:
    mishaps = ["each wait ended its invocation", "every message was delivered twice"]
    report = hostile.run(job_type, ONE, signals={"approve": True}, only=mishaps)
    assert report.findings == {"Done twice: 'question to Ada'": mishaps}
    assert "Put each effect that comes before a wait into a job.step." in str(report)
    assert "A task exists only as a message" not in str(report)


def test_an_answer_comes_in_time_even_if_the_worker_freezes(hostile: Hostile) -> None:
    freezes = [
        f"froze before call {call}, and resumed next to its successor"
        for call in ("1 (Query coordination)", "6 (TransactWriteItems)")
    ]
    report = hostile.run("remind_if_soon", ONE, signals={"approve": True}, only=freezes)
    report.assert_done_once()


@pytest.fixture
def own_table(hostile: Hostile) -> None:
    boto3.client("dynamodb").create_table(
        TableName="counts",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )


@pytest.mark.parametrize(
    ("how", "results"), [("consistently", {"found"}), ("", {"found", "missed"})]
)
def test_a_read_of_ones_own_table_may_miss_what_was_just_written(
    hostile: Hostile, own_table: None, how: str, results: set[str]
) -> None:
    report = hostile.run("read_own_table", {"names": [how]})
    assert report.undisturbed.job.result == "found"
    assert {play.job.result for play in report.plays} == results


def test_calls_of_a_client_of_ones_own_are_seen_and_its_table_starts_empty(
    hostile: Hostile, own_table: None
) -> None:
    report = hostile.run("count_in_own_table", TWO)
    counted = {play.mishap: play.job.result for play in report.plays}
    assert report.undisturbed.job.result == 2
    assert set(counted.values()) == {2, 4}
    (before,) = [
        each for each in counted if re.fullmatch(r"killed before.*UpdateItem counts\)", each)
    ]
    call = before.removeprefix("killed before call ")
    for mishap in (f"killed after call {call}", f"the answer to call {call} was lost"):
        assert counted[mishap] == 4
    assert counted[before] == 2


def test_of_a_signal_that_was_not_passed_it_is_said_how_to_pass_it(hostile: Hostile) -> None:
    with pytest.raises(AssertionError, match=r"signals=\{name: value\}"):
        hostile.run("remind_if_approved", ONE)
