"""The code of the day reads, runs and ends what each version has stored and sent.

tests/support/record_release.py writes tests/released/. No test changes what is in there.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

import record_limits
from api_events import call
from job_runners.aws import bucket, clients
from job_runners.engine.control import caller_actions
from job_runners.engine.lines import pausing
from job_runners.engine.registry.registry import registry
from job_runners.engine.running.failure_records import handle_record
from job_runners.engine.wire.messages import TaskMessage, decode, encode
from job_runners.handlers import timer as timer_handler
from job_runners.runners import get_job_runner
from job_runners.runners.base import JobData
from job_runners.store import blobs, pauses, queries
from job_runners.store.job_request import JobRequest
from job_runners.store.pauses import Kind
from job_runners.testing.lambda_context import Context
from released_code import RECORDED, RELEASED
from replayed import Release, name_of, replayed


@pytest.fixture(params=RECORDED)
def release(request: pytest.FixtureRequest) -> Iterator[Release]:
    with replayed(RELEASED / request.param) as found:
        yield found


def test_a_recorded_row_is_read_as_what_it_was(release: Release) -> None:
    assert len(release.items) > 30
    for item in release.items:
        answer = call("GET", f"/jobs/{item['id']['S']}")
        assert answer.status == 200
        assert answer.json["status"] == item["status"]["S"]
        assert answer.json["job_type"] == item["job_type"]["S"]
        assert answer.json["payload"] is not None
    query = {"organization_id": "acme", "limit": "100"}
    page = call("GET", "/jobs", query=query).json
    rest = call("GET", "/jobs", query=query | {"cursor": page["cursor"]}).json
    listed = [*page["jobs"], *rest["jobs"]]
    organizations = [item["organization_id"]["S"] for item in release.items]
    assert len(listed) == organizations.count("acme")
    failed = call("GET", "/jobs", query={"organization_id": "acme", "status": "failed"}).json
    assert {job["error"]["kind"] for job in failed["jobs"]} == {"ValueError", "DoNotRetry"}
    large = call("GET", f"/jobs/{release.row('succeeded_large').id}").json
    assert len(large["result"]["large"]) == 40_000


def test_a_recorded_message_is_read_and_says_what_it_said(release: Release) -> None:
    for recorded in release.read("messages"):
        event = json.loads(recorded["body"])
        assert json.loads(encode(decode(event))).items() >= event.items()
        if event["kind"] == "task":
            registry().task_payload(event["name"], event["payload"])


def test_every_recorded_job_comes_to_its_end(release: Release) -> None:
    release.sent += release.recorded_messages("job", None)
    release.sent += release.recorded_messages("queue", None)
    release.deliver()
    release.pass_time(70, every=5)
    expected = {
        "canceled": {
            *("canceled", "waiting_canceled", "running_canceled"),
            *("line_canceled", "counted_canceled", "by_ada", "group_canceled", "stopped"),
        },
        # Nobody knows how far an untagged job came whose worker is gone.
        "failed": {
            *("failed", "failed_large", "running_once", "running_record_once", "killed_by_exit"),
            "waiting_signal",  # in vain
        },
        "waiting": {"waiting_queue", "waiting_type", "held"},
        "scheduled": {"post_webhook"},
        # Held too: its type was paused.
        "held": {"queued_once", "scheduled"},
    }
    known = {name: status for status, names in expected.items() for name in names}
    for name in {name_of(item) for item in release.items}:
        status = known.get(name, "succeeded").replace("held", "waiting")
        assert (name, str(release.row(name).status)) == (name, status)
    assert result(release.row("between_invocations"))["counted"] == 3
    assert result(release.row("queued_large"))["first"] == "first"
    assert result(release.row("many_invocations"))["counted"] == 8
    assert result(release.row("asking")) == {"by": "nobody", "value": None}
    assert result(release.row("answered")) == {"by": "consent", "value": "yes"}
    assert result(release.row("timed_out")) == {"approved": False}
    assert bucket.get_bytes(result(release.row("filing"))["file"]) == b"first,second"
    ended = ["existing", "failed", "failed", "deleted", "succeeded"]
    assert result(release.row("gathering_mixed")) == {"gathered": ended}
    ended = ["existing", "failed", "failed", "succeeded", "canceled"]
    assert result(release.row("gathering_stopped")) == {"gathered": ended}
    assert release.row("running").attempt == 2
    error = release.row("running_once").error
    assert error is not None
    assert error["kind"] == "Interrupted"


# What a failure record does to its job.
TRIED_AGAIN = {
    *("running", "running_record", "killed_by_memory", "unique_running", "gathering_stopped"),
}
FAILED = {"running_once", "running_record_once", "killed_by_exit"}
CANCELED = {"running_canceled"}
# Their rows show that the work has gone on, or the record shows that it never began.
LEFT_ALONE = {"given_back", "stopped", "held", "never_invoked", "rescued"}


def test_a_recorded_failure_record_settles_its_job_alone(release: Release) -> None:
    records = release.read("failure_records")
    before: dict[str, Any] = {
        item["id"]["S"]: queries.read(item["id"]["S"]) for item in release.items
    }
    for record in records.values():
        handle_record(record, release.send)
    events = {name: record["requestPayload"] for name, record in records.items()}
    jobs = {name: event["id"] for name, event in events.items() if event["kind"] == "job"}
    assert jobs.keys() == TRIED_AGAIN | FAILED | CANCELED | LEFT_ALONE
    for name, job_id in jobs.items():
        row = queries.read(job_id)
        assert row is not None
        if name in LEFT_ALONE:
            assert (name, row.serialize()) == (name, before[job_id].serialize())
            continue
        status = "retryable" if name in TRIED_AGAIN else "failed" if name in FAILED else "canceled"
        assert (name, str(row.status)) == (name, status)
        assert row.error is not None
        assert row.error["kind"] == "Interrupted"
        text = records[name]["responsePayload"]["errorMessage"]
        assert text in row.error["message"]
    assert "signal: killed" in records["killed_by_memory"]["responsePayload"]["errorMessage"]
    assert records["never_invoked"]["requestContext"]["condition"] == "EventAgeExceeded"


def test_a_recorded_failure_record_sends_its_task_or_wake_up_again(release: Release) -> None:
    for name, record in release.read("failure_records").items():
        if record["requestPayload"]["kind"] != "job":
            release.sent.clear()
            handle_record(record, release.send)
            ((message, delay),) = release.sent
            sent = json.loads(encode(message))
            # A task that never began isn't counted as an attempt, but a deploy may have to finish.
            attempts = {"task 2": 2, "task 3": 2, "task 4": 1}
            if isinstance(message, TaskMessage):
                assert message.attempt == attempts.pop(name)
                sent["attempt"] = 1
            assert sent == record["requestPayload"]
            assert (delay == 60) == (name in ("queue", "task 4"))


def test_a_recorded_message_that_waited_is_sent_on(
    release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = [each["body"] for each in release.read("messages") if each["delay"]]
    records = [{"messageId": str(n), "body": body} for n, body in enumerate(waited)]
    monkeypatch.setattr("job_runners.runners.sender", lambda: release.send)
    answer: Any = timer_handler.handler({"Records": records}, Context())  # type: ignore[arg-type]
    assert answer == {"batchItemFailures": []}
    assert [json.loads(encode(message)) for message, _ in release.sent] == list(
        map(json.loads, waited)
    )


def test_the_same_request_is_the_recorded_job(release: Release) -> None:
    asked: dict[str, Any] = {"job_type": "released_count", "organization_id": "acme"}
    asked |= {"payload": {"to": 1}, "idempotency_key": "spring 2026"}
    assert get_job_runner().dispatch_job(JobData(**asked)).row.id == release.row("idempotent").id
    body = {name: value for name, value in asked.items() if name != "idempotency_key"}
    headers = {"content-type": "application/json", "idempotency-key": "spring 2026"}
    answer = call("POST", "/jobs", body=body | {"payload": {"to": 2}}, headers=headers)
    assert answer.status == 409


def test_what_is_recorded_as_paused_is_listed_and_resumed(release: Release) -> None:
    listed = call("GET", "/paused").text
    assert "released_queue" in listed
    assert "released_once" in listed
    for kind, name in ((Kind.QUEUE, "released_queue"), (Kind.JOB_TYPE, "released_once")):
        assert pauses.current(fresh=True).find(kind, name)
        pausing.resume(kind, name, release.send)
    release.deliver()
    release.pass_time(2)
    for name in ("waiting_queue", "waiting_type", "waiting_resumed"):
        assert release.row(name).status == "succeeded"
    assert release.row("waiting_canceled").status == "canceled"


def test_a_recorded_job_is_done_again_and_deleted(release: Release) -> None:
    caller_actions.retry_again(release.row("failed_large"), release.send)
    release.deliver()
    assert release.row("failed_large").status == "failed"  # by the payload that it still has
    for name in ("succeeded_large", "failed_large", "canceled"):
        caller_actions.delete(release.row(name))
        assert all(row.job_type == "released_child" for row in release.rows(name))
    gone = [key for key in release.read("objects") if not _is_there(key)]
    assert any(key.startswith("results/acme/") for key in gone)
    assert any(key.startswith("payloads/") for key in gone)
    assert not any(key.startswith("uploads/") for key in gone)


# --- limits, quotas, failed tasks, unique work, schedules and traces ------------------------------


def test_a_recorded_line_goes_on_within_its_limits(release: Release) -> None:
    listed = {each["name"]: each for each in call("GET", "/queues").json["queues"]}
    assert listed["released_fair"]["limits"]["slots"] == 2  # as it was changed
    holders = {"line_running": 1, "fair_running": 1, "fair_admitted": 2, "invocations_in_line": 1}
    assert {name: release.row(name).slot for name in holders} == holders
    release.sent += release.recorded_messages("queue", None)
    release.pass_time(1)
    assert release.row("line_waiting").status == "waiting"  # its line has one slot
    release.pass_time(25, every=5)
    lines = [
        item for item in release.stored("COORDINATION_TABLE_NAME") if "slot#" in item["sk"]["S"]
    ]
    assert len(lines) >= 4
    assert not any("holder" in item for item in lines)
    for name in (
        "line_running",
        "line_waiting",
        "fair_running",
        "fair_waiting",
        "invocations_in_line",
    ):
        assert release.row(name).status == "succeeded"
    assert result(release.row("in_turns")) == {"counted": 2}


def test_what_a_recorded_quota_counts_is_counted_until_it_ends(release: Release) -> None:
    assert queries.count_unfinished("acme", 100) == 2
    release.pass_time(15, every=5)
    assert queries.count_unfinished("acme", 100) == 0


def test_a_recorded_failed_task_is_listed_and_begins_once_more(release: Release) -> None:
    listed = call("GET", "/tasks/failed").json["tasks"]
    assert {each["task_name"] for each in listed} == {"released_failing"}
    assert len(listed) == 2
    release.sent += release.recorded_messages("task", "released_failing") * 2
    release.deliver()
    assert (
        len(call("GET", "/tasks/failed").json["tasks"]) == 2
    )  # the other one, and its new failure


def test_recorded_work_that_is_unique_stays_the_only_one(release: Release) -> None:
    asked = JobData(job_type="released_unique", organization_id="acme", payload={"to": 1})
    assert get_job_runner().dispatch_job(asked).row.id == release.row("unique_queued").id
    release.pass_time(1)
    assert release.row("unique_follows").status == "waiting"  # another has the key
    release.pass_time(30, every=5)
    assert result(release.row("unique_put_off")) == {"to": 2}
    for name in ("unique_running", "unique_follows", "unique_again", "unique_queued"):
        assert release.row(name).status == "succeeded"
    assert get_job_runner().dispatch_job(asked).row.id != release.row("unique_queued").id


def test_a_recorded_schedule_goes_on_and_a_paused_one_does_not(release: Release) -> None:
    listed = [*_schedules("acme"), *_schedules("full")]
    paused = {each["name"] for each in listed if each["paused_at"]}
    assert {each["name"] for each in listed} - paused == {
        *("hourly", "declared", "skips", "queues", "given_up", "refused"),
    }
    assert paused == {"paused"}
    known = {item["id"]["S"] for item in release.items}
    release.pass_time(150, every=30)
    started = [
        item
        for item in release.stored("JOBS_TABLE_NAME")
        if item["id"]["S"] not in known and "parent_id" not in item and "follow_up_of" not in item
    ]
    # The hourly one twice. One had waited for its job, and the quota had refused one.
    assert sorted(item["created_by"]["S"] for item in started) == [
        f"schedule:{name}" for name in ("hourly", "hourly", "queues", "refused")
    ]
    after = {each["name"]: each for each in (*_schedules("acme"), *_schedules("full"))}
    assert (after["skips"]["skipped"], after["given_up"]["failed"]) == (1, 1)


def _schedules(organization_id: str) -> list[Any]:
    found: list[Any] = call("GET", "/schedules", query={"organization_id": organization_id}).json[
        "schedules"
    ]
    return found


def test_a_recorded_trace_goes_on(release: Release) -> None:
    trace_id = record_limits.TRACEPARENT.split("-")[1]
    assert trace_id in str(release.row("traced").traceparent)
    messages = [decode(json.loads(each["body"])) for each in release.read("messages")]
    carried = [each for each in messages if trace_id in str(getattr(each, "traceparent", None))]
    assert [type(each).__name__ for each in carried] == ["JobMessage", "TaskMessage"]


def result(row: JobRequest) -> Any:
    """Return what a job returned."""
    assert row.status == "succeeded"
    return blobs.get(row.result, row.result_key)


def _is_there(key: str) -> bool:
    found = clients.client("s3").list_objects_v2(Bucket=bucket.name(), Prefix=key)
    return bool(found["KeyCount"])
