"""Queues over HTTP: their limits, who uses them, and what each caller sees of that."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api_events import call
from busy_queues import SLOTS_1, dispatched, got, refused, uses, while_one_runs
from fake_lambda import FakeLambda
from job_runners.aws import clients
from job_runners.engine.control import queues
from job_runners.settings import forget
from job_runners.store import cursors, lines, waiting
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.line_items import LineItem
from job_runners.work import RunningJob
from noted_keys import note
from sample_work import Sample, script
from stale_reads import catch_up

pytestmark = pytest.mark.usefixtures("worker")

# --- use ------------------------------------------------------------------------------------------


def test_it_shows_who_has_its_slots_and_how_many_wait_since_when(worker: FakeLambda) -> None:
    ids = [dispatched("sample_slots") for _ in range(3)]
    found = while_one_runs(worker, lambda: (got("/queues/sample_slots"), got(f"/jobs/{ids[1]}")))
    queue, second = found
    assert (queue["limits"], queue["declared_limits"]) == (SLOTS_1, SLOTS_1)
    assert (queue["changed_at"], queue["changed_by"], queue["paused"]) == (None, None, None)
    (key,) = queue["keys"]
    assert (key["key"], key["slots_in_use"], key["waiting"]) == ("*", 1, 2)
    assert (key["more_waiting"], key["next_start_at"]) == (False, None)
    assert key["oldest_waiting_since"] == second["waiting_since"]
    assert key["oldest_waiting_id"] == ids[1]
    (holder,) = key["holders"]
    assert (holder["job_id"], holder["organization_id"]) == (ids[0], "acme")
    assert holder["since"].endswith("Z")
    assert uses(got("/queues/sample_slots")) == {"*": (0, 0)}


def test_a_rate_tells_when_the_next_start_may_be(worker: FakeLambda) -> None:
    dispatched("sample_paced")
    worker.deliver()
    (key,) = got("/queues/sample_paced")["keys"]
    until = datetime.fromisoformat(key["next_start_at"]) - datetime.now(UTC)
    assert timedelta(minutes=50) < until <= timedelta(hours=1)


def test_the_list_has_every_queue_by_name_with_its_first_keys(worker: FakeLambda) -> None:
    call("PUT", "/paused/queue/zz_paused")
    call("PUT", "/queues/zz_limited", body={"slots": 2})
    for text in "abcdef":
        dispatched("sample_campaigns", payload={"text": text})
    worker.deliver()
    for text in "abcde":
        hold("sample_campaigns", f"acme:{text}")
    listed = {each["name"]: each for each in got("/queues")["queues"]}
    assert list(listed) == sorted(listed)
    assert {"default", "webhooks", "sample_slots", "zz_paused", "zz_limited"} <= listed.keys()
    assert (listed["default"]["limits"], listed["default"]["keys"]) == (None, [])
    assert listed["zz_paused"]["paused"]["name"] == "zz_paused"
    first = listed["sample_campaigns"]
    assert list(uses(first)) == ["acme:a", "acme:b", "acme:c"]
    rest = got("/queues/sample_campaigns", query={"cursor": first["keys_cursor"]})
    assert uses(rest) == {"acme:d": (1, 0), "acme:e": (1, 0)}  # f is idle
    assert rest["keys_cursor"] is None


def test_pages_of_queues_and_of_keys_follow_each_other() -> None:
    names = [each["name"] for each in got("/queues")["queues"]]
    found: list[str] = []
    cursor = None
    while True:
        page = got("/queues", query={"limit": "2"} | ({"cursor": cursor} if cursor else {}))
        assert 1 <= len(page["queues"]) <= 2
        found += [each["name"] for each in page["queues"]]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert found == names
    for path in ("/queues", "/queues/sample_texts"):
        for wrong in ("x", "cQ", "ä", "cQ=="):
            refused(call("GET", path, query={"cursor": wrong}), 400, "invalid-cursor")


def test_a_page_examines_a_bounded_number_of_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(9):
        note("sample_texts", f"key {number}")
    hold("sample_texts", "key 8")
    pages, cursor = [], None
    while True:
        query = {"limit": "1"} | ({"cursor": cursor} if cursor else {})
        page = got("/queues/sample_texts", query=query)
        pages.append(list(uses(page)))
        cursor = page["keys_cursor"]
        if cursor is None:
            break
    assert pages == [[], [], ["key 8"]]


def test_a_key_is_shown_in_which_jobs_wait_and_none_runs(worker: FakeLambda) -> None:
    call("PUT", "/queues/sample_campaigns", body={"rate": {"count": 1, "seconds": 3600}})
    for _ in range(2):
        dispatched("sample_campaigns", payload={"text": "c"})
    worker.deliver()  # the first is done at once, and the second waits for the rate
    catch_up()
    assert uses(got("/queues/sample_campaigns")) == {"acme:c": (0, 1)}


def test_what_is_no_queue_is_not_listed() -> None:
    call("PUT", "/paused/job_type/sample_once")
    call("PUT", "/queues/of_once", body={"slots": 2})
    call("DELETE", "/queues/of_once")
    names = [each["name"] for each in got("/queues")["queues"]]
    assert "default" in names
    assert not {"sample_once", "of_once"} & set(names)


def test_a_key_that_is_always_shown_is_on_the_first_page_alone() -> None:
    for key in ("a", "b"):
        note("sample_slots", key)
        hold("sample_slots", key)
    first = got("/queues/sample_slots", query={"limit": "1"})
    assert list(uses(first)) == ["*", "a"]  # it counts for none
    second = got("/queues/sample_slots", query={"cursor": first["keys_cursor"]})
    assert list(uses(second)) == ["b"]


def hold(queue_name: str, key: str, organization_id: str = "acme") -> None:
    """Have a job hold the first slot of a line."""
    slot = LineItem(lines.partition_key_of(queue_name, key), "slot#001")
    whose = LineItem.organization_id.set(organization_id)
    slot.update([LineItem.holder.set("1" * 32), whose])


def test_counts_stop(monkeypatch: pytest.MonkeyPatch, worker: FakeLambda) -> None:
    monkeypatch.setattr(waiting, "MAX_COUNTED", 2)
    ids = [dispatched("sample_slots") for _ in range(5)]

    def look() -> Any:
        return got("/queues/sample_slots")["keys"], [got(f"/jobs/{each}/place") for each in ids]

    (key,), places = while_one_runs(worker, look)
    assert (key["waiting"], key["more_waiting"]) == (2, True)
    ahead = [(each["ahead"], each["more_ahead"]) for each in places]
    assert ahead == [(None, False), (0, False), (1, False), (2, False), (2, True)]


# --- a job's place in line ------------------------------------------------------------------------

# Only a job that waits in its function has some.
NO_TIMES = {"since": None, "until": None, "names": None}
NOWHERE = {
    "waits_for": None,
    "ahead": None,
    "more_ahead": False,
    "of_organization": False,
    "questions": None,
}


def test_a_waiting_job_has_a_place_in_its_line(worker: FakeLambda) -> None:
    ids = [dispatched("sample_slots") for _ in range(3)]
    place = while_one_runs(worker, lambda: got(f"/jobs/{ids[2]}/place"))
    assert place == {
        "waits_for": {"kind": "line", "name": "sample_slots", "key": "*"} | NO_TIMES,
        "ahead": 1,
        "more_ahead": False,
        "of_organization": False,
        "questions": None,
    }
    assert got(f"/jobs/{ids[2]}/place") == NOWHERE


def test_a_job_that_waits_for_what_only_newer_code_knows_has_no_place(worker: FakeLambda) -> None:
    job_id = dispatched("sample_slots")
    JobRequest(id=job_id).update(
        [JobRequest.status.set(Status.WAITING), JobRequest.held_by.set("newer#of some name")]
    )
    assert got(f"/jobs/{job_id}")["waits_for"] is None
    assert got(f"/jobs/{job_id}/place") == NOWHERE


@pytest.mark.parametrize("role", ["viewer", "reader"])
def test_a_job_that_does_not_wait_has_no_place_for_anybody(
    worker: FakeLambda, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    job_id = dispatched("sample_texts", payload={"text": "account 42"})
    monkeypatch.setenv("ACCESS_MODE", "jwt")
    forget()
    claims = {"sub": "u", "roles": role, "organization_id": "acme"}
    assert got(f"/jobs/{job_id}/place", claims=claims) == NOWHERE
    key = None if role == "viewer" else "account 42"
    assert got(f"/jobs/{job_id}", claims=claims)["concurrency_key"] == key


def test_where_organisations_take_turns_the_place_is_among_its_own(worker: FakeLambda) -> None:
    first = dispatched("sample_fair", "big")
    crowd = [dispatched("sample_fair", "big") for _ in range(3)]
    other = dispatched("sample_fair", "small")
    places = while_one_runs(
        worker, lambda: [got(f"/jobs/{each}/place") for each in (first, crowd[2], other)]
    )
    assert [each["ahead"] for each in places] == [None, 2, 0]
    assert [each["of_organization"] for each in places] == [False, True, True]


def test_where_organizations_take_turns_the_next_is_not_shown_as_the_oldest(
    worker: FakeLambda,
) -> None:
    for whose in ("big", "big", "small"):
        dispatched("sample_fair", whose)
    (key,) = while_one_runs(worker, lambda: got("/queues/sample_fair"))["keys"]
    assert (key["waiting"], key["oldest_waiting_id"]) == (2, None)


@pytest.mark.parametrize("held_by", ["a line", "a pause"])
def test_a_caller_of_one_organization_counts_none_of_others_ahead(
    worker: FakeLambda, monkeypatch: pytest.MonkeyPatch, held_by: str
) -> None:
    if held_by == "a pause":
        call("PUT", "/paused/queue/sample_slots")
    ids = [dispatched("sample_slots", whose) for whose in ("small", "big", "small", "big", "small")]

    def look() -> Any:
        service = got(f"/jobs/{ids[4]}/place")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ACCESS_MODE", "jwt")
            forget()
            claims = {"sub": "u", "roles": "operator", "organization_id": "small"}
            own = got(f"/jobs/{ids[4]}/place", claims=claims)
        forget()
        return service, own

    if held_by == "a pause":
        worker.deliver()
        catch_up()
        service, own = look()
    else:
        service, own = while_one_runs(worker, look)
    of_both, of_own = (4, 2) if held_by == "a pause" else (3, 1)
    assert (service["ahead"], service["of_organization"]) == (of_both, False)
    assert (own["ahead"], own["more_ahead"], own["of_organization"]) == (of_own, False, True)


def test_a_paused_job_has_a_place_among_those_that_wait_for_the_same(worker: FakeLambda) -> None:
    call("PUT", "/paused/queue/default")
    ids = [dispatched("default") for _ in range(3)]
    worker.deliver()
    catch_up()
    place = got(f"/jobs/{ids[2]}/place")
    assert place["waits_for"] == {"kind": "queue", "name": "default", "key": None} | NO_TIMES
    assert (place["ahead"], place["more_ahead"]) == (2, False)
    assert got("/queues/default")["paused"]["waiting"] == 3


# --- what each caller sees ------------------------------------------------------------------------


@pytest.fixture
def crowded(worker: FakeLambda, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Return what an organisation sees of queues that "big" and "small" use."""

    def seen_by(organization_id: str, role: str = "reader") -> Any:
        claims = {"sub": "u", "roles": role, "organization_id": organization_id}

        def look() -> Any:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("ACCESS_MODE", "jwt")
                forget()
                found = got("/queues", query={"limit": "100"}, claims=claims)["queues"]
            forget()
            return {each["name"]: each for each in found}

        for name in ("sample_slots", "sample_fair"):
            for whose in ("big", "big", "small", "big"):
                dispatched(name, whose)
        for name in ("sample_organizations", "sample_campaigns", "sample_texts"):
            for whose in ("big", "big", "small", "small"):
                dispatched(name, whose, payload={"text": f"about {whose}"})
        call("PUT", "/paused/queue/of-others")
        call("PUT", "/queues/of-others", body={"slots": 2})
        call("PUT", "/paused/queue/webhooks")
        call("PUT", "/queues/webhooks", body={"slots": 2})
        return while_all_run(worker, look, 8)

    return seen_by


def while_all_run(worker: FakeLambda, look: Callable[[], Any], number: int) -> Any:
    """Deliver what was sent, and look while so many jobs run at once."""
    seen: list[Any] = []

    def run(job: RunningJob, payload: Sample) -> None:
        if not seen:
            worker.deliver()
        if not seen:
            catch_up()
            seen.append(look())

    script.job = run
    worker.deliver()
    return seen[0]


def test_a_caller_of_one_organisation_sees_its_own_alone(
    crowded: Callable[[str], Any],
) -> None:
    found = crowded("small")
    assert uses(found["sample_slots"]) == {"*": (0, 1)}
    assert uses(found["sample_fair"]) == {"*": (0, 1)}
    whole = [found[name]["keys"][0] for name in ("sample_slots", "sample_fair")]
    assert [key["oldest_waiting_id"] for key in whole] == [None, None]
    assert uses(found["sample_organizations"]) == {"small": (1, 1)}
    assert uses(found["sample_campaigns"]) == {"small:about small": (1, 1)}
    assert uses(found["sample_texts"]) == {"about small": (1, 1)}
    assert "of-others" not in found
    assert found["webhooks"]["limits"]["slots"] == 2
    assert found["webhooks"]["changed_by"] == "service"
    assert found["webhooks"]["paused"]["paused_by"] == "service"
    assert found["webhooks"]["paused"]["waiting"] is None
    assert "big" not in json.dumps(found)


def test_a_viewer_sees_no_key_that_is_of_a_payload(crowded: Callable[..., Any]) -> None:
    found = crowded("small", "viewer")
    assert uses(found["sample_organizations"]) == {"small": (1, 1)}
    for name in ("sample_campaigns", "sample_texts"):
        assert (found[name]["keys"], found[name]["keys_cursor"]) == ([], None)
    assert "about" not in json.dumps(found)


def test_nor_the_keys_of_before_per_was_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    note("sample_slots", "*about small", "small")
    hold("sample_slots", "*about small", "small")
    monkeypatch.setenv("ACCESS_MODE", "jwt")
    forget()
    seen = {}
    for role in ("viewer", "reader"):
        claims = {"sub": "u", "roles": role, "organization_id": "small"}
        seen[role] = uses(got("/queues/sample_slots", claims=claims))
    assert seen == {"viewer": {"*": (0, 0)}, "reader": {"*": (0, 0), "*about small": (1, 0)}}


@pytest.mark.parametrize(
    ("queue_name", "key", "to_viewers"),
    [
        ("sample_slots", "*", "*"),
        ("sample_organizations", "acme", "acme"),
        ("sample_campaigns", "acme:account 42", None),
        ("sample_texts", "account 42", None),
    ],
)
def test_a_viewer_is_not_told_by_what_of_its_payload_a_job_waits(
    worker: FakeLambda, queue_name: str, key: str, to_viewers: str | None
) -> None:
    payload = {"text": "account 42"}
    ids = [dispatched(queue_name, payload=payload) for _ in range(2)]

    def look() -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ACCESS_MODE", "jwt")
            forget()
            claims = {"sub": "u", "organization_id": "acme"}
            seen = {}
            for role in ("viewer", "reader"):
                paths = (f"/jobs/{ids[1]}", f"/jobs/{ids[1]}/place")
                found = [got(path, claims=claims | {"roles": role}) for path in paths]
                seen[role] = [each["waits_for"] for each in found]
                ahead[role] = found[1]["ahead"]
        forget()
        return seen

    line = {"kind": "line", "name": queue_name} | NO_TIMES
    ahead: dict[str, int | None] = {}
    assert while_one_runs(worker, look) == {
        "reader": [{**line, "key": key}] * 2,
        "viewer": [{**line, "key": to_viewers}] * 2,
    }
    # A count would tell which jobs have the same value.
    assert ahead == {"reader": 0, "viewer": None if to_viewers is None else 0}


def test_and_so_does_the_other(crowded: Callable[[str], Any]) -> None:
    found = crowded("big")
    assert uses(found["sample_slots"]) == {"*": (1, 2)}
    assert uses(found["sample_fair"]) == {"*": (1, 2)}
    assert uses(found["sample_organizations"]) == {"big": (1, 1)}
    assert uses(found["sample_campaigns"]) == {"big:about big": (1, 1)}
    assert uses(found["sample_texts"]) == {"about big": (1, 1)}
    assert "small" not in json.dumps(found)


def test_an_organisations_keys_are_found_among_those_of_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(50):
        note("sample_campaigns", f"big:{number:02d}")
    note("sample_campaigns", "small:c", "small")
    hold("sample_campaigns", "small:c", "small")
    monkeypatch.setenv("ACCESS_MODE", "jwt")
    forget()
    claims = {"sub": "u", "roles": "reader", "organization_id": "small"}
    found = got("/queues/sample_campaigns", query={"limit": "1"}, claims=claims)
    assert (uses(found), found["keys_cursor"]) == ({"small:c": (1, 0)}, None)


def test_no_key_of_others_is_looked_at_where_each_organisation_has_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for key in ("big", "large", "small", "tiny"):
        note("sample_organizations", key)
    monkeypatch.setenv("ACCESS_MODE", "jwt")
    forget()
    claims = {"sub": "u", "roles": "reader", "organization_id": "small"}
    found = got("/queues/sample_organizations", query={"limit": "1"}, claims=claims)
    assert (uses(found), found["keys_cursor"]) == ({"small": (0, 0)}, None)


def keys_as_seen_by(organization_id: str) -> list[Any]:
    """Return all pages of a queue's keys as a reader of an organization gets them."""
    claims = {"sub": "u", "roles": "reader", "organization_id": organization_id}
    query, pages = {"limit": "1"}, []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCESS_MODE", "jwt")
        forget()
        while True:
            pages.append(got("/queues/sample_texts", query=query, claims=claims))
            if pages[-1]["keys_cursor"] is None:
                break
            query["cursor"] = pages[-1]["keys_cursor"]
    forget()
    return pages


def test_no_page_or_cursor_depends_on_keys_of_others(worker: FakeLambda) -> None:
    def run(organization_id: str, *texts: str) -> None:
        for text in texts:
            dispatched("sample_texts", organization_id, payload={"text": text})
        worker.deliver()

    run("small", "about big 05, said small", "about small", "shared")
    for key in ("about big 05, said small", "shared"):
        hold("sample_texts", key, "small")
    before = keys_as_seen_by("small")
    run("big", "shared", *(f"about big {number:02d}" for number in range(11)))
    assert keys_as_seen_by("small") == before
    assert [list(uses(page)) for page in before] == [["about big 05, said small"], ["shared"]]
    # A page looks at 4 keys.
    assert [uses(page) for page in keys_as_seen_by("big")] == [{}, {}, {"shared": (0, 1)}]


def test_a_cursor_asks_for_no_range_that_dynamodb_refuses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    last = cursors.encode("q", "\U0010ffff")
    too_long = cursors.encode("q", "\U0010ffff" * 65)
    paths = ("/queues/default", "/queues/sample_campaigns", "/queues/sample_texts")
    for claims in (None, {"sub": "u", "roles": "viewer", "organization_id": "small"}):
        monkeypatch.setenv("ACCESS_MODE", "jwt" if claims else "iam")
        forget()
        for path in paths:
            page = got(path, query={"cursor": last}, claims=claims)
            assert (page["keys"], page["keys_cursor"]) == ([], None)
            answer = call("GET", path, query={"cursor": too_long}, claims=claims)
            refused(answer, 400, "invalid-cursor")


def test_each_caller_is_told_whether_it_may_change_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCESS_MODE", "jwt")
    forget()
    path, limits = "/queues/sample_slots", {"slots": 2}
    told, may = {}, {}
    for role in ("viewer", "reader", "operator", "service"):
        claims = {"sub": "u", "roles": role, "organization_id": "small"}
        told[role] = got(path, claims=claims)["may_limit"]
        may[role] = call("PUT", path, body=limits, claims=claims).status == 200
    assert told == may
    assert set(may.values()) == {True, False}


def test_to_a_caller_of_one_organisation_no_other_queue_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call("PUT", "/queues/of-others", body={"slots": 2})
    monkeypatch.setenv("ACCESS_MODE", "jwt")
    forget()
    claims = {"sub": "u", "roles": "viewer", "organization_id": "small"}
    details = [
        refused(call("GET", f"/queues/{name}", claims=claims), 404, "queue-not-found")
        for name in ("of-others", "nobodys")
    ]
    assert details[0].replace("of-others", "nobodys") == details[1]
    assert got("/queues/sample_slots", claims=claims)["limits"] == SLOTS_1


def test_many_others_in_a_fair_queue_do_not_hide_its_own(
    crowded: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "MAX_COUNTED", 1)  # of "big" two wait, and were there first
    (key,) = crowded("small")["sample_fair"]["keys"]
    assert (key["waiting"], key["more_waiting"]) == (1, False)


# --- what it costs --------------------------------------------------------------------------------


def test_the_list_reads_what_it_shows_and_scans_nothing(worker: FakeLambda) -> None:
    counted: Counter[str] = Counter()
    clients.client("dynamodb").meta.events.register(
        "before-call.*.*", lambda model, **_: counted.update([model.name])
    )
    for number in range(50):
        note("sample_texts", f"key {number:02d}")
    counted.clear()
    shown = len(got("/queues")["queues"])
    assert counted.keys() == {"Query"}
    # Changed limits and pauses; of each queue its keys and line, and 12 idle keys of one.
    assert counted["Query"] <= 2 + 2 * shown + 4 * queues.SHOWN_KEYS


def test_slots_of_a_queue_that_has_no_limits_any_more_are_shown_while_they_are_held(
    worker: FakeLambda,
) -> None:
    call("PUT", "/queues/nobodys", body={"slots": 1})
    dispatched("nobodys")

    def look() -> Any:
        call("DELETE", "/queues/nobodys")
        return got("/queues/nobodys")

    found = while_one_runs(worker, look)
    assert (found["limits"], uses(found)) == (None, {"*": (1, 0)})
    assert uses(got("/queues/nobodys")) == {}
