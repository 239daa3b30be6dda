"""What callers do with a job that is there: cancel it, have it done again, delete it."""

import random
from typing import Any

import pytest

import job_rows
from api_events import Answer, call
from fake_lambda import FakeLambda
from job_runners import clock
from job_runners.aws import bucket, clients
from job_runners.store import pauses, queries, transitions
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.pauses import Kind
from job_runners.store.transitions import Checkpoint
from job_runners.testing import moto_direct
from sample_work import script

pytestmark = pytest.mark.usefixtures("worker")

LARGE = {"text": random.Random(0).randbytes(20_000).hex()}
NOBODYS = "0" * 32


def dispatched(job_type: str = "sample_once", **fields: Any) -> str:
    """Return the id of a new job."""
    answer = call("POST", "/jobs", body={"job_type": job_type, **fields})
    assert answer.status == 202, answer.text
    job_id: str = answer.json["id"]
    return job_id


def running(**fields: Any) -> JobRequest:
    return job_rows.claimed(row_of(dispatched(**fields)), clock.now() + clock.MINUTE)


def ended(status: Status, **fields: Any) -> str:
    """Return the id of a job that is finished like this."""
    row = running(**fields)
    transitions.checkpoint(row, Checkpoint({"at": 3}, 30, "three of ten"))
    if status is Status.SUCCEEDED:
        transitions.succeed(row, {"number": 1})
    elif status is Status.FAILED:
        transitions.fail(row, {"kind": "ValueError", "message": "no luck"})
    else:
        call("POST", f"/jobs/{row.id}/cancel")
        transitions.stop(row)
    assert row_of(row.id).status is status
    return row.id


def waiting(status: Status) -> str:
    """Return the id of a job that nobody works on."""
    if status is Status.SCHEDULED:
        return dispatched(delay=100)
    if status is Status.QUEUED:
        return dispatched()
    if status is Status.RETRYABLE:
        now = clock.now()
        row = running(job_type="sample_again")
        return transitions.retry(row, {"kind": "E"}, run_at=now + 9000, due_at=now + 9000).after.id
    return transitions.hold(
        row_of(dispatched()), pauses.pause(Kind.QUEUE, "default"), due_at=clock.now() + clock.HOUR
    ).after.id


def problem(answer: Answer, status: int, slug: str, detail: str = "") -> None:
    assert answer.status == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["type"] == f"urn:job-runners:{slug}"
    assert detail in answer.json["detail"]


def row_of(job_id: str) -> JobRequest:
    row = queries.read(job_id)
    assert row is not None
    return row


# --- cancel ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "status", [Status.SCHEDULED, Status.WAITING, Status.QUEUED, Status.RETRYABLE]
)
def test_a_job_that_nobody_works_on_is_canceled_at_once(status: Status, worker: FakeLambda) -> None:
    job_id = waiting(status)
    assert call("GET", f"/jobs/{job_id}").json["status"] == str(status)
    answer = call("POST", f"/jobs/{job_id}/cancel")
    assert (answer.status, answer.json["status"]) == (200, "canceled")
    assert answer.json["finished_at"] is not None
    assert "retry-after" not in answer.headers
    assert answer.json["waiting_since"] is None
    worker.deliver()
    assert script.jobs_run == []


def test_a_running_job_is_asked_to_stop_and_says_so(worker: FakeLambda) -> None:
    job_id = running().id
    assert call("GET", f"/jobs/{job_id}").json["cancel_requested"] is False
    answer = call("POST", f"/jobs/{job_id}/cancel")
    assert (answer.status, answer.json["status"]) == (202, "running")
    assert answer.json["cancel_requested"] is True
    assert int(answer.headers["retry-after"]) >= 1
    assert call("GET", f"/jobs/{job_id}").json["cancel_requested"] is True
    assert call("POST", f"/jobs/{job_id}/cancel").status == 202


def test_a_running_job_stops_at_its_checkpoint(worker: FakeLambda) -> None:
    def work(job: Any, payload: object) -> None:
        assert call("POST", f"/jobs/{job.id}/cancel").status == 202
        job.checkpoint("here", progress=40)
        raise AssertionError("it went on")

    script.job = work
    job_id = dispatched()
    worker.deliver()
    job = call("GET", f"/jobs/{job_id}").json
    assert (job["status"], job["progress"], job["error"]) == ("canceled", 40, None)


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.FAILED])
def test_a_job_that_has_ended_is_not_canceled(status: Status) -> None:
    job_id = ended(status)
    answer = call("POST", f"/jobs/{job_id}/cancel")
    problem(answer, 409, "wrong-state", f"is {status}. Only a job that has not ended")
    assert row_of(job_id).status is status


def test_canceling_what_is_canceled_is_no_error() -> None:
    job_id = dispatched()
    for _ in range(2):
        assert call("POST", f"/jobs/{job_id}/cancel").json["status"] == "canceled"
    assert call("POST", f"/jobs/{job_id}/cancel").status == 200


# --- retry ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELED])
@pytest.mark.parametrize("raw", [None, "", " \n", "{}", '{"payload": null}', b"", b"{}"])
def test_a_job_is_done_again_from_where_it_was(
    worker: FakeLambda, status: Status, raw: str | bytes | None
) -> None:
    job_id = ended(status)
    worker.events.clear()
    cursors: list[Any] = []
    script.job = lambda job, payload: cursors.append(job.cursor)
    answer = call("POST", f"/jobs/{job_id}/retry", raw=raw)
    assert answer.status == 202
    assert int(answer.headers["retry-after"]) >= 1
    assert (answer.json["status"], answer.json["attempt"], answer.json["invocations"]) == (
        "queued",
        1,
        0,
    )
    assert answer.json["error"] is None
    assert answer.json["cancel_requested"] is False
    assert worker.deliver() == 1
    assert cursors == [{"at": 3}]


def test_a_job_done_again_with_another_payload_begins_anew(worker: FakeLambda) -> None:
    job_id = ended(Status.FAILED, payload={"number": 1})
    worker.events.clear()
    seen: list[Any] = []
    script.job = lambda job, payload: seen.append((job.cursor, payload.number))
    answer = call("POST", f"/jobs/{job_id}/retry", body={"payload": {"number": 2}})
    assert (answer.status, answer.json["progress"]) == (202, 0)
    worker.deliver()
    assert seen == [(None, 2)]
    assert call("GET", f"/jobs/{job_id}").json["payload"] == {"number": 2}


def test_a_job_done_again_with_the_payload_it_had_goes_on(worker: FakeLambda) -> None:
    job_id = ended(Status.FAILED, payload={"number": 1, "text": "a"})
    worker.events.clear()
    cursors: list[Any] = []
    script.job = lambda job, payload: cursors.append(job.cursor)
    call("POST", f"/jobs/{job_id}/retry", body={"payload": {"text": "a", "number": 1}})
    worker.deliver()
    assert cursors == [{"at": 3}]


def test_a_large_payload_takes_the_place_of_a_small_one_and_back(worker: FakeLambda) -> None:
    job_id = ended(Status.FAILED, payload={"number": 1})
    for payload in (LARGE, {"number": 2}):
        script.job = lambda job, payload: 1 / 0
        assert call("POST", f"/jobs/{job_id}/retry", body={"payload": payload}).status == 202
        worker.deliver()
        job = call("GET", f"/jobs/{job_id}").json
        assert (job["status"], job["payload"]) == ("failed", payload)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"payload": {"number": "many"}}, "payload.number"),
        ({"payload": {"other": 1}}, "payload.other"),
        ({"payload": []}, "payload"),
        ({"payload": "text"}, "payload"),
        ({"number": 2}, "number"),
        ({"payload": {}, "organization_id": "acme"}, "organization_id"),
    ],
)
def test_a_retry_with_wrong_fields_changes_nothing(body: Any, field: str) -> None:
    job_id = ended(Status.FAILED)
    before = row_of(job_id).attribute_values
    answer = call("POST", f"/jobs/{job_id}/retry", body=body)
    assert answer.status == 422, answer.text
    assert [each["field"] for each in answer.json["errors"]] == [field]
    assert row_of(job_id).attribute_values == before


@pytest.mark.parametrize(
    ("raw", "status", "detail"),
    [
        ("{", 400, "isn't JSON"),
        ("[]", 400, "must be a JSON object"),
        ("null", 400, "must be a JSON object"),
        (b"\xff", 400, "isn't UTF-8"),
        ('{"payload": {"number": NaN}}', 400, "NaN, which isn't JSON, at $.payload.number"),
        ('{"payload": {"number": ' + "1" * 5000 + "}}", 400, "more than 128 characters"),
        ('{"payload": {"text": "a\\u0000"}}', 400, "NUL"),
        ('{"payload": {"text": "\\ud800"}}', 400, "half a surrogate pair"),
        ('{"payload": {}, "payload": {}}', 400, "'payload' twice"),
        ('{"payload":' * 100 + "1" + "}" * 100, 400, "more than 64 levels deep"),
        ('{"payload": {"text": "' + "x" * 2_700_000 + '"}}', 413, "The limit is 2,621,440"),
    ],
)
def test_a_retry_with_a_body_that_can_not_be_taken_changes_nothing(
    raw: str | bytes, status: int, detail: str
) -> None:
    job_id = ended(Status.FAILED)
    before = row_of(job_id).attribute_values
    answer = call("POST", f"/jobs/{job_id}/retry", raw=raw)
    assert answer.status == status
    assert detail in answer.json["detail"]
    assert row_of(job_id).attribute_values == before


def test_a_form_is_no_body_of_a_retry() -> None:
    job_id = ended(Status.FAILED)
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = call("POST", f"/jobs/{job_id}/retry", raw="payload=1", headers=headers)
    problem(answer, 415, "form-body")


@pytest.mark.parametrize("status", [Status.QUEUED, Status.SCHEDULED, Status.WAITING])
def test_a_job_that_has_not_ended_is_not_done_again(status: Status) -> None:
    answer = call("POST", f"/jobs/{waiting(status)}/retry")
    problem(answer, 409, "wrong-state", "Only a job that failed or was canceled")


def test_a_job_that_succeeded_is_not_done_again() -> None:
    answer = call("POST", f"/jobs/{ended(Status.SUCCEEDED)}/retry")
    problem(answer, 409, "wrong-state", "is succeeded")


def test_a_job_whose_payload_is_gone_needs_another(worker: FakeLambda) -> None:
    job_id = ended(Status.FAILED, payload=LARGE)
    bucket.delete_all(f"payloads/{row_of(job_id).created_key}")
    answer = call("POST", f"/jobs/{job_id}/retry")
    problem(answer, 409, "payload-gone", "Retry the job with a payload")
    assert "payloads/" not in answer.text
    assert row_of(job_id).status is Status.FAILED
    assert call("POST", f"/jobs/{job_id}/retry", body={"payload": LARGE}).status == 202


def test_of_two_edited_retries_at_once_one_is_told_that_the_job_moved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = row_of(ended(Status.FAILED))
    assert call("POST", f"/jobs/{seen.id}/retry", body={"payload": {"number": 2}}).status == 202
    monkeypatch.setattr("job_runners.api.routes.jobs.queries.read", lambda job_id: seen)
    answer = call("POST", f"/jobs/{seen.id}/retry", body={"payload": {"number": 3}})
    problem(answer, 409, "moved-meanwhile", "Fetch the job and retry")


def test_a_retry_that_can_not_be_sent_is_accepted_all_the_same(worker: FakeLambda) -> None:
    job_id = ended(Status.FAILED)
    worker.refuse = 429
    assert call("POST", f"/jobs/{job_id}/retry").status == 202
    assert row_of(job_id).due_at is not None


# --- delete ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.FAILED, Status.CANCELED])
def test_a_finished_job_is_deleted(status: Status) -> None:
    job_id = ended(status)
    answer = call("DELETE", f"/jobs/{job_id}")
    assert (answer.status, answer.text) == (204, "")
    assert call("GET", f"/jobs/{job_id}").status == 404
    assert call("DELETE", f"/jobs/{job_id}").status == 404


def test_a_deleted_job_leaves_no_object_and_no_step(worker: FakeLambda) -> None:
    script.job = lambda job, payload: [job.step(str(n), lambda: LARGE) for n in range(30)]
    other = dispatched(payload=LARGE)
    job_id = dispatched(payload=LARGE)
    worker.deliver()
    assert call("GET", f"/jobs/{job_id}").json["status"] == "succeeded"
    assert call("DELETE", f"/jobs/{job_id}").status == 204
    objects = clients.client("s3").list_objects_v2(Bucket="bucket")["Contents"]
    assert not [each["Key"] for each in objects if job_id in each["Key"]]
    assert [each["Key"] for each in objects if other in each["Key"]]
    rows = moto_direct.rows("coordination")
    assert not [each for each in rows if job_id in each["pk"]]
    assert len([each for each in rows if other in each["pk"]]) == 30


@pytest.mark.parametrize(
    "status", [Status.SCHEDULED, Status.WAITING, Status.QUEUED, Status.RETRYABLE]
)
def test_a_job_that_has_not_ended_is_not_deleted(status: Status) -> None:
    job_id = waiting(status)
    problem(call("DELETE", f"/jobs/{job_id}"), 409, "wrong-state", "cancel it first")
    assert row_of(job_id).status is status


def test_a_running_job_is_not_deleted() -> None:
    problem(call("DELETE", f"/jobs/{running().id}"), 409, "wrong-state", "cancel it first")


# --- which job ------------------------------------------------------------------------------------

VERBS = [("POST", "/cancel"), ("POST", "/retry"), ("DELETE", "")]


@pytest.mark.parametrize(("method", "verb"), VERBS)
@pytest.mark.parametrize("job_id", [NOBODYS, "x", "A" * 32, "é", "%2e%2e", "a%20b"])
def test_a_job_that_is_not_there_is_not_found(method: str, verb: str, job_id: str) -> None:
    problem(call(method, f"/jobs/{job_id}{verb}"), 404, "job-not-found")


@pytest.mark.parametrize(("method", "verb"), VERBS)
def test_an_expired_job_is_not_found(
    method: str, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = ended(Status.FAILED)
    later = clock.now() + 31 * clock.DAY
    monkeypatch.setattr(clock, "now", lambda: later)
    problem(call(method, f"/jobs/{job_id}{verb}"), 404, "job-not-found")


@pytest.mark.parametrize(("method", "verb"), VERBS[:2])
def test_a_job_that_is_deleted_meanwhile_is_not_found(
    method: str, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = row_of(ended(Status.FAILED) if verb == "/retry" else dispatched())
    clients.client("dynamodb").delete_item(TableName="jobs", Key={"id": {"S": seen.id}})
    monkeypatch.setattr("job_runners.api.routes.jobs.queries.read", lambda job_id: seen)
    problem(call(method, f"/jobs/{seen.id}{verb}"), 404, "job-not-found")
