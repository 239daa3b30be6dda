"""job-runners batch: a batch is dispatched from a file, shown, followed, canceled and retried."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fake_stack import OUTPUTS, REGION
from job_runners.aws import bucket
from job_runners.cli import local_aws
from job_runners.cli.problem import Exit
from job_runners.cli.stack import Stack
from jobs_command import ID, FakeApi, job, jobs, problem

OTHER = "7b21" + "0" * 28
AT = "2026-11-24T01:00:00.000Z"


def batch(state: str, **changes: Any) -> dict[str, Any]:
    """Return a batch as the API shows it."""
    counts = {"total": 4, "open": 1, "succeeded": 2, "failed": 1, "canceled": 0, "existing": 0}
    plain = {"progress": 75, "as_of": None, "then_id": None, "error": None, "created_at": AT}
    return {"id": ID, "state": state, **counts, **plain, **changes}


def member(key: str, **changes: Any) -> dict[str, Any]:
    error = {"kind": "KeyError", "message": "no\x1b luck"}
    shown = {"key": key, "id": OTHER, "status": "failed", "error": error}
    return {**shown, "job": job("failed", id=OTHER), **changes}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    found = tmp_path / "rows.jsonl"
    lines = [json.dumps({"job_type": "resize", "payload": {"n": n}}) for n in range(2)]
    found.write_text("\n".join([*lines, ""]))
    return found


def test_a_batch_is_dispatched_from_a_file_and_its_id_printed(api: FakeApi, rows: Path) -> None:
    api.on("POST", "/batches", 202, batch("queued"))
    words = ["--then", "build", "album:=7", "--stop-after-failures", "3", "--idempotency-key", "k"]
    done = jobs("batch", "dispatch", str(rows), *words)
    assert done.stdout == f"{ID}\n"
    assert "4 members, dispatched, on " in done.stderr
    (call,) = api.asked("POST", "/batches")
    assert call.body == {
        "members": [{"job_type": "resize", "payload": {"n": n}} for n in range(2)],
        "then": {"job_type": "build", "payload": {"album": 7}},
        "stop_after_failures": 3,
        "organization_id": "default",
        "idempotency_key": "k",
    }


@pytest.mark.parametrize("number", [2, 1001])
def test_a_refused_member_is_shown_with_its_line_in_the_file(
    api: FakeApi, rows: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows.write_text('{"job_type": "resize"}\n\n' * number)
    key = "uploads/default/x"
    monkeypatch.setattr("job_runners.cli.commands.batch.upload", lambda *_, **__: key)
    place: dict[str, Any] = (
        {"line": 2, "field": "key"} if number > 1000 else {"index": 1, "field": "members.1.key"}
    )
    api.on("POST", "/batches", 422, problem(422, "wrong", place | {"why": "must be text"}))
    done = jobs("batch", "dispatch", str(rows))
    assert done.stderr == "Refused:\n  line 3: key: must be text\n"


@pytest.mark.parametrize("options", [[], ["--watch"], ["--json"]])
def test_a_repetition_is_shown_as_one(api: FakeApi, rows: Path, options: list[str]) -> None:
    api.on("POST", "/batches", 202, batch("succeeded"), Idempotent_Replayed="true")
    api.on("GET", f"/batches/{ID}", 200, batch("succeeded"))
    done = jobs("batch", "dispatch", str(rows), "--idempotency-key", "k", *options)
    if options == ["--json"]:
        assert json.loads(done.stdout)["replayed"] is True
    else:
        assert "was dispatched before with this key, on " in done.stderr


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Return a file with more members than a request may have."""
    found = tmp_path / "many.jsonl"
    found.write_text('{"job_type": "resize"}\n' * 1001)
    return found


def test_more_than_a_thousand_members_are_uploaded(
    api: FakeApi, aws: None, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = Stack.from_outputs("job-runners", REGION, OUTPUTS)
    found = replace(stack, api_url=os.environ["JOBS_API_URL"])
    monkeypatch.setattr(local_aws, "find", lambda: found)
    monkeypatch.setattr(local_aws, "outdated", lambda: None)
    monkeypatch.delenv("JOBS_API_URL")
    api.on("POST", "/batches", 202, batch("queued"))
    assert jobs("batch", "dispatch", str(many)).stdout == f"{ID}\n"
    (call,) = api.asked("POST", "/batches")
    key = call.body["members_file"]
    assert key.startswith("uploads/default/batches/")
    assert len(bucket.get_bytes(key).splitlines()) == 1001


def test_an_apis_url_does_not_tell_where_to_upload_them(api: FakeApi, many: Path) -> None:
    done = jobs("batch", "dispatch", str(many))
    assert done.exit_code == Exit.REFUSED
    assert "More than 1,000 members go into a file in the stack's bucket." in done.stderr
    assert "Pass --stack NAME too" in done.stderr
    assert api.calls == []


def test_pairs_without_then_are_refused_before_any_call(api: FakeApi, rows: Path) -> None:
    done = jobs("batch", "dispatch", str(rows), "album:=7")
    assert done.exit_code == Exit.USAGE
    assert api.calls == []


def test_a_batch_is_shown_with_the_members_that_failed(api: FakeApi) -> None:
    api.on("GET", f"/batches/{ID}", 200, batch("succeeded", then_id=OTHER))
    members = {"members": [member("cover")], "cursor": None}
    api.on("GET", f"/batches/{ID}/members?limit=100&status=failed", 200, members)
    lines = [line.split() for line in jobs("batch", "show", ID, "--failed").stdout.splitlines()]
    assert ["state", "succeeded,", "75%"] in lines
    assert ["canceled", "0"] in lines
    assert ["then", OTHER] in lines
    assert lines[-1] == [OTHER, "cover", "KeyError:", "no\ufffd", "luck"]
    shown = json.loads(jobs("batch", "show", ID, "--json").stdout)
    assert shown == batch("succeeded", then_id=OTHER)


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        ({"state": "succeeded", "failed": 0}, Exit.DONE),
        ({"state": "succeeded", "failed": 1}, Exit.JOB_FAILED),
        ({"state": "canceled"}, Exit.JOB_CANCELED),
    ],
)
def test_a_batch_is_followed_to_its_end(api: FakeApi, ended: dict[str, Any], code: Exit) -> None:
    path = f"/batches/{ID}"
    api.on("GET", path, 200, batch("waiting"), Retry_After="0")
    api.on("GET", path, 200, batch("queued", open=0, progress=100) | ended)
    done = jobs("batch", "watch", ID)
    assert done.exit_code == code
    first, last = done.stdout.splitlines()
    assert "running" in first
    assert "75%  3 of 4 members have ended, 1 failed" in first
    assert "100%  4 of 4 members have ended" in last


def test_a_batch_that_is_retried_is_followed_too(api: FakeApi) -> None:
    path, error = f"/batches/{ID}", {"kind": "Interrupted", "message": "The worker was killed."}
    api.on("GET", path, 200, batch("scheduled"), Retry_After="0")
    api.on("GET", path, 200, batch("retryable", error=error), Retry_After="0")
    api.on("GET", path, 200, batch("succeeded", failed=0, open=0))
    done = jobs("batch", "watch", ID)
    assert (done.exit_code, done.exception) == (Exit.DONE, None)
    first, second, _ = done.stdout.splitlines()
    assert "3 of 4 members have ended" in first
    assert "retries after Interrupted: The worker was killed." in second


def test_a_batch_is_canceled(api: FakeApi) -> None:
    api.on("DELETE", f"/batches/{ID}", 200, batch("canceled"))
    assert jobs("batch", "cancel", ID).stdout == f"{ID}  canceled\n"


def test_a_batch_is_canceled_with_its_members(api: FakeApi) -> None:
    api.on("DELETE", f"/batches/{ID}?members=true", 202, batch("waiting"))
    said = f"{ID}  is canceled once its members have ended\n"
    assert jobs("batch", "cancel", ID, "--members").stdout == said


def test_failed_members_are_retried(api: FakeApi) -> None:
    refused = member("refused", job=None)
    members = {"members": [member("cover"), refused], "cursor": None}
    api.on("GET", f"/batches/{ID}/members?limit=100&status=failed", 200, members)
    api.on("POST", f"/jobs/{OTHER}/retry", 202, job("queued", id=OTHER))
    assert jobs("batch", "retry", ID, "--yes").stdout == f"{OTHER}  queued\n"
    assert jobs("batch", "retry", ID).exit_code == Exit.USAGE  # it would ask


def test_the_start_of_an_id_is_searched_among_batches(api: FakeApi) -> None:
    found = "/jobs?organization_id=default&limit=100&job_type=batch"
    api.on("GET", found, 200, {"jobs": [job("waiting")], "cursor": None})
    api.on("GET", f"/batches/{ID}", 200, batch("waiting"))
    assert jobs("batch", "show", ID[:8]).exit_code == Exit.DONE
