"""Who did what, in the rows and in the log; and what is hidden from whom."""

from typing import Any

import pytest

from api_events import SIGNED_BY, Answer, Logged, call
from bench import Bench
from job_runners import clock
from job_runners.engine.control import caller_actions
from job_runners.settings import forget
from job_runners.store import blobs, transitions
from job_runners.store.job_request import Status
from sample_work import script

OURS = {"organization_id": "ours", "roles": "operator", "sub": "user-1"}
ARN = str(SIGNED_BY["userArn"])


@pytest.fixture(autouse=True)
def on_a_bench(bench: Bench) -> None:
    """Jobs are saved, and run when told to."""


@pytest.fixture
def tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCESS_MODE", "jwt")
    forget()


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Logged:
    return Logged(monkeypatch)


def as_role(role: str, method: str, path: str, **parts: Any) -> Answer:
    claims = {**OURS, "roles": role, "sub": f"{role}-1"}
    return call(method, path, claims=claims, **parts)


def dispatched(role: str = "operator", **fields: Any) -> str:
    body = {"job_type": "sample_again", "organization_id": "ours", **fields}
    answer = as_role(role, "POST", "/jobs", body=body)
    assert answer.status == 202, answer.text
    job_id: str = answer.json["id"]
    return job_id


# --- the row --------------------------------------------------------------------------------------


def test_a_row_keeps_who_created_it_canceled_it_and_had_it_done_again(
    tokens: None, bench: Bench
) -> None:
    job_id = dispatched()
    as_role("service", "POST", f"/jobs/{job_id}/cancel")
    as_role("operator", "POST", f"/jobs/{job_id}/cancel")  # changes nothing
    row = bench.read(job_id)
    assert (row.created_by, row.canceled_by) == ("operator:operator-1", "service:service-1")
    as_role("operator", "POST", f"/jobs/{job_id}/retry")
    row = bench.read(job_id)
    assert (row.created_by, row.canceled_by) == ("operator:operator-1", None)
    assert row.requeued_by == "operator:operator-1"


def test_a_running_job_keeps_who_first_asked_it_to_stop(tokens: None, bench: Bench) -> None:
    row = bench.claim(bench.read(dispatched()))
    as_role("operator", "POST", f"/jobs/{row.id}/cancel")
    as_role("service", "POST", f"/jobs/{row.id}/cancel")
    assert bench.read(row).canceled_by == "operator:operator-1"
    assert transitions.stop(row).after.canceled_by == "operator:operator-1"


def test_of_a_signature_the_row_keeps_what_the_arn_says_beside_the_account(bench: Bench) -> None:
    job_id = call("POST", "/jobs", body={"job_type": "sample_once"}).json["id"]
    assert bench.read(job_id).created_by == "service:user/campaign-service"


def test_a_name_of_any_length_costs_a_row_no_more_than_80_characters(
    tokens: None, bench: Bench
) -> None:
    body = {"job_type": "sample_once"}
    answer = call("POST", "/jobs", body=body, claims={**OURS, "sub": "é" * 5000})
    assert bench.read(answer.json["id"]).created_by == "operator:" + "é" * 80


@pytest.mark.parametrize(
    ("claims", "kept"),
    [
        ({"sub": "auth0|a:b:c:d:e:f:g"}, "auth0|a:b:c:d:e:f:g"),
        ({"sub": "a\x9b31m\u202eb\x1b"}, "a31mb"),
        ({"sub": None, "client_id": "nightly"}, "nightly"),
        ({"sub": None}, "unknown"),
    ],
)
def test_a_name_is_kept_as_it_is_but_for_what_steers_a_terminal(
    tokens: None, bench: Bench, claims: dict[str, Any], kept: str
) -> None:
    answer = call("POST", "/jobs", body={"job_type": "sample_once"}, claims={**OURS, **claims})
    assert bench.read(answer.json["id"]).created_by == f"operator:{kept}"


def test_a_child_has_the_author_of_its_parent(tokens: None, bench: Bench) -> None:
    children: list[str] = []
    script.job = lambda job, _: children.append(job.dispatch("sample_once", {}, key="k"))
    parent = bench.read(dispatched())
    bench.run(parent)
    assert bench.read(children[0]).created_by == "operator:operator-1"


def test_what_a_program_dispatches_itself_has_no_author(bench: Bench) -> None:
    assert bench.dispatch().created_by is None
    answer = call("GET", f"/jobs/{bench.dispatch().id}")
    assert answer.json["created_by"] is None


def test_who_paused_is_said(tokens: None) -> None:
    answer = as_role("service", "PUT", "/paused/queue/default")
    assert answer.json["paused_by"] == "service:service-1"
    assert as_role("reader", "GET", "/paused").json["paused"][0]["paused_by"] == "service"


# --- the log --------------------------------------------------------------------------------------


def test_the_line_of_every_accepted_write_says_who_in_which_role_and_for_whom(
    tokens: None, logged: Logged, bench: Bench
) -> None:
    job_id = dispatched()
    for method, path in (
        ("POST", f"/jobs/{job_id}/cancel"),
        ("POST", f"/jobs/{job_id}/retry"),
        ("POST", f"/jobs/{job_id}/cancel"),
        ("DELETE", f"/jobs/{job_id}"),
    ):
        assert as_role("operator", method, path).status < 300
    by_user = {"caller": "operator-1", "role": "operator", "organization_id": "ours"}
    for message, count in (("accepted", 1), ("cancel", 2), ("queued again", 1), ("deleted", 1)):
        lines = logged.lines(message)
        assert len(lines) == count, message
        assert all(line.items() >= by_user.items() for line in lines), message


def test_a_pause_a_resume_and_a_task_say_who_too(logged: Logged) -> None:
    call("PUT", "/paused/queue/default")
    call("DELETE", "/paused/queue/default")
    body = {"task_name": "sample_note", "payload": {}}
    assert call("POST", "/tasks", body=body).status == 202
    for message in ("paused", "resuming", "task accepted"):
        (line,) = logged.lines(message)
        assert (line["caller"], line["role"]) == (ARN, "service"), message


def test_the_access_log_says_who_asked_also_of_what_was_refused(
    tokens: None, logged: Logged
) -> None:
    as_role("reader", "GET", "/jobs")
    as_role("reader", "POST", "/jobs", body={"job_type": "sample_once"})
    call("GET", "/jobs", claims={})
    call("GET", "/health")
    lines = logged.lines("answered")
    assert [line["status"] for line in lines] == [200, 403, 403, 200]
    who = {"caller": "reader-1", "role": "reader", "organization_id": "ours"}
    assert all(line.items() >= who.items() for line in lines[:2])
    assert all("caller" not in line for line in lines[2:])


def test_the_lines_of_the_worker_are_about_the_job_and_not_about_a_caller(
    tokens: None, logged: Logged, bench: Bench
) -> None:
    bench.run(bench.read(dispatched()))
    (line,) = logged.lines("claimed")
    assert "caller" not in line


# --- what is hidden -------------------------------------------------------------------------------


class Refused(Exception):
    """An error of the work's own code."""


@pytest.fixture
def failed(tokens: None, bench: Bench) -> str:
    """Return the id of a job of ours that failed twice."""

    def refuses(job: object, payload: object) -> None:
        raise Refused("no luck")

    script.job = refuses
    job_id = dispatched("service", job_type="sample_once", payload={"text": "s3cret"})
    row = bench.run(bench.read(job_id))
    assert bench.run(caller_actions.retry_again(row, bench.send)).status is Status.FAILED
    return job_id


@pytest.mark.parametrize("role", ["viewer", "reader"])
def test_a_tenants_reader_sees_no_traceback_and_no_name_of_ours(failed: str, role: str) -> None:
    answer = as_role(role, "GET", f"/jobs/{failed}")
    assert answer.json["error"] == {"kind": "Refused", "message": "no luck"}
    assert "Traceback" not in answer.text
    assert [each["module"] for each in answer.json["earlier_errors"]] == [None]
    assert answer.json["created_by"] == "service"
    clock.sleep(2)  # the list may lag behind
    listed = as_role(role, "GET", "/jobs")
    assert listed.json["jobs"][0]["created_by"] == "service"


@pytest.mark.parametrize("role", ["operator", "service"])
def test_who_fixes_it_sees_both(failed: str, role: str) -> None:
    job = as_role(role, "GET", f"/jobs/{failed}").json
    assert "Traceback" in job["error"]["traceback"]
    modules = [each["module"] for each in (*job["earlier_errors"], job["error"])]
    assert modules == [__name__, __name__]
    assert job["created_by"] == ("service:service-1" if role == "service" else "service")


def test_a_viewer_sees_how_jobs_fare_and_neither_payload_nor_result(
    failed: str, bench: Bench
) -> None:
    script.job = lambda job, payload: {"file": "results/ours/s3cret.csv", "sum": "s3cret"}
    done = dispatched(payload={"text": "s3cret"})
    row = bench.run(bench.read(done))
    assert blobs.get(row.result, row.result_key)["sum"] == "s3cret"
    for job_id in (failed, done):
        answer = as_role("viewer", "GET", f"/jobs/{job_id}")
        assert (answer.json["payload"], answer.json["result"]) == (None, None)
        assert "s3cret" not in answer.text
        assert answer.json["notes"] == ["Viewers don't see the payload and the result."]
    assert "s3cret" in as_role("reader", "GET", f"/jobs/{done}").text
    assert as_role("viewer", "GET", "/jobs").status == 200
    assert as_role("viewer", "POST", f"/jobs/{failed}/retry").status == 403
