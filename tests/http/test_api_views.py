"""A job as callers see it: what is shown, what stays inside, what it costs to look."""

from collections import Counter
from typing import Any

import pytest
from pydantic import BaseModel, model_validator

import sample_work
from api_events import call
from api_rows import claimed, saved, succeeded
from bench import Bench
from job_runners import clock
from job_runners.aws import clients
from job_runners.engine.registry.registry import registry
from job_runners.settings import forget
from job_runners.store import blobs, transitions
from job_runners.store.job_request import JobRequest, Lane, Status, due_shard, new_id, sort_key
from job_runners.testing.aws import ENVIRONMENT
from job_runners.work import Job, Member, RunningJob
from sample_work import script
from stale_reads import catch_up

pytestmark = pytest.mark.usefixtures("aws")


@pytest.fixture(autouse=True)
def samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work")
    script.reset()


@pytest.fixture
def calls(aws: None) -> Counter[str]:
    """Count every AWS request, by operation, from the moment a test clears it."""
    counted: Counter[str] = Counter()
    for service in ("dynamodb", "s3"):
        clients.client(service).meta.events.register(
            "before-call.*.*", lambda model, **_: counted.update([model.name])
        )
    return counted


def view(row: JobRequest) -> Any:
    answer = call("GET", f"/jobs/{row.id}")
    assert answer.status == 200, answer.text
    return answer.json


# --- what is shown --------------------------------------------------------------------------------

SHOWN = {
    "id", "job_type", "status", "cancel_requested", "progress", "result_message", "error",
    "organization_id", "queue_name", "concurrency_key", "attempt", "max_attempts", "invocations",
    "created_at", "queued_at", "run_at", "waiting_since", "waits_for", "attempt_started_at",
    "started_at", "finished_at", "updated_at", "expires_at", "request_id", "parent_id", "group",
    "created_by", "requeued_by", "canceled_by", "follow_up_of", "on_end", "on_failure",
}  # fmt: skip


def test_what_is_inside_is_not_shown() -> None:
    row = claimed()
    transitions.checkpoint(row, transitions.Checkpoint({"at": "s3cret"}, 40, "400 of 1,000"))
    text = call("GET", f"/jobs/{row.id}").text
    job = view(row)
    whole = {
        "payload",
        "result",
        "notes",
        "earlier_errors",
        "unique_key",
        "worker",
        "follow_ups",
    }
    assert job.keys() == SHOWN | whole
    assert (job["progress"], job["result_message"]) == (40, "400 of 1,000")
    for inside in (row.claim_token, "send_id", "due_", "s3cret", "lease", "cursor", "row_version"):
        assert f'"{inside}' not in text


def test_a_list_and_the_answer_to_a_dispatch_show_less() -> None:
    transitions.fail(claimed(), {"kind": "ValueError", "message": "no luck", "traceback": "line 1"})
    catch_up()
    [listed] = call("GET", "/jobs", query="organization_id=acme").json["jobs"]
    assert listed.keys() == SHOWN
    assert listed["error"] == {"kind": "ValueError", "message": "no luck"}
    assert call("POST", "/jobs", body={"job_type": "sample_once"}).json.keys() == SHOWN


def test_a_failed_job_shows_its_error_with_the_traceback() -> None:
    error = {"kind": "ValueError", "message": "half a pair: \ud800", "traceback": "line 1"}
    job = view(transitions.fail(claimed(), error).after)
    assert job["error"] == {**error, "message": "half a pair: ?"}
    assert job["result"] is None


def test_times_are_iso_8601_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: 1_795_521_600_123)
    job = view(succeeded({"n": 1}))
    assert job["created_at"] == job["finished_at"] == "2026-11-24T12:00:00.123Z"
    assert job["expires_at"] == "2026-12-24T12:00:00.000Z"
    assert job["run_at"] is None


# --- payload and result ---------------------------------------------------------------------------


def incompressible(size: int) -> str:
    return "".join(new_id() for _ in range(size // 32))


def test_what_is_large_comes_from_the_bucket() -> None:
    payload, result = {"text": incompressible(50_000)}, {"text": incompressible(50_000)}
    job = view(succeeded(result, payload=payload))
    assert (job["payload"], job["result"], job["notes"]) == (payload, result, [])


def test_what_is_gone_from_the_bucket_is_null_with_a_note() -> None:
    row = succeeded({"text": incompressible(50_000)})
    assert row.result_key is not None
    clients.client("s3").delete_object(Bucket=ENVIRONMENT["BUCKET_NAME"], Key=row.result_key)
    job = view(row)
    assert (job["status"], job["result"], job["payload"]) == ("succeeded", None, {"number": 1})
    assert job["notes"] == ["The result was deleted from the bucket."]


@pytest.mark.parametrize("text", ["x" * 6_000_000, '"' * 3_000_000, "\u0416" * 1_000_000])
def test_what_no_lambda_response_can_hold_is_null_with_a_note(text: str) -> None:
    job = view(succeeded({"text": text}))
    assert (job["result"], job["payload"]) == (None, {"number": 1})
    assert job["notes"] == ["The result is too large to show."]


def test_a_result_has_room_before_its_payload() -> None:
    large = {"text": "x" * 3_000_000}
    answer = call("GET", f"/jobs/{succeeded(large, payload=large).id}")
    assert answer.json["result"] == large
    assert answer.json["notes"] == ["The payload is too large to show."]
    assert len(answer.text) < 6_000_000


def test_a_result_nested_too_deep_to_be_json_again_is_null_with_a_note(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    row = succeeded({"n": 1})
    monkeypatch.setattr(blobs, "get", lambda packed, key: nested)
    assert view(row)["notes"] == [
        "The result is nested too deeply to show.",
        "The payload is nested too deeply to show.",
    ]


# --- polling --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "wait"), [(0, "1"), (9, "1"), (60, "6"), (600, "60"), (86_400, "60")]
)
def test_an_unfinished_job_says_when_to_ask_again(
    age: int, wait: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = saved()
    then = row.created_at + age * clock.SECOND
    monkeypatch.setattr(clock, "now", lambda: then)
    assert call("GET", f"/jobs/{row.id}").headers["retry-after"] == wait


def test_a_finished_job_does_not() -> None:
    assert "retry-after" not in call("GET", f"/jobs/{succeeded(None).id}").headers


# --- what looking costs ---------------------------------------------------------------------------


def test_reading_a_job_is_one_read(calls: Counter[str]) -> None:
    row = succeeded({"n": 1})
    calls.clear()
    assert view(row)["result"] == {"n": 1}
    assert calls == {"GetItem": 1}


@pytest.mark.parametrize("there", [25, 60])
def test_listing_the_newest_25_is_one_query_and_one_batch(calls: Counter[str], there: int) -> None:
    large = {"text": incompressible(20_000)}
    for number in range(there):
        saved(payload=large if number == there - 1 else None)
    calls.clear()
    catch_up()
    assert len(call("GET", "/jobs", query="organization_id=acme").json["jobs"]) == 25
    assert calls == {"Query": 1, "BatchGetItem": 1}


def test_listing_the_failed_ones_reads_no_others(calls: Counter[str]) -> None:
    for _ in range(3):
        saved()
    transitions.fail(claimed(), {"kind": "E", "message": "m", "traceback": ""})
    calls.clear()
    catch_up()
    query = "organization_id=acme&status=failed"
    [job] = call("GET", "/jobs", query=query).json["jobs"]
    assert job["status"] == "failed"
    assert calls == {"Query": 1, "BatchGetItem": 1}


def test_an_id_that_can_not_be_one_is_not_looked_up(calls: Counter[str]) -> None:
    calls.clear()
    for job_id in ("nope", "0" * 31, "0" * 33, "A" * 32, "0" * 31 + "\n", "%00"):
        assert call("GET", f"/jobs/{job_id}").status == 404
    assert calls == {}


def test_a_filtered_list_can_come_in_short_pages_with_a_cursor() -> None:
    wanted = saved()
    with JobRequest.batch_write() as batch:
        for _ in range(250):
            job_id, now = new_id(), clock.now() + 1
            batch.save(
                JobRequest(
                    id=job_id,
                    job_type="other",
                    queue_name="default",
                    organization_id="acme",
                    status=Status.QUEUED,
                    due_at=now,
                    due_shard=due_shard(job_id, Lane.QUEUED),
                    created_at=now,
                    created_key=sort_key(now, job_id),
                )
            )
    query = {"organization_id": "acme", "job_type": "sample_once"}
    catch_up()
    first = call("GET", "/jobs", query=query).json
    assert (first["jobs"], bool(first["cursor"])) == ([], True)
    second = call("GET", "/jobs", query={**query, "cursor": first["cursor"]}).json
    assert [job["id"] for job in second["jobs"]] == [wanted.id]
    assert second["cursor"] is None


# --- a job that waits for another version of the code ---------------------------------------------


class Stricter(BaseModel):
    """What a later version of the sample asks for."""

    member_list: str


class Picky(BaseModel):
    """Has a validator that fails in a way of its own."""

    @model_validator(mode="before")
    @classmethod
    def look(cls, given: Any) -> Any:
        raise KeyError(given)


def strict(job: RunningJob, payload: Stricter) -> None: ...


def picky(job: RunningJob, payload: Picky) -> None: ...


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (
            Job(strict),
            "The payload of sample_once doesn't match its model: payload.member_list: Field",
        ),
        (None, "No job is named 'sample_once'"),
        (Job("no.such_module:work"), "there is no module no"),
    ],
    ids=["model", "type", "module"],
)
def test_what_keeps_this_version_from_starting_a_job_is_a_note(
    monkeypatch: pytest.MonkeyPatch, now: Job | None, why: str
) -> None:
    rows = [
        saved(),
        saved(run_at=clock.now() + clock.HOUR),
        claimed(),
        succeeded({}),
    ]
    others = {name: job for name, job in sample_work.JOBS.items() if name != "sample_once"}
    monkeypatch.setattr(sample_work, "JOBS", others | ({} if now is None else {"sample_once": now}))
    registry.cache_clear()
    queued, scheduled, running, ended = (view(row)["notes"] for row in rows)
    assert queued == scheduled
    (note,) = queued
    assert note.startswith("Workers with this version of the code can't start the job. ")
    assert why in note
    assert running == ended == []


def test_a_payload_that_can_not_be_shown_is_not_held_against_its_model() -> None:
    row = saved(payload={"text": incompressible(50_000)})
    assert row.payload_key is not None
    clients.client("s3").delete_object(Bucket=ENVIRONMENT["BUCKET_NAME"], Key=row.payload_key)
    assert view(row)["notes"] == ["The payload was deleted from the bucket."]


def test_a_validator_that_fails_in_its_own_way_keeps_no_job_from_being_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = saved()
    monkeypatch.setattr(sample_work, "JOBS", sample_work.JOBS | {"sample_once": Job(picky)})
    registry.cache_clear()
    assert view(row)["notes"] == []


def test_one_who_sees_no_payload_is_told_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    row = saved()
    monkeypatch.setenv("ACCESS_MODE", "jwt")
    monkeypatch.setattr(sample_work, "JOBS", sample_work.JOBS | {"sample_once": Job(strict)})
    forget()
    registry.cache_clear()
    claims = {"sub": "u", "roles": "viewer", "organization_id": row.organization_id}
    answer = call("GET", f"/jobs/{row.id}", claims=claims)
    assert answer.json["notes"] == ["Viewers don't see the payload and the result."]


ADA = "ada@example.com"


def gathers(*keys: str) -> Any:
    return lambda job: job.gather("all", [Member("sample_once", key=each) for each in keys])


@pytest.mark.parametrize(
    ("work", "says"),
    [
        (gathers("bob", ADA, "eve", ADA), "Members 1 and 3 of the group, counted from 0, have"),
        (gathers("bob", ADA * 10), "The key of member 1, counted from 0, has 150 bytes."),
        (gathers("bob", ADA + "\udce9"), "The key of member 1, counted from 0, has a lone"),
        (lambda job: job.dispatch("sample_once", key=ADA * 99), "The key of the child has 1,485"),
    ],
    ids=["two members", "long", "not text", "child"],
)
def test_no_error_tells_a_viewer_a_key(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, work: Any, says: str
) -> None:
    script.job = lambda job, payload: work(job)
    row = bench.run(bench.dispatch("sample_once"))
    monkeypatch.setenv("ACCESS_MODE", "jwt")
    forget()
    claims = {"sub": "u", "roles": "viewer", "organization_id": row.organization_id}
    answer = call("GET", f"/jobs/{row.id}", claims=claims)
    assert answer.json["error"]["message"].startswith(says)
    assert ADA not in answer.text
