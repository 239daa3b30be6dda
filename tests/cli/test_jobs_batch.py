"""job-runners batch: a batch is dispatched from a file, and is followed and retried as a job."""

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
    done = jobs("batch", str(rows), *words)
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
    done = jobs("batch", str(rows))
    assert done.stderr == "Refused:\n  line 3: key: must be text\n"


def test_each_line_is_a_payload_if_all_members_have_one_type(api: FakeApi) -> None:
    api.on("POST", "/batches", 202, batch("queued"))
    done = jobs("batch", "-", "--type", "resize", stdin='{"key": "1.png"}\n\n{"key": "2.png"}\n')
    assert done.stdout == f"{ID}\n"
    (call,) = api.asked("POST", "/batches")
    assert call.body["members"] == [
        {"job_type": "resize", "payload": {"key": f"{number}.png"}} for number in (1, 2)
    ]


def test_a_refused_payload_names_the_command_that_shows_its_fields(api: FakeApi) -> None:
    why = {"index": 1, "field": "members.1.payload.key", "why": "must be text"}
    invalid = problem(422, "wrong", why) | {"type": "urn:job-runners:invalid-members"}
    api.on("POST", "/batches", 422, invalid)
    done = jobs("batch", "-", "--type", "resize", stdin='{"key": "1.png"}\n\n{"key": 2}')
    assert done.exit_code == Exit.REFUSED
    assert done.stderr == (
        "Refused:\n  line 3: payload.key: must be text\n"
        "To see the fields: bin/job-runners types resize\n"
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [('{"key": 1}\nnot', "Line 2 isn't JSON"), ("[1]", "Line 1 isn't a JSON object")],
)
def test_a_broken_line_stops_the_command_before_any_dispatch(
    api: FakeApi, text: str, why: str
) -> None:
    done = jobs("batch", "-", "--type", "resize", stdin=text)
    assert done.exit_code == Exit.USAGE
    assert why in done.stderr
    assert api.calls == []


@pytest.mark.parametrize("options", [[], ["--watch"], ["--json"]])
def test_a_repetition_is_shown_as_one(api: FakeApi, rows: Path, options: list[str]) -> None:
    api.on("POST", "/batches", 202, batch("succeeded"), Idempotent_Replayed="true")
    api.on("GET", f"/batches/{ID}", 200, batch("succeeded"))
    done = jobs("batch", str(rows), "--idempotency-key", "k", *options)
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
    monkeypatch.setattr(local_aws, "running_stack", lambda: found)
    monkeypatch.delenv("JOBS_API_URL")
    api.on("POST", "/batches", 202, batch("queued"))
    assert jobs("batch", str(many)).stdout == f"{ID}\n"
    (call,) = api.asked("POST", "/batches")
    key = call.body["members_file"]
    assert key.startswith("uploads/default/batches/")
    assert len(bucket.get_bytes(key).splitlines()) == 1001


def test_an_apis_url_does_not_tell_where_to_upload_them(api: FakeApi, many: Path) -> None:
    done = jobs("batch", str(many))
    assert done.exit_code == Exit.REFUSED
    assert "More than 1,000 members go into a file in the stack's bucket." in done.stderr
    assert "Pass --stack NAME too" in done.stderr
    assert api.calls == []


def test_pairs_without_then_are_refused_before_any_call(api: FakeApi, rows: Path) -> None:
    done = jobs("batch", str(rows), "album:=7")
    assert done.exit_code == Exit.USAGE
    assert api.calls == []


def of_batch(status: str, **fields: Any) -> dict[str, Any]:
    """Return the job of a batch."""
    return job(status, job_type="batch", **fields)


WAITS = {"kind": "group", "name": "members", "key": None, "since": None, "until": None}
COUNTS = {"total": 4, "open": 1, "succeeded": 2, "failed": 1, "canceled": 0, "existing": 0}
GROUP = {"name": "members", **COUNTS, "progress": 75, "as_of": None}


def test_a_batch_is_shown_with_its_counts_and_the_members_that_failed(api: FakeApi) -> None:
    api.on("GET", f"/jobs/{ID}", 200, of_batch("waiting", waits_for=WAITS))
    child = {"key": "cover", "group": "members", "id": OTHER, "job": job("failed", id=OTHER)}
    children = {"children": [child], "cursor": None}
    api.on("GET", f"/jobs/{ID}/children?limit=100", 200, children)
    api.on("GET", f"/jobs/{ID}/groups", 200, {"groups": [GROUP | {"as_of": AT}]})
    members = {"members": [member("cover")], "cursor": None}
    api.on("GET", f"/batches/{ID}/members?limit=100&status=failed", 200, members)
    shown = jobs("show", ID).stdout
    assert f"  members  3 of 4 have ended, 1 failed, counted {AT}\n" in shown
    lines = [line.split() for line in shown.splitlines()]
    assert lines[-1] == [OTHER, "cover", "KeyError:", "no\ufffd", "luck"]


@pytest.mark.parametrize("words", [["watch", ID], ["batch", "FILE", "--watch"]])
@pytest.mark.parametrize(
    ("status", "failed", "code"),
    [
        ("succeeded", 0, Exit.DONE),
        ("succeeded", 1, Exit.JOB_FAILED),
        ("failed", 0, Exit.JOB_FAILED),
        ("canceled", 1, Exit.JOB_CANCELED),
    ],
)
def test_a_batch_is_followed_to_its_end(
    api: FakeApi, rows: Path, words: list[str], status: str, failed: int, code: Exit
) -> None:
    api.on("POST", "/batches", 202, batch("queued"))
    api.on("GET", f"/jobs/{ID}", 200, of_batch("waiting", waits_for=WAITS), Retry_After="0")
    api.on("GET", f"/jobs/{ID}", 200, of_batch(status, progress=100))
    api.on("GET", f"/jobs/{ID}/groups", 200, {"groups": [GROUP]})
    api.on("GET", f"/batches/{ID}", 200, batch(status, open=0, failed=failed))
    done = jobs(*(str(rows) if each == "FILE" else each for each in words))
    assert done.exit_code == code
    first, last = done.stdout.splitlines()[:2]
    assert "75%  waits for the jobs of its group members: 3 of 4 have ended, 1 failed" in first
    assert f"{status:<9}  100%" in last


def test_failed_members_are_retried(api: FakeApi) -> None:
    refused = member("refused", job=None)
    members = {"members": [member("cover"), refused], "cursor": None}
    api.on("GET", f"/batches/{ID}/members?limit=100&status=failed", 200, members)
    api.on("POST", f"/jobs/{OTHER}/retry", 202, job("queued", id=OTHER))
    assert jobs("retry", "--batch", ID, "--yes").stdout == f"{OTHER}  queued\n"
    done = jobs("retry", "--batch", ID)  # it would ask
    assert done.exit_code == Exit.USAGE
    assert "Retry 1 failed job of organization default" in done.output


def test_the_start_of_an_id_is_searched_among_batches(api: FakeApi) -> None:
    found = "/jobs?organization_id=default&limit=100&job_type=batch"
    api.on("GET", found, 200, {"jobs": [job("waiting")], "cursor": None})
    members: dict[str, Any] = {"members": [], "cursor": None}
    api.on("GET", f"/batches/{ID}/members?limit=100&status=failed", 200, members)
    done = jobs("retry", "--batch", ID[:8])
    assert (done.exit_code, done.stderr) == (Exit.DONE, "No failed jobs.\n")
