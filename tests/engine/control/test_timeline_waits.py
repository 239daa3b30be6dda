"""A job's timeline over HTTP: what it waited for, and its children."""

from contextlib import suppress
from typing import Any

import pytest

from api_events import call
from bench import Bench
from job_runners import clock
from job_runners.engine.control import caller_actions
from job_runners.engine.control import timeline as reading
from job_runners.store import transitions
from job_runners.testing import moto_direct
from job_runners.work import Member, WaitTimedOut
from sample_work import Sample, script
from timelines import records, timeline, took

ANY = ("approval", "refusal")
HOUR = 3600
DAY = 24 * HOUR
OURS = {"organization_id": "acme", "roles": "reader", "sub": "user-1"}


def test_readers_see_records_of_one_moment_by_name(still: Bench) -> None:
    def work(job: Any, payload: object) -> None:
        for name in ("b", "a", "c"):
            job.dispatch("sample_again", key=name)

    script.job = work
    row = still.run(still.dispatch())
    assert [each["name"] for each in records(row, "child")] == ["a", "b", "c"]


def test_steps_that_run_and_waits_that_last_have_no_end(still: Bench) -> None:
    script.job = lambda job, payload: job.wait_for_any(ANY, label="answer", timeout=60)
    row = still.run(still.dispatch())
    [wait] = records(row, "signal")
    assert (wait["name"], wait["outcome"], wait["ended_at"]) == ("answer", None, None)
    assert wait["until"] == clock.iso(clock.now() + 60_000)
    caller_actions.cancel(still.read(row), still.send)
    [wait] = records(row, "signal")
    assert (wait["outcome"], took(wait)) == ("canceled", 0)


@pytest.mark.parametrize("answered", [True, False])
def test_a_wait_for_any_signal_has_one_record(answered: bool, still: Bench) -> None:
    def work(job: Any, payload: object) -> None:
        with suppress(WaitTimedOut):
            job.wait_for_any(ANY, label="answer", timeout=60)

    script.job = work
    row = still.run(still.dispatch())
    still.advance(30)
    if answered:
        call("PUT", f"/jobs/{row.id}/signals/refusal", body={"value": 1})
    still.advance(31)
    still.tick()
    still.run(row)
    [wait] = records(row, "signal")
    assert (wait["outcome"], took(wait)) == (("answered", 30) if answered else ("timed out", 60))


def test_waits_that_are_over_are_shown_so_and_others_are_not(still: Bench) -> None:
    def work(job: Any, payload: Sample) -> None:
        with suppress(WaitTimedOut):
            job.wait_for("approval", timeout=60)
        job.sleep("nap", 600)

    script.job = work
    row = still.run(still.dispatch())
    [wait] = records(row, "signal")
    assert (wait["outcome"], wait["ended_at"]) == (None, None)
    still.advance(61)
    assert [each["outcome"] for each in records(row, "signal")] == [None]  # no worker knows yet
    still.tick()
    still.run(row)
    [wait] = records(row, "signal")
    assert (wait["outcome"], took(wait), wait["by"]) == ("timed out", 60, None)
    [nap] = records(row, "sleep")
    assert (nap["outcome"], nap["ended_at"]) == (None, None)
    still.advance(100)
    caller_actions.cancel(still.read(row), still.send)
    [nap] = records(row, "sleep")
    assert (nap["outcome"], took(nap)) == ("canceled", 100)
    still.advance(1000)
    assert [each["outcome"] for each in records(row, "sleep")] == ["canceled"]


def test_a_wait_ends_with_its_job(still: Bench) -> None:
    script.job = lambda job, payload: job.wait_for("approval", timeout=60)
    row = still.run(still.dispatch())
    still.advance(5)
    transitions.expire(row, {"kind": "JobTypeRemoved", "message": "gone"})
    [wait] = records(row, "signal")
    assert (wait["outcome"], took(wait)) == ("failed", 5)


def test_a_child_that_runs_or_is_gone_has_no_end(still: Bench) -> None:
    script.job = lambda job, payload: job.dispatch("sample_once", key="child")
    row = still.run(still.dispatch())
    [child] = records(row, "child")
    assert (child["outcome"], child["ended_at"]) == (None, None)
    still.advance(5)
    script.job = lambda job, payload: None
    done = still.run(still.read(child["id"]))
    [child] = records(row, "child")
    assert (child["outcome"], took(child)) == ("succeeded", 5)
    caller_actions.delete(done)
    [child] = records(row, "child")
    assert (child["outcome"], child["ended_at"]) == (None, None)


def test_a_group_is_open_until_its_members_have_ended(still: Bench) -> None:
    def work(job: Any, payload: Sample) -> None:
        if payload.text == "parent":
            job.gather("all", [Member("sample_once", {"number": 7})])

    script.job = work
    row = still.run(still.dispatch(payload={"text": "parent"}))
    assert [each["outcome"] for each in records(row, "group")] == [None]
    still.advance(5)
    (member,) = [each["id"] for each in moto_direct.rows("jobs") if each["id"] != row.id]
    still.run(still.read(member))
    still.run(row)
    [group] = records(row, "group")
    assert (group["outcome"], took(group)) == ("done", 5)


def test_the_waits_of_an_earlier_payload_ended_with_it(still: Bench) -> None:
    script.job = lambda job, payload: job.sleep(payload.text, 600)
    row = still.run(still.dispatch(payload={"text": "one"}))
    still.advance(100)
    caller_actions.cancel(still.read(row), still.send)
    still.advance(100)
    call("POST", f"/jobs/{row.id}/retry", body={"payload": {"text": "two"}})
    still.run(row)
    found = {each["name"]: each for each in records(row, "sleep")}
    assert (found["one"]["outcome"], took(found["one"])) == ("canceled", 200)
    assert found["two"]["outcome"] is None


def test_a_signal_without_a_wait_is_listed(still: Bench) -> None:
    row = still.dispatch()
    call("PUT", f"/jobs/{row.id}/signals/early", body={"value": 1})
    [signal] = records(row, "signal")
    assert (signal["name"], signal["outcome"], signal["claim"]) == ("early", "answered", None)


def test_many_children_hide_nothing_else(still: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_MAX_OTHER_ITEMS", 3)

    def work(job: Any, payload: object) -> None:
        job.dispatch_many("sample_once", ((str(each), {}) for each in range(8)))
        job.sleep("late", 60)

    script.job = work
    row = still.run(still.dispatch())
    found = timeline(row)
    assert not found["complete"]
    kinds = [each["kind"] for each in found["records"]]
    assert sorted(set(kinds)) == ["child", "invocation", "sleep"]
