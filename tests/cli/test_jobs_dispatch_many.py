"""job-runners dispatch TYPE --from FILE: a job for each line of a file."""

import json
from pathlib import Path
from typing import Any

import pytest

from job_runners.client import bulk_client, repeating
from jobs_command import FakeApi, job, jobs, problem


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send two jobs at a time, and wait for hardly anything between tries."""
    monkeypatch.setattr(bulk_client, "_MAX_JOBS", 2)
    monkeypatch.setattr(repeating, "_FIRST_WAIT", 0.001)
    monkeypatch.setattr("job_runners.cli.many._STEP", 2)


@pytest.fixture
def rows(tmp_path: Path) -> str:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"key": "1.png"}\n\n{"key": "2.png"}\n{"key": "3.png"}\n')
    return str(file)


def result(index: int, conflict: str | None = None) -> dict[str, Any]:
    found = {"type": "urn:job-runners:unique-conflict", "title": "t", "status": 409}
    return {
        "index": index,
        "status": 409 if conflict else 202,
        "job": None if conflict else job("queued", id=f"{index:032x}"),
        "replayed": False,
        "unique_outcome": None,
        "problem": {**found, "detail": conflict, "job_id": None} if conflict else None,
    }


def accept(api: FakeApi, *results: dict[str, Any]) -> None:
    for start in range(0, len(results), 2):
        api.on("POST", "/jobs/bulk", 200, {"jobs": results[start : start + 2]})


def test_each_line_is_a_job_and_the_ids_are_printed_in_order(api: FakeApi, rows: str) -> None:
    accept(api, *map(result, range(3)))
    options = ("--delay", "90s", "--idempotency-key", "may")
    done = jobs("dispatch", "resize", "--from", rows, *options)
    assert done.exit_code == 0, done.output
    assert done.stdout.split() == [f"{index:032x}" for index in range(3)]
    assert "2 of 3 dispatched\n" in done.stderr
    assert "3 of 3 dispatched, on " in done.stderr
    sent = [each for call in api.calls for each in call.body["jobs"]]
    assert [each["payload"]["key"] for each in sent] == ["1.png", "2.png", "3.png"]
    same = {"job_type": "resize", "delay": 90}
    assert all(same.items() <= each.items() for each in sent)
    assert [call.body["idempotency_key"] for call in api.calls] == ["may", "may"]
    assert [call.body["first_index"] for call in api.calls] == [0, 2]


def test_what_was_stopped_goes_on_under_the_key_that_is_shown(api: FakeApi, rows: str) -> None:
    api.on("POST", "/jobs/bulk", 200, {"jobs": [result(0), result(1)]})
    errors = [{"index": 2, "field": "jobs.0.payload.key", "why": "must be text"}]
    invalid = problem(422, "Some are invalid.", *errors) | {"type": "urn:job-runners:invalid-jobs"}
    api.on("POST", "/jobs/bulk", 422, invalid)
    done = jobs("dispatch", "resize", "--from", rows)
    assert done.exit_code == 1
    assert (
        "line 4: payload.key: must be text\nTo see the fields: bin/job-runners types resize"
        in done.stderr
    )
    key = api.calls[0].body["idempotency_key"]
    assert "2 of 3 dispatched. To continue" in done.stderr
    assert f"job-runners dispatch resize --from {rows} --idempotency-key {key}" in done.stderr


def test_a_conflict_is_shown_with_its_line_and_the_others_are_dispatched(
    api: FakeApi, rows: str
) -> None:
    accept(api, result(0), result(1, "Another job does it."), result(2))
    done = jobs("dispatch", "resize", "--from", rows, "--json")
    assert done.exit_code == 1
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["index"] for each in lines] == [0, 1, 2]
    assert [each["error"] for each in lines] == [None, "Another job does it.", None]
    assert "Line 3: Another job does it." in done.stderr
    assert "2 of 3 dispatched, on " in done.stderr


@pytest.mark.parametrize(
    ("text", "why"),
    [('{"key": 1}\nnot', "Line 2 isn't JSON"), ("[1]", "Line 1 isn't a JSON object")],
)
def test_a_broken_line_stops_the_command_before_any_dispatch(
    api: FakeApi, text: str, why: str
) -> None:
    done = jobs("dispatch", "resize", "--from", "-", stdin=text)
    assert done.exit_code == 2
    assert why in done.stderr
    assert api.calls == []


@pytest.mark.parametrize("more", [["key=1"], ["--payload", "{}"], ["--watch"]])
def test_it_goes_with_no_payload_and_no_watch(api: FakeApi, rows: str, more: list[str]) -> None:
    done = jobs("dispatch", "resize", "--from", rows, *more)
    assert (done.exit_code, api.calls) == (2, [])
