"""What earlier versions stored and sent is read, run and ended by the code of the day.

tests/support/record_release.py has written tests/released/; no test changes what is in there.
"""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

import clock
import record_release
from api_events import call
from aws import bucket, clients
from contacts_table import cells, rows_of, statuses, texters
from handlers import timer as timer_handler
from released_code import RELEASED, VERSIONS
from runners import execution, get_job_runner, owner_actions, pausing, timer
from runners.base import JobData
from runners.failure_records import settle
from runners.messages import Message, TaskMessage, decode, encode
from runners.registry import registry
from store import blobs, pauses, queries
from store.job_request import JobRequest, Status
from store.pauses import Kind
from testing import moto_uploads
from testing.aws import ENVIRONMENT
from testing.lambda_context import Context


class Release:
    """A stack as a version left it, now under the code of the day, on a clock that is moved."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.now = self.read("time")
        self.sent: list[tuple[Message, float]] = []

    def read(self, name: str) -> Any:
        """One of the recorded files."""
        return json.loads((self._folder / f"{name}.json").read_text())

    def restore(self) -> None:
        """Put the recorded items and objects where the stack keeps them."""
        for variable, items in self.read("tables").items():
            for item in items:
                clients.client("dynamodb").put_item(
                    TableName=ENVIRONMENT[variable], Item=_item(item)
                )
        for key, content in self.read("objects").items():
            bucket.put_bytes(key, base64.b64decode(content))
        moto_uploads.restore(bucket.name(), self.read("uploads"))

    def rows(self, name: str) -> list[JobRequest]:
        """Return the jobs that this was done with, its own first, then its children."""
        found = [queries.read(item["id"]["S"]) for item in self.items if _name(item) == name]
        rows = [row for row in found if row is not None]
        return sorted(rows, key=lambda row: row.job_type == "released_child")

    def row(self, name: str) -> JobRequest:
        """Return the one job that this was done with."""
        return self.rows(name)[0]

    @property
    def items(self) -> list[Any]:
        """The recorded rows of jobs, as DynamoDB's JSON has them."""
        items: list[Any] = self.read("tables")["JOBS_TABLE_NAME"]
        return items

    def recorded_messages(self, kind: str, name: str | None) -> list[tuple[Message, float]]:
        """Return the messages of a kind that were on their way, with their delays."""
        recorded = [(json.loads(each["body"]), each["delay"]) for each in self.read("messages")]
        return [
            (decode(event), delay)
            for event, delay in recorded
            if (event["kind"], event.get("name")) == (kind, name)
        ]

    def send(self, message: Message, delay: float = 0) -> None:
        """Keep what is sent."""
        self.sent.append((message, delay))

    def deliver(self) -> None:
        """Run what was sent, and what that sends, in the order of its time."""
        while self.sent:
            message, delay = self.sent.pop(0)
            self.now += int(delay * 1000)
            execution.run(message, deadline=self.now + 900_000, send=self.send)

    def pass_time(self, minutes: int) -> None:
        """Let the timer tick every minute, and everything that it sends run."""
        for _ in range(minutes):
            timer.tick(self.send, until=self.now + clock.MINUTE)
            self.deliver()
            self.now += clock.MINUTE


@pytest.fixture(params=VERSIONS)
def release(request: pytest.FixtureRequest) -> Iterator[Release]:
    found = Release(RELEASED / request.param)
    with (
        record_release.stack(lambda: found.now),
        moto_uploads.small_parts(),
        patch("tasks.send_first_message.sms.send"),
    ):
        found.restore()
        yield found


def test_a_recorded_row_is_read_as_what_it_was(release: Release) -> None:
    assert len(release.items) > 30
    for item in release.items:
        answer = call("GET", f"/jobs/{item['id']['S']}")
        assert answer.status == 200
        assert answer.json["status"] == item["status"]["S"]
        assert answer.json["job_type"] == item["job_type"]["S"]
        assert answer.json["payload"] is not None
    listed = call("GET", "/jobs", query={"organization_id": "acme", "limit": "100"}).json["jobs"]
    assert len(listed) == len(release.items) - 1
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
    release.deliver()
    release.pass_time(70)
    expected = {
        "cancelled": {"cancelled", "waiting_cancelled", "running_cancelled"},
        # Nobody knows how far an untagged job came whose worker is gone.
        "failed": {"failed", "failed_large", "running_once", "running_record_once"},
        "waiting": {"waiting_queue", "waiting_type"},
        # Parked too: its type was paused.
        "parked": {"queued_once", "scheduled"},
    }
    known = {name: status for status, names in expected.items() for name in names}
    for name in {_name(item) for item in release.items}:
        status = known.get(name, "succeeded").replace("parked", "waiting")
        assert (name, str(release.row(name).status)) == (name, status)
    assert result(release.row("between_legs"))["counted"] == 3
    assert result(release.row("queued_large"))["first"] == "first"
    assert release.row("running").attempt == 2
    error = release.row("running_once").error
    assert error is not None
    assert error["kind"] == "Interrupted"


def test_the_campaigns_jobs_go_on_where_they_were(release: Release) -> None:
    release.sent += release.recorded_messages("task", "send_first_message")
    release.deliver()
    release.pass_time(3)
    imported = result(release.row("import_between_legs"))
    assert (imported["imported"], imported["rejected"]["rows"]) == (60, 1)
    assert len(cells(campaign="imported")) == 60
    assigned = texters("assigned")
    assert (assigned.count("ada"), assigned.count("grace")) == (20, 20)
    exported = result(release.row("export_between_legs"))
    assert len(rows_of(exported["file"])) == 31
    # Those that were on their way, sent or in doubt stay what they were; nobody is texted twice.
    before = ["sending", "sent", "refused", "unknown"]
    assert sorted(map(str, statuses("texted"))) == sorted([*before, "sent", "sent", "sent"])


def test_a_recorded_failure_record_settles_its_job_alone(release: Release) -> None:
    for record in release.read("failure_records").values():
        settle(record, release.send)
    assert release.row("running_record").status == "retryable"
    assert release.row("running_record_once").status == "failed"
    tasks = [message for message, _ in release.sent if isinstance(message, TaskMessage)]
    assert [(task.id[-1], task.attempt) for task in tasks] == [("2", 2)]


def test_a_recorded_message_that_waited_is_sent_on(
    release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = [each["body"] for each in release.read("messages") if each["delay"]]
    records = [{"messageId": str(n), "body": body} for n, body in enumerate(waited)]
    monkeypatch.setattr("runners.sender", lambda: release.send)
    answer: Any = timer_handler.handler({"Records": records}, Context())  # type: ignore[arg-type]
    assert answer == {"batchItemFailures": []}
    assert [message.id for message, _ in release.sent] == [json.loads(it)["id"] for it in waited]


def test_the_same_request_is_the_recorded_job(release: Release) -> None:
    asked: dict[str, Any] = {"job_type": "released_count", "organization_id": "acme"}
    asked |= {"payload": {"to": 1}, "idempotency_key": "spring 2026"}
    assert get_job_runner().dispatch_job(JobData(**asked)).id == release.row("idempotent").id
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
    assert release.row("waiting_cancelled").status == "cancelled"


def test_a_recorded_job_is_done_again_and_deleted(release: Release) -> None:
    owner_actions.retry_again(release.row("failed_large"), release.send)
    release.deliver()
    assert release.row("failed_large").status == "failed"  # by the payload that it still has
    for name in ("succeeded_large", "failed_large", "cancelled"):
        owner_actions.delete(release.row(name))
        assert all(row.job_type == "released_child" for row in release.rows(name))
    gone = [key for key in release.read("objects") if not _is_there(key)]
    assert any(key.startswith("results/acme/") for key in gone)
    assert any(key.startswith("payloads/") for key in gone)
    assert "uploads/acme/contacts.csv" not in gone


def result(row: JobRequest) -> Any:
    """Return what a job returned."""
    assert row.status == "succeeded"
    return blobs.get(row.result, row.result_key)


def _is_there(key: str) -> bool:
    found = clients.client("s3").list_objects_v2(Bucket=bucket.name(), Prefix=key)
    return bool(found["KeyCount"])


def _name(item: Any) -> str:
    name: str = item["request_id"]["S"]
    return name


def _item(recorded: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {"B": base64.b64decode(value["B"])} if "B" in value else value
        for name, value in recorded.items()
    }


def test_this_version_can_be_recorded_and_has_rows_of_every_status(tmp_path: Path) -> None:
    record_release.record_to(tmp_path / "new")
    recorded = Release(tmp_path / "new")
    assert {item["status"]["S"] for item in recorded.items} == {str(each) for each in Status}
    of_old = {_name(item) for item in Release(RELEASED / "0.1.0").items}
    assert {_name(item) for item in recorded.items} == of_old
