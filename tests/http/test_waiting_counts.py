"""GET /backlog: the jobs that wait for a worker, by queue and job type, at a bounded cost."""

from collections.abc import Iterable
from typing import Any

import pytest

from api_events import call
from busy_queues import dispatched, got, refused, while_one_runs
from counted_units import Units
from fake_lambda import FakeLambda
from job_rows import claimed, saved, stored
from job_runners import caches, clock
from job_runners.engine.tick import timer
from job_runners.engine.tick.backlog import MAX_SAMPLED
from job_runners.settings import forget
from job_runners.store import caller_transitions, pauses, queries, transitions
from job_runners.store.job_request import JobRequest, Lane
from job_runners.store.transitions import NewJob

pytestmark = [pytest.mark.usefixtures("worker"), pytest.mark.views]

VIEWER = {"sub": "u", "roles": "viewer", "organization_id": "acme"}


def read(**parts: Any) -> Any:
    """Return the backlog as a new process reads it."""
    caches.forget_all()
    return got("/backlog", **parts)


def counts(**parts: Any) -> dict[tuple[str, str], tuple[int, int]]:
    """Return how many jobs run and how many wait, by queue and job type."""
    return {
        (each["queue_name"], each["job_type"]): (each["running"], each["waiting"])
        for each in read(**parts)["jobs"]
    }


def test_it_counts_what_waits_and_what_runs_by_queue_and_job_type(worker: FakeLambda) -> None:
    first = dispatched("mails")
    for _ in range(2):
        dispatched("mails")
    dispatched("default", job_type="sample_again")
    dispatched("default", delay=3600)
    dispatched("sample_slots")
    found = read()
    assert found["more"] is False
    (_, mails, _) = found["jobs"]
    assert (mails["queue_name"], mails["job_type"]) == ("mails", "sample_once")
    assert (mails["waiting"], mails["oldest_waiting_id"]) == (3, first)
    assert mails["oldest_waiting_since"] == got(f"/jobs/{first}")["queued_at"]
    assert while_one_runs(worker, counts) == {("mails", "sample_once"): (1, 0)}
    assert counts() == {}


def test_a_job_that_a_line_holds_is_left_to_the_counts_of_its_queue(worker: FakeLambda) -> None:
    for _ in range(3):
        dispatched("sample_slots")
    assert while_one_runs(worker, counts) == {("sample_slots", "sample_once"): (1, 0)}


def test_a_retry_counts_once_its_time_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    running = claimed(saved())
    error = {"kind": "E", "message": "", "traceback": ""}
    run_at = clock.now() + 60_000
    checkpoint = transitions.Checkpoint(None, 0, None)
    transitions.retry(running, error, run_at=run_at, due_at=run_at, checkpoint=checkpoint)
    assert counts() == {}
    monkeypatch.setattr(clock, "now", lambda: run_at)
    assert counts() == {("default", "sample_again"): (0, 1)}


def test_the_age_counts_from_the_first_of_a_row_that_the_timer_has_put_off() -> None:
    older, newer = saved(), saved()
    transitions.postpone(older, clock.now() + 10 * clock.HOUR, Lane.QUEUED)
    transitions.postpone(newer, clock.now() + clock.HOUR, Lane.RESENT)
    (found,) = read()["jobs"]
    assert (found["waiting"], found["oldest_waiting_id"]) == (2, older.id)


def test_a_caller_of_one_organization_gets_only_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    dispatched("default")
    dispatched("secret", "theirs", job_type="sample_again")
    own = {("default", "sample_once"): (0, 1)}
    assert counts(query={"organization_id": "acme"}) == own
    assert len(counts()) == 2
    monkeypatch.setenv("ACCESS_MODE", "jwt")
    forget()
    assert counts(claims=VIEWER) == own
    asked = call("GET", "/backlog", query={"organization_id": "theirs"}, claims=VIEWER)
    refused(asked, 403, "not-allowed")


def test_a_job_that_runs_says_when_one_last_started(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting, _, running = saved(), claimed(saved()), claimed(saved())
    later = clock.now() + clock.HOUR
    monkeypatch.setattr(clock, "now", lambda: later)
    (found,) = read()["jobs"]
    assert (found["oldest_waiting_id"], found["running"]) == (waiting.id, 2)
    assert found["last_started_at"] == clock.iso(running.started_at or 0)


def of(organization_id: str) -> JobRequest:
    """Save a job of an organization."""
    new = NewJob("sample_again", "default", organization_id, {"number": 1}, 3)
    return transitions.save(new).after


def started_at(minute: int, monkeypatch: pytest.MonkeyPatch, owner: str = "org") -> str:
    """Save a job, start and end it at a minute; when it started."""
    at = MINUTES + minute * clock.MINUTE
    monkeypatch.setattr(clock, "now", lambda: at)
    running = claimed(of(owner))
    monkeypatch.setattr(clock, "now", lambda: at + 5000)
    transitions.succeed(running, {"n": 1})
    return clock.iso(at)


MINUTES = 1_800_000_000_000


def test_jobs_that_wait_long_say_when_one_last_started(monkeypatch: pytest.MonkeyPatch) -> None:
    started_at(0, monkeypatch)
    last = started_at(10, monkeypatch)
    theirs = started_at(11, monkeypatch, "theirs")
    monkeypatch.setattr(clock, "now", lambda: MINUTES + 12 * clock.MINUTE)
    oldest = saved()
    of("theirs")
    assert [each["last_started_at"] for each in read()["jobs"]] == [None]  # they may start soon
    monkeypatch.setattr(clock, "now", lambda: MINUTES + 20 * clock.MINUTE)
    for _ in range(30):
        saved()
    monkeypatch.setattr(clock, "now", lambda: MINUTES + 60 * clock.MINUTE)
    (found,) = read(query={"organization_id": "org"})["jobs"]
    assert (found["oldest_waiting_id"], found["last_started_at"]) == (oldest.id, last)
    (found,) = read(query={"organization_id": "theirs"})["jobs"]
    assert found["last_started_at"] == theirs
    # A job that overtook them shows that some of the type do start.
    overtaken = started_at(61, monkeypatch)
    monkeypatch.setattr(clock, "now", lambda: MINUTES + 70 * clock.MINUTE)
    (found,) = read(query={"organization_id": "org"})["jobs"]
    assert (found["waiting"], found["last_started_at"]) == (31, overtaken)


def test_a_job_that_never_started_says_nothing_of_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    never = transitions.save(NewJob("sample_again", "other", "org", {"number": 1}, 3)).after
    caller_transitions.cancel(never)
    saved()
    later = clock.now() + clock.HOUR
    monkeypatch.setattr(clock, "now", lambda: later)
    assert counts() == {("default", "sample_again"): (0, 1)}


def test_a_job_that_ends_while_it_is_read_no_longer_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    row, read_many = saved(), queries.read_many

    def end_first(ids: Iterable[str]) -> dict[str, JobRequest]:
        caller_transitions.cancel(row)
        return read_many(ids)

    monkeypatch.setattr(queries, "read_many", end_first)
    assert counts() == {}


def test_a_type_of_which_one_runs_costs_no_search_for_a_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    claimed(saved())
    units = Units()
    assert [each["waiting"] for each in read()["jobs"]] == [0]
    cost_of_none = units.costs()[0]["Query"]
    saved()
    later = clock.now() + clock.HOUR
    monkeypatch.setattr(clock, "now", lambda: later)
    units.costs()
    assert [each["waiting"] for each in read()["jobs"]] == [1]
    assert units.costs()[0]["Query"] == cost_of_none


def test_a_retry_that_is_late_is_found_before_a_backlog(monkeypatch: pytest.MonkeyPatch) -> None:
    run_at = clock.now() + clock.MINUTE
    saved(run_at=run_at, due_at=run_at)
    later = run_at + clock.HOUR
    monkeypatch.setattr(clock, "now", lambda: later)
    for _ in range(MAX_SAMPLED + 1):
        dispatched("default", "org", job_type="sample_once")
    assert {each["job_type"] for each in read()["jobs"]} == {"sample_once", "sample_again"}


def test_many_jobs_that_are_not_due_are_no_backlog() -> None:
    run_at = clock.now() + clock.MINUTE
    for _ in range(MAX_SAMPLED + 1):
        saved(run_at=run_at, due_at=run_at)
    assert counts() == {}


def test_jobs_under_a_pause_say_when_one_last_started(monkeypatch: pytest.MonkeyPatch) -> None:
    last = started_at(10, monkeypatch)
    oldest = saved()
    monkeypatch.setattr(clock, "now", lambda: MINUTES + 30 * clock.MINUTE)
    pause = pauses.pause(pauses.Kind.JOB_TYPE, "sample_again")
    transitions.hold(stored(oldest), pause, due_at=clock.now())
    monkeypatch.setattr(clock, "now", lambda: MINUTES + 40 * clock.MINUTE)
    (found,) = read()["jobs"]
    assert (found["waiting"], found["last_started_at"]) == (0, last)
    (shown,) = got("/paused")["paused"]
    assert shown["paused_at"] == shown["oldest_waiting_since"] > shown["oldest_queued_at"]
    assert shown["oldest_queued_at"] == clock.iso(oldest.could_run_at)
    assert counts(query={"organization_id": "theirs"}) == {}


def test_jobs_that_run_are_counted_next_to_a_large_backlog() -> None:
    for _ in range(MAX_SAMPLED):
        saved()
    for _ in range(3):  # as the timer leaves them once their messages should have arrived
        transitions.postpone(claimed(saved()), clock.now() + 10 * clock.MINUTE, Lane.PROMPT)
    found = read()
    assert found["more"] is True
    assert sum(each["running"] for each in found["jobs"]) == 3


def test_its_cost_is_bounded_however_many_jobs_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(MAX_SAMPLED):
        saved()
    assert read()["more"] is False
    for _ in range(1500):
        saved()
    later = clock.now() + clock.HOUR
    monkeypatch.setattr(clock, "now", lambda: later)
    units = Units()
    caches.forget_all()
    units.costs()
    found = got("/backlog")
    requests, read_units = units.costs()
    assert found["more"] is True
    assert 900 < sum(each["waiting"] for each in found["jobs"]) <= MAX_SAMPLED
    near = 4 + 4  # pages of jobs in which last starts are looked up: 50 or 25 rows each
    assert requests["BatchGetItem"] <= MAX_SAMPLED / 100 + near
    # Three lanes of eight shards, again for those with many rows, for those that run, and for the
    # last rows, the latest rows and eight gaps.
    assert requests["Query"] <= 24 + 8 + 8 + 16 + 2 + 16 + near
    assert read_units["read"] <= MAX_SAMPLED / 2 + (4 * 50 + 4 * 25) / 2 + 100
    got("/backlog", query={"organization_id": "acme"})
    assert got("/backlog") == found
    assert units.costs()[0] == {}  # the next ten seconds cost nothing


def test_an_old_backlog_of_one_queue_does_not_hide_another(monkeypatch: pytest.MonkeyPatch) -> None:
    now = clock.now()
    for number in range(3000):  # one each second: the last 1,000 are in another queue
        at = now - (3000 - number) * clock.SECOND
        monkeypatch.setattr(clock, "now", lambda at=at: at)
        transitions.save(NewJob("sample_again", f"{number // 2000}", "org", {"number": 1}, 3))
    monkeypatch.setattr(clock, "now", lambda: now)
    since = {each["queue_name"]: each["oldest_waiting_since"] for each in read()["jobs"]}
    assert since["0"] == clock.iso(now - 3000 * clock.SECOND)
    assert clock.iso(now - 1000 * clock.SECOND) <= since["1"] < clock.iso(now - 600 * clock.SECOND)


def test_an_old_backlog_does_not_hide_a_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    now = clock.now()
    rows = []
    for number in range(2100):  # one each second for 2,000 s; an hour ago, 100 at once
        ago = clock.HOUR if number >= 2000 else (6000 - number) * clock.SECOND
        monkeypatch.setattr(clock, "now", lambda at=now - ago: at)
        new = NewJob("sample_again", f"{number // 2000}", "org", {"number": 1}, 3)
        rows.append(transitions.save(new).after)
    monkeypatch.setattr(clock, "now", lambda: now)
    for row in rows[:100]:  # as the timer puts them off
        transitions.postpone(row, now + 10 * clock.HOUR, Lane.RESENT)
    assert {each["queue_name"] for each in read()["jobs"]} == {"0", "1"}


def test_queues_stay_in_sight_while_the_timer_defers_their_jobs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Deferred jobs are due at their start deadlines, which lie close together in a day."""
    now = MINUTES

    def tick() -> None:
        timer.tick(lambda *_, **__: None, until=now + 50_000)

    monkeypatch.setattr(clock, "now", lambda: now)
    for queue, jobs, seconds in (("first", 2000, 420), ("second", 1300, 120), ("third", 700, 30)):
        for second in range(seconds):
            for _ in range(jobs * second // seconds, jobs * (second + 1) // seconds):
                transitions.save(NewJob("sample_again", queue, "org", {"number": 1}, 3))
            now += 1000
            if now % 60_000 == 0:
                tick()
    for _ in range(8):
        now += 60_000
        tick()
        assert {each["queue_name"] for each in read()["jobs"]} == {"first", "second", "third"}


def test_it_is_read_again_after_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    caches.forget_all()
    assert got("/backlog")["jobs"] == []
    saved()
    assert got("/backlog")["jobs"] == []
    later = clock.now() + 10_000
    monkeypatch.setattr(clock, "now", lambda: later)
    (found,) = got("/backlog")["jobs"]
    assert found["oldest_waiting_since"] < clock.iso(later - 9_000)
