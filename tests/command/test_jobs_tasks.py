"""jobs tasks: what failed for good, on a screen and for a script."""

import json

from jobs_command import FakeApi, jobs

FIRST = "/tasks/failed?limit=100"
TASK = "7a5c" + "0" * 28


def failed(task_id: str) -> dict[str, object]:
    return {
        "id": task_id,
        "task_name": "send_message",
        "failed_at": "2026-11-24T12:00:00.000Z",
        "attempt": 3,
        "error": {"kind": "Refused", "message": "no such number"},
        "request_id": None,
        "payload": None,
    }


def test_failed_tasks_are_listed_over_pages(api: FakeApi) -> None:
    api.on("GET", FIRST, 200, {"tasks": [failed(TASK)], "cursor": TASK})
    more = {"tasks": [failed("6" * 32)], "cursor": None}
    api.on("GET", f"{FIRST}&cursor={TASK}", 200, more)
    done = jobs("tasks", "--failed")
    assert done.exit_code == 0, done.output
    first, second = (line.split("\t") for line in done.stdout.splitlines())
    assert (first[0], first[1], first[3]) == (TASK, "send_message", "Refused: no such number")
    assert second[0] == "6" * 32
    (only,) = json.loads(jobs("tasks", "--failed", "--limit", "1", "--json").stdout)["tasks"]
    assert only == failed(TASK)


def test_that_none_has_failed_is_said(api: FakeApi) -> None:
    api.on("GET", FIRST, 200, {"tasks": [], "cursor": None})
    done = jobs("tasks", "--failed")
    assert (done.stdout, done.exit_code) == ("", 0)
    assert "No task has failed" in done.stderr
