"""Limits of queues that are changed over HTTP: what can be, what that does, how it is undone."""

from typing import Any
from urllib.parse import quote

import pytest

from api_events import Logged, call
from busy_queues import SLOTS_1, dispatched, got, refused, uses, while_one_runs
from fake_lambda import FakeLambda
from job_runners.engine.wire.sending import CANNOT_SEND
from job_runners.store import limits

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Logged:
    return Logged(monkeypatch)


def test_a_queue_is_limited_and_has_the_codes_limits_again(
    worker: FakeLambda, logged: Logged
) -> None:
    body = {"slots": 3, "rate": {"count": 30, "seconds": 60}, "max_waiting": 5}
    answer = call("PUT", "/queues/sample_campaigns", body=body)
    rate = {"count": 30, "seconds": 60, "burst": 1}
    words = "3 slots, 30 starts per 60 s, per organization_id and text, at most 5 waiting"
    per = "organization_id, text"
    in_force = {**body, "rate": rate, "per": per, "order": "fifo", "words": words}
    assert (answer.status, answer.json["limits"]) == (200, in_force)
    assert answer.json["declared_limits"] == {
        **SLOTS_1,
        "per": per,
        "words": "1 slot, per organization_id and text, at most 10,000 waiting",
    }
    assert answer.json["changed_by"] == "service:user/campaign-service"
    found = got("/queues/sample_campaigns")
    assert {name: found[name] for name in answer.json} == answer.json
    (line,) = logged.lines("limits changed")
    assert (line["queue_name"], line["slots"]) == ("sample_campaigns", 3)
    assert line["rate"] == "30/60s, burst 1"
    assert line["caller"].endswith("campaign-service")
    for _ in range(2):  # the second does nothing
        answer = call("DELETE", "/queues/sample_campaigns")
        assert (answer.status, answer.text) == (204, "")
    found = got("/queues/sample_campaigns")
    assert found["limits"] == found["declared_limits"]
    assert (found["changed_at"], found["changed_by"]) == (None, None)
    (line,) = logged.lines("limits reset")
    assert line["caller"].endswith("campaign-service")


def test_limits_that_nobody_has_changed_stay_so(worker: FakeLambda) -> None:
    assert call("DELETE", "/queues/sample_slots").status == 204
    assert not limits.current(fresh=True)


def test_what_is_not_given_is_the_codes(worker: FakeLambda) -> None:
    call("PUT", "/queues/sample_slots", body={"slots": 3, "max_waiting": 5})
    changed = call("PUT", "/queues/sample_slots", body={"rate": {"count": 9}}).json
    rate = {"count": 9, "seconds": 1, "burst": 1}
    assert changed["limits"] == {
        **SLOTS_1,
        "rate": rate,
        "words": "1 slot, 9 starts per 1 s, at most 10,000 waiting",
    }


@pytest.mark.parametrize("name", ["nobody's", "a b%", 'say "hi"', "x" * 128])
def test_a_queue_that_nobody_declares_can_be_limited(worker: FakeLambda, name: str) -> None:
    path = f"/queues/{quote(name, safe='')}"
    assert call("PUT", path, body={"slots": 1}).json["name"] == name
    ids = [dispatched(name) for _ in range(2)]
    queue, second = while_one_runs(worker, lambda: (got(path), got(f"/jobs/{ids[1]}")["status"]))
    assert (uses(queue), second) == ({"*": (1, 1)}, "waiting")
    assert queue["declared_limits"] is None
    assert name in [each["name"] for each in got("/queues", query={"limit": "100"})["queues"]]
    assert call("DELETE", path).status == 204
    assert got(path)["limits"] is None


def test_a_raised_number_admits_who_waits(worker: FakeLambda) -> None:
    """At once, those of the first keys; the timer's sweep sees to the others."""
    ids = [dispatched("sample_slots") for _ in range(4)]

    def look() -> list[str]:
        call("PUT", "/queues/sample_slots", body={"slots": 3})
        assert limits.current(fresh=True)["sample_slots"].sweep_from == ""
        return [got(f"/jobs/{each}")["status"] for each in ids]

    assert while_one_runs(worker, look) == ["running", "queued", "queued", "waiting"]


def test_limits_that_are_reset_admit_who_waits(worker: FakeLambda) -> None:
    call("PUT", "/queues/nobodys", body={"slots": 1})
    ids = [dispatched("nobodys") for _ in range(3)]

    def look() -> list[str]:
        call("DELETE", "/queues/nobodys")
        return [got(f"/jobs/{each}")["status"] for each in ids]

    assert while_one_runs(worker, look) == ["running", "queued", "queued"]


BOTH = {"slots": 2, "rate": {"count": 2, "burst": 2}}
RATE = {"rate": {"count": 2}}


@pytest.mark.parametrize(
    ("before", "after", "wider"),
    [
        ({"slots": 3}, {"slots": 2}, False),
        (BOTH, {"slots": 2, "rate": {"count": 2}}, False),
        (BOTH, {"slots": 2, "rate": {"count": 1, "burst": 2}}, False),
        (RATE, {"rate": {"count": 1}}, False),
        (RATE, {"slots": 2, **RATE}, False),
        ({"slots": 2}, {"slots": 2, **RATE}, False),
        ({"slots": 2}, {"slots": 3}, True),
        (RATE, {"rate": {"count": 3}}, True),
        (RATE, {"rate": {"count": 2, "burst": 2}}, True),
        (BOTH, {"slots": 2}, True),
        (BOTH, {"rate": {"count": 2, "burst": 2}}, True),
    ],
)
def test_wider_limits_ask_for_a_sweep_and_narrower_ones_for_none(
    before: dict[str, Any], after: dict[str, Any], wider: bool
) -> None:
    for body in (before, after):
        assert call("PUT", "/queues/nobodys", body=body).status == 200
    assert (limits.current(fresh=True)["nobodys"].sweep_from == "") == wider


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "slots"),
        ({"slots": None, "rate": None}, "slots"),
        ({"slots": 0}, "slots"),
        ({"slots": 101}, "slots"),
        ({"slots": 1.5}, "slots"),
        ({"rate": {}}, "rate.count"),
        ({"rate": {"count": 1, "seconds": 0}}, "rate.seconds"),
        ({"rate": {"count": 1, "seconds": 1e-200}}, "rate.seconds"),
        ({"rate": {"count": 1, "seconds": 90_000}}, "rate.seconds"),
        ({"rate": "30/60s"}, "rate"),
        ({"max_waiting": 0}, "max_waiting"),
        ({"slots": 1, "order": "fair"}, "order"),
    ],
)
def test_limits_that_can_not_be_are_refused(body: dict[str, Any], field: str) -> None:
    answer = call("PUT", "/queues/default", body=body)
    refused(answer, 422, "invalid-request")
    assert [each["field"] for each in answer.json["errors"]] == [field]
    assert not limits.current(fresh=True)


def test_a_bound_alone_limits_no_queue_that_is_not_declared() -> None:
    answer = call("PUT", "/queues/default", body={"max_waiting": 5})
    assert "Set slots, a rate or both" in refused(answer, 422, "nothing-limited")
    assert call("PUT", "/queues/sample_slots", body={"max_waiting": 5}).status == 200


@pytest.mark.parametrize("name", ["x" * 129, "a%23b", "%0A"])
def test_a_name_that_no_queue_can_have_is_refused(name: str) -> None:
    for method, body in (("PUT", {"slots": 1}), ("DELETE", None)):
        answer = call(method, f"/queues/{name}", body=body)
        refused(answer, 422, "invalid-request")
        assert [each["field"] for each in answer.json["errors"]] == ["name"]
    refused(call("GET", f"/queues/{name}"), 404, "queue-not-found")


def test_more_changed_limits_than_there_may_be_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CHANGED", 1)
    limits.ask_for_sweep("swept")  # changes nothing
    assert call("PUT", "/queues/one", body={"slots": 1}).status == 200
    answer = call("PUT", "/queues/two", body={"slots": 1})
    assert "Reset some" in refused(answer, 409, "too-many-limited")
    assert call("PUT", "/queues/one", body={"slots": 2}).status == 200


def test_a_runner_that_can_not_admit_may_not_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("job_runners.runners.sender", lambda: CANNOT_SEND)
    for method, body in (("PUT", {"slots": 1}), ("DELETE", None)):
        assert "a runner with send()" in call(method, "/queues/default", body=body).json["detail"]
    assert not limits.current(fresh=True)
