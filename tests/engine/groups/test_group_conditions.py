"""Conditions of a group that no other test needs: each of these fails if its condition is left out.

They are about expiry times, limits that must not restart, and what follows a cancel by the group.
"""

from datetime import datetime
from typing import Any

import pytest

import moto_items
from api_events import call
from bench import Bench
from gathering_job import Gathering, items
from job_runners import clock
from job_runners.engine.control import caller_actions
from job_runners.engine.dispatch import bulk
from job_runners.engine.groups import retrying
from job_runners.engine.running import execution
from job_runners.engine.settling import group_ends
from job_runners.settings import forget
from job_runners.store import groups, limits, queries, transitions
from job_runners.store.job_request import JobRequest, Status
from job_runners.testing import moto_direct
from job_runners.work import Member
from sample_work import Sample, script

DAY = 24 * 3600


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancel members in order."""
    monkeypatch.setattr(bulk, "THREADS", 1)
    monkeypatch.setattr(group_ends, "_THREADS", 1)


@pytest.fixture
def followed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return a bench with jobs that have follow-ups."""
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,follow_up_sample,unique_sample")
    forget()
    return bench


def sent_types(bench: Bench) -> list[str]:
    """Return the job types of the messages that were sent, ordered by name."""
    return sorted(bench.read(each).job_type for each in bench.sent_jobs)


# --- expiry ---------------------------------------------------------------------------------------


def delete_expired() -> None:
    """Delete the items that DynamoDB's TTL would have deleted by now."""
    for row in moto_direct.rows("coordination"):
        if int(row.get("expires_at", 1 << 40)) <= clock.now() // clock.SECOND:
            key = {"pk": {"S": row["pk"]}, "sk": {"S": row["sk"]}}
            moto_items.delete("coordination", key)


def test_nothing_of_a_group_expires_while_the_group_may_take(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the longest `RetentionDays`, a group may take 90 days."""
    monkeypatch.setenv("RETENTION_DAYS", "365")
    forget()
    gathering = Gathering(bench, 4, stop_after_failures=3)
    gathering.fails = {0}
    gathering.start()
    gathering.run_member(0)
    caller_actions.delete(gathering.run_member(1))
    bench.claim(gathering.member(2))
    with monkeypatch.context() as killed:
        killed.setattr(group_ends, "record_member_end", lambda *_: None)
        gathering.run_member(3)
    kinds = {sk.partition("#")[0] for sk in items("")}
    assert kinds == {"chunk", "done", "open", "failed", "deleted", "failures"}
    before = sorted(items(""))
    bench.advance(89 * DAY)
    delete_expired()
    assert sorted(items("")) == before
    bench.tick()  # the lease of a member is over
    bench.run_out()
    assert [status for _, status, _ in gathering.got[0]] == [
        *("failed", "deleted", "failed", "succeeded")
    ]


def test_the_time_of_a_group_does_not_restart_with_each_invocation(bench: Bench) -> None:
    gathering = Gathering(bench, 1)
    began_at = clock.now()
    gathering.start()
    bench.claim(gathering.member(0), seconds=60 * DAY)
    for _ in range(3):
        bench.advance(9 * DAY)
        transitions.admit(gathering.read())  # without a reason
        assert bench.run(gathering.row).status is Status.WAITING
    shown = call("GET", f"/jobs/{gathering.row.id}/place", query={"organization_id": "acme"})
    since = datetime.fromisoformat(shown.json["waits_for"]["since"]).timestamp()
    assert since == pytest.approx(began_at / clock.SECOND, abs=60)
    bench.advance(3 * DAY)  # the 30th day
    bench.tick()
    row = gathering.read()
    assert (row.status, row.error["kind"]) == (Status.FAILED, "GroupExpired")
    assert "After 30 days" in row.error["message"]


# --- the row's version ----------------------------------------------------------------------------


def test_a_job_that_fails_before_it_waits_is_deleted_with_the_items_of_its_group(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a row with this field is deleted with the items of its groups."""
    gathering = Gathering(bench, 2)
    seen: list[JobRequest] = []
    put = groups.put_marker

    def put_one(*arguments: Any) -> str:
        seen.append(gathering.read())
        if len(seen) == 2:
            raise ValueError("no luck")
        return put(*arguments)

    monkeypatch.setattr(groups, "put_marker", put_one)
    monkeypatch.setattr("job_runners.engine.telemetry.telemetry.crashed", lambda _: None)
    assert gathering.start().status is Status.FAILED
    assert [row.has_waited for row in seen] == [True] * 2
    assert items("") != []
    caller_actions.delete(gathering.read())
    assert items("") == []


# --- a retry of a member --------------------------------------------------------------------------


@pytest.mark.parametrize("deleted", [False, True])
def test_a_retry_notices_that_its_canceled_job_waits_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, deleted: bool
) -> None:
    """It has read that the job is canceled, or gone for a moment. So it must check that."""
    gathering = Gathering(bench, 2)
    gathering.fails = {0}
    gathering.start()
    gathering.run_member(0)
    caller_actions.cancel(gathering.read(), bench.send)
    read, stale = queries.read, gathering.read()

    def read_before(job_id: str) -> JobRequest | None:
        monkeypatch.setattr(retrying, "read", read)
        caller_actions.retry_again(gathering.read(), bench.send)
        assert bench.run(gathering.row).status is Status.WAITING
        return None if deleted else stale

    monkeypatch.setattr(retrying, "read", read_before)
    caller_actions.retry_again(gathering.member(0), bench.send)
    assert gathering.member(0).status is Status.QUEUED
    assert gathering.read().gather_epoch == 1


# --- what follows a cancel by the group -----------------------------------------------------------


@pytest.mark.parametrize("with_members", [False, True])
def test_the_follow_ups_of_members_that_their_group_cancels_are_sent_at_once(
    followed: Bench, with_members: bool
) -> None:
    members = [Member("sample_once", {"number": 0}), Member("followed_once", {"number": 1})]
    gathering = Gathering(followed, members, stop_after_failures=1)
    gathering.fails = {0}
    gathering.start()
    followed.sent.clear()
    if with_members:
        caller_actions.cancel_with_members(gathering.read(), followed.send)
    else:
        gathering.run_member(0)
    assert gathering.member(1).status is Status.CANCELED
    assert sent_types(followed) == ["note_end"] + ["sample_once"] * (not with_members)


def test_the_follow_ups_of_a_job_that_is_canceled_with_its_members_are_sent_at_once(
    followed: Bench,
) -> None:
    gathering = Gathering(followed, 2, job_type="followed_once")
    gathering.start()
    followed.sent.clear()
    stopped = caller_actions.cancel_with_members(gathering.read(), followed.send)
    assert stopped.status is Status.CANCELED
    assert sent_types(followed) == ["note_end"]


def test_the_end_of_a_member_that_its_group_cancels_continues_the_job_at_once(
    bench: Bench,
) -> None:
    gathering = Gathering(bench, 2, stop_after_failures=1)
    gathering.fails = {0}
    gathering.start()
    gathering.run_member(0)
    assert items("open#") == []
    assert gathering.read().status is Status.QUEUED


def test_the_slot_of_a_member_that_its_group_cancels_goes_to_the_next_job_at_once(
    bench: Bench,
) -> None:
    """The member was admitted: it has a slot, and no worker has claimed it."""
    limits.put("texts", slots=1)
    members = [
        Member("sample_again", {"number": 1}, queue_name="texts"),
        Member("sample_once", {"number": 0}),
    ]
    gathering = Gathering(bench, members, stop_after_failures=1)
    holder = bench.dispatch("sample_again", queue_name="texts")
    gathering.fails = {0}

    def work(job: Any, payload: Sample) -> Any:
        if job.id == holder.id:
            gathering.start()
            assert bench.run(gathering.member(0)).status is Status.WAITING
            return None
        return gathering.work(job, payload)

    script.job = work
    bench.run(holder)  # and then the member is admitted
    admitted = gathering.member(0)
    assert (admitted.status, admitted.slot) == (Status.QUEUED, 1)
    other = bench.dispatch("sample_again", queue_name="texts")
    assert bench.run(other).status is Status.WAITING
    bench.sent.clear()
    gathering.run_member(1)
    assert gathering.member(0).status is Status.CANCELED
    assert bench.read(other).status is Status.QUEUED
    assert other.id in bench.sent_jobs


def test_an_invocation_that_was_killed_after_its_group_began_is_deleted_with_the_group(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering = Gathering(bench, 1, job_type="sample_again")
    with monkeypatch.context() as killed:
        killed.setattr(execution, "_end", lambda invocation, ending: None)
        bench.run(gathering.row)
    row = gathering.read()
    assert (row.status, row.has_waited) == (Status.RUNNING, True)
