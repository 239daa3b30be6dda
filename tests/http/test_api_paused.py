"""Pauses over HTTP: what can be paused, what that does, how it goes on."""

from urllib.parse import quote

import pytest

from api_events import call
from fake_lambda import FakeLambda
from job_runners.engine.lines import pausing
from job_runners.engine.wire.sending import CANNOT_SEND
from job_runners.store import pauses
from stale_reads import catch_up

pytestmark = pytest.mark.usefixtures("worker")


def paused() -> list[tuple[str, str]]:
    found = call("GET", "/paused").json["paused"]
    names = {"kind", "name", "paused_at", "paused_by"}
    names |= {"waiting", "more_waiting", "oldest_waiting_since", "oldest_queued_at"}
    assert all(each.keys() == names for each in found)
    return sorted((each["kind"], each["name"]) for each in found)


def dispatched(job_type: str = "sample_once", queue_name: str = "default") -> str:
    body = {"job_type": job_type, "queue_name": queue_name}
    job_id: str = call("POST", "/jobs", body=body).json["id"]
    return job_id


def status(job_id: str) -> str:
    shown: str = call("GET", f"/jobs/{job_id}").json["status"]
    return shown


@pytest.mark.parametrize(("kind", "name"), [("job_type", "sample_once"), ("queue", "default")])
def test_what_is_paused_waits_and_goes_on_when_it_is_resumed(
    worker: FakeLambda, kind: str, name: str
) -> None:
    answer = call("PUT", f"/paused/{kind}/{name}")
    assert answer.status == 200
    assert (answer.json["kind"], answer.json["name"]) == (kind, name)
    assert answer.json["paused_at"].endswith("Z")
    assert paused() == [(kind, name)]
    held, other = dispatched(), dispatched("sample_again", "other")
    worker.deliver()
    assert (status(held), status(other)) == ("waiting", "succeeded")
    found = call("GET", f"/jobs/{held}").json
    assert found["waits_for"] == {"kind": kind, "name": name, "key": None} | NO_TIMES
    catch_up()
    (pause,) = call("GET", "/paused").json["paused"]
    assert (pause["waiting"], pause["more_waiting"]) == (1, False)
    assert pause["oldest_waiting_since"] == found["waiting_since"]
    answer = call("DELETE", f"/paused/{kind}/{name}")
    assert (answer.status, answer.text) == (204, "")
    assert paused() == []
    worker.deliver()
    found = call("GET", f"/jobs/{held}").json
    assert (found["status"], found["waits_for"]) == ("succeeded", None)


def test_pausing_twice_is_pausing_once() -> None:
    first, second = (call("PUT", "/paused/queue/default").json for _ in range(2))
    assert first == second
    assert len(paused()) == 1


def test_resuming_what_is_not_paused_is_no_error() -> None:
    assert call("DELETE", "/paused/queue/default").status == 204
    assert call("DELETE", "/paused/job_type/no_longer_there").status == 204
    assert not pauses.current(fresh=True).all


# Only a job that waits in its function has some.
NO_TIMES = {"since": None, "until": None, "names": None}
NAMES = [
    "Mütter & Söhne", "a b", "a+b", "100%", "what?", 'say "hi"', "emoji \U0001f600", "a–b",
    "[x]{y}|^~`\\", "x" * 128, "a=b;c,d:e@f",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_queue_of_any_name_can_be_paused(worker: FakeLambda, name: str) -> None:
    path = f"/paused/queue/{quote(name, safe='')}"
    assert call("PUT", path).json["name"] == name
    assert paused() == [("queue", name)]
    job_id = dispatched(queue_name=name)
    worker.deliver()
    assert status(job_id) == "waiting"
    assert call("DELETE", path).status == 204
    assert paused() == []


def test_an_unknown_job_type_is_refused_with_the_nearest() -> None:
    answer = call("PUT", "/paused/job_type/sample_onse")
    assert answer.status == 422
    assert answer.json["type"] == "urn:job-runners:unknown-job-type"
    assert "Did you mean 'sample_once'?" in answer.json["detail"]
    assert paused() == []


@pytest.mark.parametrize("name", ["x" * 129, "%23", "a%23b", "%0A", "a%00"])
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_name_that_no_queue_can_have_is_refused(method: str, name: str) -> None:
    answer = call(method, f"/paused/queue/{name}")
    assert answer.status == 422, answer.text
    assert [each["field"] for each in answer.json["errors"]] == ["name"]
    assert paused() == []


@pytest.mark.parametrize(
    "path", ["/paused/jobs/x", "/paused/QUEUE/default", "/paused/queue", "/paused/queue/a/b"]
)
def test_a_kind_that_there_is_not_is_not_found(path: str) -> None:
    assert call("PUT", path).status == 404
    assert paused() == []


def test_a_runner_that_can_not_admit_again_may_not_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("job_runners.runners.sender", lambda: CANNOT_SEND)
    for method in ("PUT", "DELETE"):
        answer = call(method, "/paused/job_type/sample_once")
        assert answer.status == 409
        assert "a runner with send()" in answer.json["detail"]
    assert paused() == []


def test_a_worker_that_can_not_be_reached_leaves_a_resume_to_the_timer(worker: FakeLambda) -> None:
    call("PUT", "/paused/queue/default")
    job_id = dispatched()
    worker.deliver()
    worker.refuse = 429
    assert call("DELETE", "/paused/queue/default").status == 204
    assert status(job_id) == "queued"


def test_a_pause_more_than_there_may_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pausing, "_MAX_PAUSES", 1)
    assert call("PUT", "/paused/queue/one").status == 200
    answer = call("PUT", "/paused/queue/two")
    assert (answer.status, answer.json["type"]) == (409, "urn:job-runners:too-many-paused")
