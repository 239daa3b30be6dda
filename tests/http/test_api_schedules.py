"""Schedules over HTTP: put, looked at, paused, run now, deleted; and whose they are."""

from typing import Any
from urllib.parse import quote

import pytest

from api_events import Answer, Logged, call
from busy_queues import got, refused
from fake_lambda import FakeLambda
from job_runners import clock, runners
from job_runners.engine.registry.registry import registry
from job_runners.engine.schedules import due_schedule, recurring
from job_runners.settings import forget
from job_runners.store import schedules
from job_runners.store.schedule import Schedule
from job_runners.store.schedules import ScheduleChanged
from job_runners.work import Recurring, occurrences
from sample_work import script
from stale_reads import catch_up

pytestmark = pytest.mark.usefixtures("worker")

NOON = "2026-11-26T12:00:00.000Z"
WHOSE = {"organization_id": "acme"}
NIGHTLY = {"job_type": "sample_once", "cron": "0 2 * * *", "timezone": "Europe/Berlin"}


SPAN = "must be a whole number, 60 to 31,622,400 seconds (a minute to 366 days); 900 is 15 minutes"


class StillClock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1_795_694_400_000

    def advance(self, seconds: int) -> None:
        self.now += seconds * clock.SECOND


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch) -> StillClock:
    """Let it be noon, in November."""
    found = StillClock()
    monkeypatch.setattr(clock, "now", lambda: found.now)
    return found


def on(method: str, path: str = "/nightly", **parts: Any) -> Answer:
    return call(method, f"/schedules{path}", **{"query": WHOSE, **parts})


def put(name: str = "nightly", body: dict[str, Any] | None = None, **fields: Any) -> Any:
    path = f"/{quote(name, safe='')}"
    answer = on("PUT", path, body={**(NIGHTLY if body is None else body), **fields})
    assert answer.status in (200, 201), answer.text
    return answer.json


# --- put and look -----------------------------------------------------------------------------


def test_a_list_searches_for_no_occurrence(monkeypatch: pytest.MonkeyPatch) -> None:
    put("rare", {"job_type": "sample_once", "cron": "*/59 23 * 2 1#5", "timezone": "Asia/Gaza"})
    shown = on("GET", "/rare").json["next"]
    searched: list[Any] = []
    monkeypatch.setattr(occurrences, "next_after", lambda *asked: searched.append(asked))
    (listed,) = on("GET", "").json["schedules"]
    assert (listed["next"], len(shown), searched) == (shown[:1], 5, [])


def test_a_schedule_is_put_and_shown_in_words_with_its_next_five() -> None:
    answer = on("PUT", body={**NIGHTLY, "payload": {"number": 7}})
    assert answer.status == 201
    found = answer.json
    assert found["words"] == "at 02:00 every day, Europe/Berlin"
    assert found["next"] == [f"2026-11-{day}T01:00:00.000Z" for day in (27, 28, 29, 30)] + [
        "2026-12-01T01:00:00.000Z"
    ]
    told = {
        **NIGHTLY,
        "name": "nightly",
        "organization_id": "acme",
        "origin": "api",
        "every": None,
        "payload": {"number": 7},
        "missed": "one",
        "overlap": "skip",
        "last": None,
        "started": 0,
        "skipped": 0,
        "failed": 0,
        "paused_at": None,
        "created_at": NOON,
        "created_by": "service:user/campaign-service",
        "waits": False,
    }
    assert {name: found[name] for name in told} == told
    assert on("GET").json == found
    (listed,) = on("GET", "").json["schedules"]
    expected = {**found, "next": found["next"][:1]}
    assert listed == {name: value for name, value in expected.items() if name != "payload"}


def test_put_again_it_is_what_was_put_last(time: StillClock) -> None:
    put(payload={"number": 7}, missed=5, overlap="allow")
    time.advance(60)
    answer = on("PUT", body={"job_type": "sample_again", "every": 3600})
    assert answer.status == 200
    found = answer.json
    assert found["words"] == "every hour"
    assert (found["job_type"], found["payload"]) == ("sample_again", {})
    assert (found["missed"], found["overlap"]) == ("one", "skip")
    assert (found["cron"], found["timezone"]) == (None, "UTC")
    assert (found["created_at"], found["updated_at"]) == (NOON, "2026-11-26T12:01:00.000Z")


@pytest.mark.parametrize(
    ("given", "field", "why"),
    [
        ({"cron": None}, "cron", "exactly one of cron and every"),
        ({"every": 60}, "cron", "exactly one of cron and every"),
        ({"cron": "0 2 * *"}, "cron", "has 4 fields; it must have five"),
        ({"cron": "0 0 2 * * *"}, "cron", "has 6 fields; it must have five"),
        ({"cron": "0 24 * * *"}, "cron", "the hour of '0 24 * * *' is '24'; it must be 0 to 23"),
        (
            {"cron": "0 0 30 2 *"},
            "cron",
            "'0 0 30 2 *' never matches: these months have no such day",
        ),
        ({"timezone": "Europe/Berlim"}, "timezone", "did you mean 'Europe/Berlin'?"),
        ({"cron": None, "timezone": "UTC", "every": 59}, "every", SPAN),
        ({"cron": None, "timezone": "UTC", "every": "15m"}, "every", SPAN),
        ({"cron": None, "timezone": "UTC", "every": 31_622_401}, "every", SPAN),
        ({"cron": None, "timezone": "UTC", "every": [60]}, "every", SPAN),
        ({"cron": "cron(0 2 * * ? *)"}, "cron", "write * for ?: '0 2 * * *'"),
        ({"cron": None, "every": 60}, "timezone", "only with cron"),
        ({"missed": 2}, "missed", 'more than one needs overlap "allow"'),
        ({"missed": "all"}, "missed", 'must be "skip", "one", or a whole number, 1 to 100'),
        ({"missed": True}, "missed", 'must be "skip", "one", or a whole number, 1 to 100'),
        ({"missed": 101, "overlap": "allow"}, "missed", "a whole number, 1 to 100"),
        ({"overlap": "wait"}, "overlap", "'skip', 'queue' or 'allow'"),
        ({"organization_id": "acme"}, "organization_id", "not permitted"),
        ({"zone": "UTC"}, "zone", "not permitted"),
    ],
)
def test_what_can_not_be_is_refused_in_plain_words(
    given: dict[str, Any], field: str, why: str
) -> None:
    body = {name: value for name, value in {**NIGHTLY, **given}.items() if value is not None}
    answer = on("PUT", body=body)
    refused(answer, 422, "invalid-request")
    problems = [each for each in answer.json["errors"] if each["field"].startswith(field)]
    assert problems, answer.text
    assert any(why in each["why"] for each in problems), problems
    assert on("GET", "").json["schedules"] == []


def test_a_job_that_could_not_be_dispatched_is_refused_now_and_not_at_night() -> None:
    detail = refused(
        on("PUT", body={**NIGHTLY, "job_type": "sample_onze"}), 422, "unknown-job-type"
    )
    assert "Did you mean 'sample_once'?" in detail
    wrong = on("PUT", body={**NIGHTLY, "payload": {"numer": 7}})
    refused(wrong, 422, "invalid-payload")


@pytest.mark.parametrize("name", ["nobody's", "a b%", 'say "hi"', "x" * 128])
def test_a_name_may_be_any_text_that_a_name_may_be(name: str) -> None:
    assert put(name)["name"] == name
    path = f"/{quote(name, safe='')}"
    for method, verb in (("GET", ""), ("PUT", "/paused"), ("DELETE", "/paused")):
        assert on(method, f"{path}{verb}").json["name"] == name
    assert on("POST", f"{path}/run").status == 202
    assert on("DELETE", path).status == 204


@pytest.mark.parametrize("name", ["a#b", "a\u202eb", "x" * 129, ".", ".."])
def test_a_name_that_can_be_none_is_refused(name: str) -> None:
    path = f"/{quote(name, safe='')}"
    refused(on("PUT", path, body=NIGHTLY), 422, "invalid-request")
    refused(on("GET", path), 404, "schedule-not-found")


def test_an_organisation_is_never_dots() -> None:
    for method in ("PUT", "GET", "DELETE"):
        body = NIGHTLY if method == "PUT" else None
        answer = on(method, query={"organization_id": ".."}, body=body)
        assert "organization_id must be 1 to 128" in refused(answer, 400, "invalid-query")


def test_lists_are_by_name_and_a_page_at_a_time() -> None:
    for name in ("b", "d", "a", "c"):
        put(name)
    found, query = [], {**WHOSE, "limit": "3"}
    while query:
        page = on("GET", "", query=query).json
        found.append([each["name"] for each in page["schedules"]])
        query = page["cursor"] and {**query, "cursor": page["cursor"]}
    assert found == [["a", "b", "c"], ["d"]]
    refused(on("GET", "", query={**WHOSE, "cursor": "?"}), 400, "invalid-cursor")
    refused(on("GET", "", query={**WHOSE, "search": "a"}), 400, "invalid-query")
    refused(on("GET", "", query={"organization_id": "a#b"}), 400, "invalid-query")
    refused(on("GET", "", query=""), 400, "invalid-query")


# --- pause, run, delete -----------------------------------------------------------------------


def test_a_schedule_is_paused_and_resumed(time: StillClock) -> None:
    put()
    for _ in range(2):  # the second does nothing
        paused = on("PUT", "/nightly/paused")
        assert paused.status == 200
        assert (paused.json["paused_at"], paused.json["next"]) == (NOON, [])
        assert paused.json["paused_by"] == "service:user/campaign-service"
        time.advance(60)
    assert put(payload={"number": 5})["paused_at"] == NOON
    time.advance(24 * 3600)
    resumed = on("DELETE", "/nightly/paused").json
    assert (resumed["paused_at"], resumed["paused_by"]) == (None, None)
    assert resumed["next"][0] == "2026-11-28T01:00:00.000Z"
    assert resumed == on("DELETE", "/nightly/paused").json


def test_a_schedule_is_run_now_paused_or_not(worker: FakeLambda) -> None:
    put(payload={"number": 7})
    on("PUT", "/nightly/paused")
    answer = on("POST", "/nightly/run")
    assert answer.status == 202
    worker.deliver()
    job = got(answer.headers["location"])
    assert (job["id"], job["status"]) == (answer.json["id"], "succeeded")
    told = ("job_type", "payload", "organization_id", "created_by")
    assert [job[name] for name in told] == [
        *("sample_once", {"number": 7}, "acme", "service:user/campaign-service")
    ]
    found = on("GET").json
    assert (found["last"], found["started"]) == (None, 0)  # it is no occurrence


@pytest.mark.parametrize(("method", "path"), [("POST", "/run"), ("PUT", "/paused")])
def test_a_body_that_would_change_nothing_is_refused(method: str, path: str) -> None:
    put()
    answer = on(method, f"/nightly{path}", body={"payload": {"number": 2}})
    refused(answer, 422, "invalid-request")
    assert answer.json["errors"][0]["field"] == "payload"
    assert on("GET").json["paused_at"] is None
    assert call("GET", "/jobs", query=WHOSE).json["jobs"] == []
    assert on(method, f"/nightly{path}", body={}).status in (200, 202)


def test_one_whose_zone_is_gone_is_not_resumed_and_can_be_put_again() -> None:
    put()
    on("PUT", "/nightly/paused")
    there = schedules.read("acme", "nightly")
    assert there is not None
    there.update([Schedule.timezone.set("Europe/Atlantis")])
    answer = on("DELETE", "/nightly/paused")
    refused(answer, 422, "invalid-request")
    (problem,) = answer.json["errors"]
    assert problem["field"] == "timezone"
    assert "there is no time zone 'Europe/Atlantis'" in problem["why"]
    assert on("GET").json["paused_at"] == NOON
    put()
    assert on("DELETE", "/nightly/paused").json["paused_at"] is None


def test_the_same_run_under_the_same_key_is_one_job() -> None:
    put()
    first, again, other = (
        on("POST", "/nightly/run", headers={"Idempotency-Key": key}) for key in ("1", "1", "2")
    )
    assert first.json["id"] == again.json["id"] != other.json["id"]
    replayed = [each.headers.get("idempotent-replayed") for each in (first, again, other)]
    assert replayed == [None, "true", None]
    wrong = on("POST", "/nightly/run", headers={"Idempotency-Key": "x" * 256})
    refused(wrong, 422, "invalid-request")


def test_a_schedule_is_deleted_and_its_jobs_stay(worker: FakeLambda) -> None:
    put()
    job = on("POST", "/nightly/run")
    assert on("DELETE").status == 204
    refused(on("DELETE"), 404, "schedule-not-found")
    worker.deliver()
    assert got(job.headers["location"])["status"] == "succeeded"
    for method, path in (("GET", ""), ("PUT", "/paused"), ("DELETE", "/paused"), ("POST", "/run")):
        refused(on(method, f"/nightly{path}"), 404, "schedule-not-found")
    assert on("GET", "").json["schedules"] == []


def test_one_that_the_code_declares_is_neither_changed_nor_deleted_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    declared = {"nightly": Recurring("sample_once", every=3600, organization_id="acme")}
    monkeypatch.setattr("sample_work.RECURRING", declared, raising=False)
    forget()
    detail = refused(on("PUT", body=NIGHTLY), 409, "declared-in-code")
    assert "declared in code (RECURRING)" in detail
    for method, path in (("GET", "/nightly"), ("POST", "/nightly/run")):
        detail = refused(on(method, path), 404, "schedule-not-found")
        assert "The timer stores it within a minute" in detail


def test_one_that_only_another_version_of_the_code_declares_says_so(
    monkeypatch: pytest.MonkeyPatch, time: StillClock
) -> None:
    declared = {"nightly": Recurring("sample_once", every=3600, organization_id="acme")}
    monkeypatch.setattr("sample_work.RECURRING", declared, raising=False)
    forget()
    tick()
    found = on("GET").json
    assert (found["origin"], found["declared"]) == ("code", True)
    monkeypatch.setattr("sample_work.RECURRING", {}, raising=False)  # the next deploy
    registry.cache_clear()
    tick()
    found = on("GET").json
    assert (found["origin"], found["declared"]) == ("code", False)
    for answer in (on("PUT", body=NIGHTLY), on("DELETE")):
        detail = refused(answer, 409, "declared-in-code")
        assert "declared by another version of the code" in detail
        assert "change it there" not in detail
    assert on("PUT", "/nightly/paused").status == 200
    for _ in range(3):  # as long as an old process may still be at work
        time.advance(6 * 60)
        tick()
    refused(on("GET"), 404, "schedule-not-found")
    assert on("PUT", body=NIGHTLY).status == 201


def test_what_an_organisation_put_stays_its_own_though_the_code_declares_that_name_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put()
    declared = {"nightly": Recurring("sample_once", every=3600, organization_id="acme")}
    monkeypatch.setattr("sample_work.RECURRING", declared, raising=False)
    registry.cache_clear()
    found = put(payload={"number": 7})
    assert (found["origin"], found["payload"]) == ("api", {"number": 7})
    other = put("weekly")
    assert (found["declared"], other["declared"]) == (True, False)
    listed = on("GET", "").json["schedules"]
    assert [(each["name"], each["declared"]) for each in listed] == [
        ("nightly", True),
        ("weekly", False),
    ]
    assert on("DELETE").status == 204
    refused(on("PUT", body=NIGHTLY), 409, "declared-in-code")


def test_who_meets_others_at_one_schedule_is_asked_to_try_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put()

    def moved(*_: Any, **__: Any) -> None:
        raise ScheduleChanged

    monkeypatch.setattr(schedules, "pause", moved)
    answer = on("PUT", "/nightly/paused")
    refused(answer, 503, "schedule-busy")
    assert answer.headers["retry-after"] == "1"


# --- its occurrences --------------------------------------------------------------------------


def tick() -> None:
    """Have the timer look at what is due."""
    send = runners.sender()
    assert send is not None
    recurring.start_due(send, until=clock.now() + clock.MINUTE)


def test_the_last_occurrence_is_shown_with_what_became_of_its_job(
    worker: FakeLambda, time: StillClock
) -> None:
    put(payload={"number": 7})
    time.advance(13 * 3600 + 20)  # 02:00:20 in Berlin
    tick()
    catch_up()
    found = on("GET").json
    last = found["last"]
    assert (last["at"], found["started"]) == ("2026-11-27T01:00:00.000Z", 1)
    assert last["job"]["status"] == "queued"
    assert last["job"]["created_by"] == "schedule:nightly"
    assert found["next"][0] == "2026-11-28T01:00:00.000Z"
    script.job = failing_job
    worker.deliver()
    catch_up()  # a schedule may show an earlier state of its job
    (listed,) = on("GET", "").json["schedules"]
    job = listed["last"]["job"]
    assert (job["status"], job["error"]["kind"]) == ("failed", "ZeroDivisionError")
    assert got(f"/jobs/{last['job_id']}")["payload"] == {"number": 7}
    assert call("DELETE", f"/jobs/{last['job_id']}").status == 204
    catch_up()
    assert on("GET").json["last"] == {**last, "job": None}


def failing_job(job: Any, payload: Any) -> None:
    raise ZeroDivisionError("no luck")


def test_what_was_left_out_and_what_waits_is_said(time: StillClock) -> None:
    every = {"job_type": "sample_once", "every": 3600}
    put("skips", every)
    put("queues", every, overlap="queue")
    for _ in range(2):  # the first one's job is not finished when the second comes
        time.advance(3600)
        tick()
    skips, queues = (on("GET", f"/{name}").json for name in ("skips", "queues"))
    assert (skips["started"], skips["skipped"], skips["waits"]) == (1, 1, False)
    assert skips["last_skipped_at"] == "2026-11-26T14:00:00.000Z"
    assert skips["last_skipped_why"] == due_schedule.PREVIOUS_UNFINISHED
    assert (queues["started"], queues["skipped"], queues["waits"]) == (1, 0, True)
    assert queues["next"][0] == "2026-11-26T14:00:00.000Z"


def test_why_an_occurrence_can_not_be_started_is_said(
    time: StillClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAX_UNFINISHED_JOBS", "1")
    forget()
    put("hourly", {"job_type": "sample_once", "every": 3600})
    assert call("POST", "/jobs", body={"job_type": "sample_once", **WHOSE}).status == 202
    time.advance(3600)
    tick()
    found = on("GET", "/hourly").json
    assert (found["retrying"], found["last"], found["last_failed_at"]) == (True, None, None)
    assert found["error"]["kind"] == "QuotaReached"
    assert "reached its quota of 1 unfinished jobs" in found["error"]["message"]


# --- whose they are ---------------------------------------------------------------------------


def tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCESS_MODE", "jwt")
    forget()


def test_a_tenant_has_its_own_and_viewers_see_no_payload(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens(monkeypatch)
    ours = {"sub": "ann", "roles": "operator", "organization_id": "acme"}
    theirs = {"sub": "bob", "roles": "operator", "organization_id": "zeta"}
    for claims, number in ((ours, 1), (theirs, 2)):
        body = {**NIGHTLY, "payload": {"number": number}}
        assert call("PUT", "/schedules/nightly", body=body, claims=claims).status == 201
    found = call("GET", "/schedules/nightly", claims=ours).json
    assert (found["payload"], found["created_by"]) == ({"number": 1}, "operator:ann")
    assert len(call("GET", "/schedules", claims=ours).json["schedules"]) == 1
    viewer = call("GET", "/schedules/nightly", claims={**ours, "roles": "viewer"}).json
    assert viewer == {**found, "payload": None}
    assert call("DELETE", "/schedules/nightly", claims=ours).status == 204
    assert call("GET", "/schedules/nightly", claims=theirs).json["payload"] == {"number": 2}


def test_what_is_done_is_logged_with_who_did_it(monkeypatch: pytest.MonkeyPatch) -> None:
    logged = Logged(monkeypatch)
    put()
    on("PUT", "/nightly/paused")
    on("DELETE", "/nightly/paused")
    on("DELETE")
    for message in ("schedule put", "schedule paused", "schedule resumed", "schedule deleted"):
        (line,) = logged.lines(message)
        assert line["caller"].endswith("campaign-service")
        assert (line["schedule"], line["organization_id"]) == ("nightly", "acme")
