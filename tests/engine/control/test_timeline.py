"""A job's timeline over HTTP: its invocations, steps and acts, and what they cost."""

import json
from datetime import datetime
from typing import Any

import pytest

from api_events import call
from bench import Bench
from counted_units import Units
from job_runners import clock
from job_runners.engine.control import caller_actions
from job_runners.engine.control import timeline as reading
from job_runners.engine.running import failure_records
from job_runners.engine.wire.messages import JobMessage, encode
from job_runners.settings import forget
from job_runners.store import past, pauses, steps, transitions
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.transitions import Checkpoint
from job_runners.testing import moto_direct
from job_runners.testing.aws import forget as forget_work
from job_runners.work import Member
from lost_answers import lose_next_answer
from outage import Outage
from sample_work import Sample, script
from timelines import outcomes, records, timeline, took

ANY = ("approval", "refusal")
HOUR = 3600
DAY = 24 * HOUR
OURS = {"organization_id": "acme", "roles": "reader", "sub": "user-1"}


def killed(bench: Bench, row: JobRequest) -> JobRequest:
    """Claim the job, let its worker die after a checkpoint, and let the timer rescue it."""
    claimed = bench.claim(row, seconds=60)
    bench.advance(5)
    transitions.checkpoint(claimed, Checkpoint(None, 10, None))
    bench.advance(300)
    bench.tick()
    rescued = bench.read(row)
    assert rescued.status is Status.RETRYABLE
    bench.advance(60)
    return rescued


class Campaign:
    """A job that charges, sleeps, asks a person, fans out, and then fails once."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.breaks = True
        script.job = self.work

    def work(self, job: Any, payload: Sample) -> Any:
        """Do the work of the campaign, or of a member."""
        if payload.text != "campaign":
            self.bench.advance(2)
            return payload.number
        job.step("charge", lambda: self.bench.advance(3))
        job.sleep("cool down", HOUR)
        job.wait_for("approval", timeout=7 * DAY)
        job.dispatch("sample_once", {"number": 7}, key="export")
        job.gather("print", [Member("sample_once", {"number": each}) for each in (1, 2)])
        return job.step("deliver", self.deliver)

    def deliver(self) -> str:
        if self.breaks:
            raise ConnectionError("no luck")
        return "delivered"


def campaign(bench: Bench) -> JobRequest:
    """Run a job that is killed twice, sleeps, waits for a person, fans out, fails, and is retried
    by a person."""
    work = Campaign(bench)
    row = bench.dispatch("sample_again", payload={"text": "campaign"})
    killed(bench, row)
    killed(bench, row)
    bench.run(row)
    bench.advance(HOUR)
    bench.run(row)
    bench.advance(2 * DAY)
    answer = call("PUT", f"/jobs/{row.id}/signals/approval", body={"value": True})
    assert answer.status == 200
    bench.sent.clear()
    assert bench.run(row).status is Status.WAITING
    bench.advance(90)
    for child in moto_direct.rows("jobs"):
        if child["id"] != row.id:
            bench.run(bench.read(child["id"]))
    assert bench.run(row).status is Status.FAILED
    work.breaks = False
    bench.advance(60)
    assert call("POST", f"/jobs/{row.id}/retry").status == 202
    done = bench.run(row)
    assert done.status is Status.SUCCEEDED
    return done


def test_a_long_life_is_told_right(still: Bench) -> None:
    began = clock.now()
    row = campaign(still)
    assert outcomes(row) == [
        (1, 1, 1, "lost"),
        (1, 2, 2, "lost"),
        (1, 3, 3, "slept"),
        (1, 4, 3, "waited"),
        (1, 5, 3, "gathered"),
        (1, 6, 3, "failed"),
        (2, 7, 1, "succeeded"),
    ]
    found = timeline(row)
    assert [(each["what"], each["by"]) for each in found["acts"]] == [
        ("dispatched", None),
        ("retried", "service:user/campaign-service"),
    ]
    assert (found["gaps"], found["complete"]) == ([], True)
    named = {each["name"]: each for each in found["records"] if each["kind"] != "invocation"}
    assert {name: (each["kind"], each["outcome"]) for name, each in named.items()} == {
        "charge": ("step", "done"),
        "cool down": ("sleep", "done"),
        "approval": ("signal", "answered"),
        "export": ("child", "succeeded"),
        "print": ("group", "done"),
        "deliver": ("step", "done"),
    }
    assert named["approval"]["by"] == "service:user/campaign-service"
    assert took(named["charge"]) == 3
    assert took(named["cool down"]) == HOUR
    assert took(named["approval"]) == 2 * DAY
    assert took(named["print"]) == 96  # 90 s, and three children of 2 s, in any order
    assert 92 <= took(named["export"]) <= 96
    assert (named["charge"]["claim"], named["deliver"]["claim"]) == (3, 7)
    assert named["export"]["id"] in {each["id"] for each in moto_direct.rows("jobs")}
    [failed] = [each for each in found["records"] if each["outcome"] == "failed"]
    assert (failed["error"], failed["name"]) == ("ConnectionError", "deliver")
    lost = records(row, "invocation")[0]
    assert (took(lost), lost["error"]) == (5, "Interrupted")  # the last sign of life
    assert lost["began_at"] == clock.iso(began)
    in_order = [each["began_at"] for each in found["records"]]
    assert in_order == sorted(in_order)


def test_the_end_of_a_step_is_a_sign_of_life(still: Bench) -> None:
    row = still.dispatch("sample_again")
    claimed = still.claim(row, seconds=60)
    still.advance(7)
    steps.record(claimed, "step one", 1)
    still.advance(300)
    still.tick()
    [lost] = records(row, "invocation")
    assert (lost["outcome"], took(lost)) == ("lost", 7)


def test_an_invocation_ends_when_its_function_does_and_not_at_its_last_write(still: Bench) -> None:
    script.job = lambda job, payload: still.advance(3)
    row = still.run(still.dispatch())
    assert [took(each) for each in records(row, "invocation")] == [3]


def test_a_step_of_a_process_that_lost_its_claim_does_not_lengthen_its_invocation(
    still: Bench,
) -> None:
    row = still.dispatch("sample_again")
    claimed = still.claim(row, seconds=60)
    still.advance(300)
    still.tick()
    still.advance(60)
    again = still.run(row)
    still.advance(10)
    steps.record(claimed, "step late", 1)
    lost, second = records(again, "invocation")
    assert lost["ended_at"] == second["began_at"]


def test_an_error_before_the_next_claim_is_not_that_of_the_last_invocation(still: Bench) -> None:
    script.job = lambda job, payload: 1 / 0
    row = still.run(still.dispatch("sample_again"))
    failed = transitions.expire(row, {"kind": "NeverStarted", "message": "late"}).after
    assert records(row, "invocation")[0]["error"] == "ZeroDivisionError"
    caller_actions.retry_again(failed, still.send)
    assert records(row, "invocation")[0]["error"] == "ZeroDivisionError"


def test_a_job_with_many_payloads_shows_the_steps_of_the_last_ones(still: Bench) -> None:
    script.job = lambda job, payload: (job.step(payload.text, lambda: 1), 1 / 0)
    row = still.run(still.dispatch(payload={"text": "0"}, max_attempts=1))
    for number in range(1, 5):
        call("POST", f"/jobs/{row.id}/retry", body={"payload": {"text": str(number)}})
        still.run(row)
    found = timeline(row)
    assert not found["complete"]
    assert [each["name"] for each in found["records"] if each["kind"] == "step"] == list("0234")


def test_a_job_that_is_held_before_it_starts_has_no_invocation(still: Bench) -> None:
    row = still.dispatch()
    transitions.hold(row, pauses.Pause(sk="queue#default"), due_at=clock.now() + clock.HOUR)
    assert still.read(row).status is Status.WAITING
    assert timeline(row)["records"] == []


def test_an_invocation_that_runs_is_open_and_a_queued_job_has_none(still: Bench) -> None:
    row = still.dispatch()
    assert timeline(row)["records"] == []
    still.advance(4)
    still.claim(row)
    [running] = timeline(row)["records"]
    assert (running["outcome"], running["ended_at"]) == (None, None)
    assert running["ready_at"] == clock.iso(row.created_at)
    assert running["began_at"] == clock.iso(row.created_at + 4000)


def test_the_time_before_a_retry_is_not_time_spent_waiting_for_a_worker(still: Bench) -> None:
    script.job = lambda job, payload: 1 / 0
    row = still.run(still.dispatch("sample_again"))
    still.advance((row.run_at or 0) / 1000 - clock.now() / 1000 + 5)
    still.run(row)
    _, second = records(row, "invocation")
    assert second["ready_at"] == clock.iso(row.run_at or 0)


def test_two_retries_in_one_millisecond_are_two_acts(still: Bench) -> None:
    row = still.dispatch()
    for _ in range(2):
        call("POST", f"/jobs/{row.id}/cancel")
        call("POST", f"/jobs/{row.id}/retry")
    assert [each["what"] for each in timeline(row)["acts"]].count("retried") == 2


def test_an_invocation_that_did_not_fail_has_no_error(still: Bench) -> None:
    script.job = lambda job, payload: job.sleep("nap", 60)
    row = still.run(still.dispatch("sample_again"))
    transitions.expire(row, {"kind": "NeverStarted", "message": "late"})
    [slept] = records(row, "invocation")
    assert (slept["outcome"], slept["error"]) == ("slept", None)


def test_a_lost_invocation_without_an_error_is_shown(still: Bench) -> None:
    row = still.claim(still.dispatch(), seconds=60)
    caller_actions.cancel(still.read(row), still.send)
    still.advance(300)
    transitions.stop(still.read(row), rescue=True)
    [lost] = records(row, "invocation")
    assert (lost["outcome"], lost["error"]) == ("lost", None)


def test_a_failed_job_shows_the_error_of_its_last_invocation(still: Bench) -> None:
    script.job = lambda job, payload: 1 / 0
    row = still.run(still.dispatch("sample_once"))
    assert records(row, "invocation")[0]["error"] == "ZeroDivisionError"


def test_an_app_may_call_an_error_of_its_own_interrupted(still: Bench) -> None:
    class Interrupted(Exception):
        """Has the name of our own error for a worker that was killed."""

    def work(job: object, payload: object) -> None:
        raise Interrupted

    script.job = work
    row = still.run(still.dispatch("sample_once"))
    assert [each[3] for each in outcomes(row)] == ["failed"]


def test_each_ending_has_its_name(still: Bench) -> None:
    seen: list[str] = []

    def work(job: Any, payload: object) -> None:
        seen.append("")
        if len(seen) == 1:
            job.next_turn(1)
        raise RuntimeError

    script.job = work
    row = still.dispatch("sample_again", queue_name="sample_slots")
    transitions.release(still.claim(row))
    still.run(row)
    still.run(row)
    still.advance(60)
    claimed = still.claim(row)
    caller_actions.cancel(still.read(row), still.send)
    transitions.stop(still.read(claimed.id))
    assert [each[3] for each in outcomes(row)] == ["released", "yielded", "failed", "canceled"]


def test_who_canceled_and_retried_it_and_when_stays_known(
    still: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCESS_MODE", "jwt")
    forget()
    row = still.dispatch()
    expected: list[Any] = [("dispatched", None, clock.iso(clock.now()))]

    def act(what: str, path: str, person: str) -> None:
        still.advance(1)
        expected.append((what, f"operator:{person}", clock.iso(clock.now())))
        claims = {**OURS, "roles": "operator", "sub": person}
        assert call("POST", f"/jobs/{row.id}/{path}", claims=claims).status in (200, 202)

    for canceler, retrier in (("ada", "bob"), ("eve", "ada")):
        act("canceled", "cancel", canceler)
        act("retried", "retry", retrier)
    act("canceled", "cancel", "bob")
    found = timeline(row, claims={**OURS, "roles": "operator"})["acts"]
    assert [(each["what"], each["by"], each["at"]) for each in found] == expected


def test_a_retry_comes_before_what_it_causes(still: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if the clock moves on while the retry is written."""
    row = still.claim(still.dispatch())
    call("POST", f"/jobs/{row.id}/cancel")
    transitions.stop(still.read(row.id))
    real = clock.now

    def move_on() -> int:
        still.advance(0.001)
        return real()

    with monkeypatch.context() as patch:
        patch.setattr(clock, "now", move_on)
        call("POST", f"/jobs/{row.id}/retry")
    still.claim(still.read(row.id))
    (_, again) = records(row, "invocation")
    (retried,) = (each for each in timeline(row)["acts"] if each["what"] == "retried")
    assert retried["at"] <= again["ready_at"]


def test_a_cancel_is_shown_when_it_was_first_asked_for(still: Bench) -> None:
    row = still.claim(still.dispatch())
    shown = []
    for _ in range(2):
        still.advance(5)
        call("POST", f"/jobs/{row.id}/cancel")
        shown.append(timeline(row)["acts"][-1])
    assert shown[0]["what"] == "canceled"
    assert shown[0] == shown[1]


def test_many_invocations_are_kept_four_in_the_row(still: Bench) -> None:
    row = still.dispatch()
    units = Units()
    spent = []
    for _ in range(10):
        claimed = still.claim(row)
        units.spent()
        transitions.end_invocation(claimed, Checkpoint(1, 10, None))
        spent.append(units.spent())
    assert len(past.unpack(still.read(row).past)) <= 4
    assert [each[1] for each in outcomes(row)] == list(range(1, 11))
    assert spent[1:] == [1, 1, 1, 2, 1, 1, 1, 2, 1]  # one more for each four that are moved


def test_entries_that_can_not_be_moved_stay_and_at_most_twelve_do(
    still: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = still.dispatch()
    Outage(still, monkeypatch).begin("throttled", 3, only="PutItem")
    for _ in range(14):
        transitions.end_invocation(still.claim(row), Checkpoint(1, 10, None))
    still.advance(4)
    assert [each[1] for each in outcomes(row)] == list(range(3, 15))
    assert timeline(row)["gaps"] == [1, 2]
    for _ in range(3):
        transitions.end_invocation(still.claim(row), Checkpoint(1, 10, None))
    assert [each[1] for each in outcomes(row)] == list(range(3, 18))


def test_an_end_whose_answer_is_lost_is_recorded_once(still: Bench) -> None:
    row = still.dispatch()
    claimed = still.claim(row)
    lose_next_answer("UpdateItem")
    transitions.end_invocation(claimed, Checkpoint(1, 10, None))
    assert outcomes(row) == [(1, 1, 1, "continued")]


def test_another_payload_keeps_the_invocations_and_steps_of_the_first(still: Bench) -> None:
    script.job = lambda job, payload: (job.step(payload.text, lambda: 1), 1 / 0)
    row = still.run(still.dispatch(payload={"text": "one"}, max_attempts=1))
    call("POST", f"/jobs/{row.id}/retry", body={"payload": {"text": "two"}})
    still.run(row)
    assert outcomes(row) == [(1, 1, 1, "failed"), (2, 2, 1, "failed")]
    assert [each["name"] for each in records(row, "step")] == ["one", "two"]


def test_a_replaced_payload_is_an_act_of_its_caller(
    still: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBS_PACKAGES", "unique_sample")
    forget_work()
    body = {"job_type": "unique_replace", "organization_id": "acme", "delay": 60}
    for text in ("one", "two"):
        answer = call("POST", "/jobs", body={**body, "payload": {"text": text}})
        still.advance(1)
    acts = timeline(still.read(answer.json["id"]))["acts"]
    caller = "service:user/campaign-service"
    assert [(each["what"], each["by"]) for each in acts] == [
        ("dispatched", caller),
        ("replaced", caller),
    ]
    first, second = (datetime.fromisoformat(each["at"]) for each in acts)
    assert (second - first).total_seconds() == 1


def test_a_delete_leaves_nothing(still: Bench) -> None:
    row = campaign(still)
    for each in moto_direct.rows("jobs"):
        caller_actions.delete(still.read(each["id"]))
    left = [each["pk"] for each in moto_direct.rows("coordination")]
    assert [pk for pk in left if row.id in pk] == []


def test_viewers_see_kinds_and_times_only(still: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    row = campaign(still)
    monkeypatch.setenv("ACCESS_MODE", "jwt")
    forget()
    of_reader = timeline(row, claims=OURS)
    of_viewer = timeline(row, claims={**OURS, "roles": "viewer"})
    assert {each["name"] for each in of_viewer["records"]} == {None}
    nameless = [{**each, "name": None} for each in of_reader["records"]]
    by_time = [(each["began_at"], each["kind"]) for each in of_viewer["records"]]
    assert by_time == [(each["began_at"], each["kind"]) for each in nameless]
    # Services have names for services only.
    for found in (of_reader, of_viewer):
        assert found["acts"][-1]["by"] == "service"
        assert {each["by"] for each in found["records"]} == {None, "service"}


def test_the_order_that_viewers_see_depends_on_no_name(
    still: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = iter("hgfedcba")

    def work(job: Any, payload: object) -> None:
        for name in names:
            job.dispatch("sample_again", key=name)

    script.job = work
    row = still.run(still.dispatch())
    monkeypatch.setenv("ACCESS_MODE", "jwt")
    forget()
    found = timeline(row, claims={**OURS, "roles": "viewer"})["records"]
    ids = [each["id"] for each in found if each["kind"] == "child"]
    assert ids == sorted(ids)


def test_a_job_with_too_many_steps_says_so_and_shows_viewers_none(
    still: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_MAX_STEPS", 5)
    script.job = lambda job, payload: [job.step(f"step {each}", lambda: 1) for each in range(6)]
    row = still.run(still.dispatch())
    found = timeline(row)
    assert (found["complete"], len(found["records"])) == (False, 6)
    monkeypatch.setenv("ACCESS_MODE", "jwt")
    forget()
    found = timeline(row, claims={**OURS, "roles": "viewer"})
    assert [each["kind"] for each in found["records"]] == ["invocation"]


def test_a_timeline_costs_two_queries(still: Bench) -> None:
    row = still.run(still.dispatch())
    units = Units()
    units.costs()
    timeline(row)
    assert units.costs()[0] == {"GetItem": 1, "Query": 2}


def test_a_step_costs_one_unit_with_its_times(still: Bench) -> None:
    spent = []

    def work(job: Any, payload: object) -> None:
        units = Units()
        job.step("print the letters of spring", lambda: {"printed": 998, "of": "campaign-17"})
        spent.append(units.spent())

    script.job = work
    still.run(still.dispatch())
    assert spent == [1]


def test_a_message_about_a_killed_worker_ends_the_invocation_as_lost(still: Bench) -> None:
    row = still.dispatch()
    message = JobMessage.about(row)
    transitions.claim(
        row.id, job_type=row.job_type, send_id=message.send_id, deadline=clock.now() + 9000
    )
    record = {"requestPayload": json.loads(encode(message)), "requestContext": {"condition": "x"}}
    failure_records.handle_record(record, still.send)
    assert [each[3] for each in outcomes(row)] == ["lost"]
