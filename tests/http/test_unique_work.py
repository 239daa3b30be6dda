"""Work that is unique, over HTTP: what whoever asks again gets, and what is told of it."""

from datetime import datetime
from typing import Any

import pytest

from api_events import SIGNED_BY, Answer, Logged, call
from fake_lambda import FakeLambda
from job_runners.engine.control import positions
from job_runners.engine.registry.registry import registry
from job_runners.settings import settings
from job_runners.store import queries
from job_runners.store.transactions import RaceLost
from sample_work import script

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture(autouse=True)
def unique_types(worker: FakeLambda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,unique_sample")
    settings.cache_clear()  # and not the clients, whose calls the worker takes
    registry.cache_clear()


def ask(job_type: str, text: str = "", *, key: str | None = None, **more: Any) -> Answer:
    body = {"job_type": job_type, "organization_id": "acme", "payload": {"text": text}} | more
    headers = {"idempotency-key": key} if key else {}
    return call("POST", "/jobs", body=body, headers=headers)


def moment(iso: str) -> datetime:
    return datetime.fromisoformat(iso)


def outcome(answer: Answer) -> str | None:
    return answer.headers.get("unique-outcome")


def test_a_second_request_is_answered_with_the_job_there_is() -> None:
    first, second = ask("unique_return"), ask("unique_return")
    assert (first.status, second.status) == (202, 202)
    assert (outcome(first), outcome(second)) == (None, "returned")
    assert second.json["id"] == first.json["id"]
    assert second.headers["location"] == f"/jobs/{first.json['id']}"
    assert "idempotent-replayed" not in second.headers


def test_the_log_tells_which_request_made_a_job_and_which_was_answered_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logged = Logged(monkeypatch)
    job_id = ask("unique_return").json["id"]
    ask("unique_return")
    (made,), (answered,) = logged.lines("accepted"), logged.lines("answered with an existing job")
    assert (made["job_id"], answered["job_id"], answered["outcome"]) == (job_id, job_id, "returned")
    for line in (made, answered):
        assert (line["caller"], line["role"]) == (SIGNED_BY["userArn"], "service")


def test_one_that_has_not_begun_takes_the_new_payload() -> None:
    first, second = ask("unique_replace", "old"), ask("unique_replace", "new")
    assert outcome(second) == "replaced"
    assert call("GET", f"/jobs/{first.json['id']}").json["payload"] == {"text": "new"}


def test_the_answer_has_the_time_that_holds_where_the_rule_puts_it_off_no_further() -> None:
    first = ask("unique_replace", delay=60)  # which may be put off 600 s
    for delay, put_off in ((300, 300 - 60), (3600, 600), (86_400, 600)):
        again = ask("unique_replace", delay=delay)
        assert (again.json["id"], again.json["status"]) == (first.json["id"], "scheduled")
        assert again.json["run_at"] == call("GET", f"/jobs/{first.json['id']}").json["run_at"]
        seconds = (moment(again.json["run_at"]) - moment(first.json["run_at"])).total_seconds()
        assert put_off <= seconds < put_off + 30


def test_a_rule_that_refuses_is_409_and_names_the_job() -> None:
    first, refused, other = (ask("unique_refuse", text) for text in ("a", "a", "b"))
    assert refused.status == 409
    assert refused.json["type"].endswith("unique-conflict")
    assert first.json["id"] in refused.json["detail"]
    assert refused.json["job_id"] == first.json["id"]
    assert other.status == 202


def test_a_key_that_was_used_for_another_request_names_its_job() -> None:
    first = ask("unique_return", "1", key="k")
    refused = ask("unique_return", "2", key="k")
    assert refused.json["type"].endswith("idempotency-conflict")
    assert refused.json["job_id"] == first.json["id"]


def test_other_refusals_name_no_job() -> None:
    assert "job_id" not in ask("unique_refuse").json | ask("no_such_job").json


def test_a_schedule_that_is_run_now_is_answered_as_a_dispatch_is() -> None:
    whose = {"organization_id": "acme"}
    body = {"job_type": "unique_return", "every": 3600}
    assert call("PUT", "/schedules/lots", query=whose, body=body).status == 201
    found = []
    for key in (None, None, "k", "k"):
        headers = {"idempotency-key": key} if key else {}
        found.append(call("POST", "/schedules/lots/run", query=whose, headers=headers))
    assert len({each.json["id"] for each in found}) == 1
    assert [outcome(each) for each in found] == [None, *["returned"] * 3]
    replayed = [each.headers.get("idempotent-replayed") for each in found]
    assert replayed == [None, None, None, "true"]  # only with the key was it asked for before


def test_a_viewer_is_not_told_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"/jobs/{ask('unique_return').json['id']}"
    monkeypatch.setenv("ACCESS_MODE", "jwt")
    settings.cache_clear()
    token = {"sub": "u", "organization_id": "acme"}
    seen = {
        role: call("GET", path, claims=token | {"roles": role}).json
        for role in ("viewer", "reader")
    }
    assert seen["viewer"]["unique_key"] is None
    assert "Viewers don't see the unique_key." in seen["viewer"]["notes"]
    assert len(seen["reader"]["unique_key"]) == 32
    assert seen["reader"]["notes"] == []


def test_one_that_follows_says_which_job_it_waits_for(worker: FakeLambda) -> None:
    first = ask("unique_follow", "first")
    found: list[Answer] = []

    def meanwhile(job: object, payload: object) -> None:
        if not found:
            found.append(ask("unique_follow", "second"))
            assert found[0].json["waits_for"] == {
                "kind": "job",
                "name": first.json["id"],
                "key": None,
                "since": None,
                "until": None,
                "names": None,
            }
            place = call("GET", f"/jobs/{found[0].json['id']}/place").json
            assert place["ahead"] == 0
            row = queries.read(found[0].json["id"])
            assert row is not None
            assert not positions.place_of(row, "acme").of_organization

    script.job = meanwhile
    worker.deliver()
    assert outcome(found[0]) == "follows"
    for answer in (first, found[0]):
        job = call("GET", f"/jobs/{answer.json['id']}").json
        assert (job["status"], job["unique_key"]) == ("succeeded", None)


def test_the_same_request_again_has_the_same_answer(worker: FakeLambda) -> None:
    first = ask("unique_return")
    met = ask("unique_return", key="k")
    worker.deliver()
    again = ask("unique_return", key="k")
    assert again.json["id"] == met.json["id"] == first.json["id"]
    assert (outcome(again), again.headers["idempotent-replayed"]) == ("returned", "true")
    listed = call("GET", "/jobs", query="organization_id=acme&idempotency_key=k").json["jobs"]
    assert [job["id"] for job in listed] == [first.json["id"]]


def test_a_manual_retry_is_refused_while_another_has_its_place() -> None:
    first = ask("unique_return")
    assert call("POST", f"/jobs/{first.json['id']}/cancel").status == 200
    second = ask("unique_return")
    refused = call("POST", f"/jobs/{first.json['id']}/retry")
    assert (refused.status, refused.json["job_id"]) == (409, second.json["id"])


def test_the_job_types_tell_their_rules() -> None:
    jobs = {job["name"]: job for job in call("GET", "/job-types").json["jobs"]}
    assert jobs["sample_once"]["unique"] is None
    assert jobs["unique_replace"]["unique"] == {
        "by": ["lot"],
        "until": "finished",
        "on_conflict": "replace",
        "at_most": 600,
        "then": None,
    }


def test_a_request_of_old_is_answered_with_its_job_while_another_runs(worker: FakeLambda) -> None:
    first = ask("unique_follow", "1", key="k")
    worker.deliver()
    answers: list[Answer] = []
    script.job = lambda job, payload: answers.append(ask("unique_follow", "1", key="k"))
    ask("unique_follow", "2")
    worker.deliver()
    (again,) = answers
    assert (again.status, again.json["id"]) == (202, first.json["id"])
    assert (outcome(again), again.headers["idempotent-replayed"]) == (None, "true")


def test_a_request_that_others_overtake_each_time_is_409(monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(*_: object) -> None:
        raise RaceLost

    ask("unique_follow", "1")
    monkeypatch.setattr("job_runners.store.transitions.replacing.replace", lose)
    answer = ask("unique_follow", "2")
    assert (answer.status, answer.json["type"]) == (409, "urn:job-runners:moved-meanwhile")
