"""tasks: what failed for good, on a screen and for a script; redrive: sent again."""

import json

import pytest

from jobs_command import FakeApi, jobs, problem

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
    done = jobs("failures", "tasks")
    assert done.exit_code == 0, done.output
    first, second = (line.split("\t") for line in done.stdout.splitlines())
    assert (first[0], first[1], first[3]) == (TASK, "send_message", "Refused: no such number")
    assert second[0] == "6" * 32
    (only,) = json.loads(jobs("failures", "tasks", "--limit", "1", "--json").stdout)["tasks"]
    assert only == failed(TASK)


@pytest.mark.parametrize("words", [("failures", "tasks"), ("failures", "redrive", "--tasks")])
def test_that_none_has_failed_is_said(words: tuple[str, ...], api: FakeApi) -> None:
    api.on("GET", FIRST, 200, {"tasks": [], "cursor": None})
    done = jobs(*words)
    assert (done.stdout, done.exit_code) == ("", 0)
    assert "No task has failed" in done.stderr


# --- sent again -----------------------------------------------------------------------------------

SECOND = "6" * 32
NEW = {"id": "8" * 32, "task_name": "send_message", "status": "sent"}


def redrive(task_id: str) -> str:
    return f"/tasks/failed/{task_id}/redrive"


def test_tasks_are_sent_again_one_by_one(api: FakeApi) -> None:
    api.on("POST", redrive(TASK), 202, NEW)
    why = "what it was given was not kept (KeepTaskPayloads)"
    api.on("POST", redrive(SECOND), 409, problem(409, why))
    done = jobs("failures", "redrive", SECOND, TASK)
    assert done.exit_code == 1
    refused, sent = done.stdout.splitlines()
    assert refused.startswith(SECOND)
    assert "KeepTaskPayloads" in refused
    assert sent == f"{TASK}  resent as {NEW['id']}"
    only = json.loads(jobs("failures", "redrive", TASK, "--json").stdout)
    assert only == {"id": TASK, "status": "sent", "redriven_as": NEW["id"]}


def test_the_start_of_a_tasks_id_is_enough(api: FakeApi) -> None:
    api.on("GET", FIRST, 200, {"tasks": [failed(TASK), failed(SECOND)], "cursor": SECOND})
    more = {"tasks": [failed("6666" + "1" * 28)], "cursor": None}
    api.on("GET", f"{FIRST}&cursor={SECOND}", 200, more)
    api.on("POST", redrive(TASK), 202, NEW)
    assert jobs("failures", "redrive", "7a5c").exit_code == 0
    assert "week has an id that starts with abcd." in jobs("failures", "redrive", "abcd").stdout
    assert (
        "2 failed tasks have ids that start with 6666."
        in jobs("failures", "redrive", "6666").stdout
    )


def test_all_are_sent_again_whose_payload_is_kept(api: FakeApi) -> None:
    kept = failed(TASK) | {"payload": {"text": "dear"}}
    api.on("GET", FIRST, 200, {"tasks": [kept, failed(SECOND)], "cursor": None})
    api.on("POST", redrive(TASK), 202, NEW)
    asked = jobs("failures", "redrive", "--tasks")
    assert asked.exit_code == 2
    assert "pass --yes to confirm" in asked.stderr
    assert api.asked("POST", redrive(TASK)) == []
    done = jobs("failures", "redrive", "--tasks", "--yes")
    assert done.exit_code == 1  # not all of them
    assert done.stdout == f"{TASK}  resent as {NEW['id']}\n"
    assert "1 failed task can't be resent" in done.stderr
    assert "KeepTaskPayloads" in done.stderr


def test_a_call_that_names_nothing_or_two_things_to_resend_is_refused(api: FakeApi) -> None:
    for words in ([], ["--tasks", TASK], ["--tasks", "--dead-letters"], ["--dead-letters", TASK]):
        done = jobs("failures", "redrive", *words)
        assert done.exit_code == 2
        assert "Pass task ids, --tasks or --dead-letters" in done.stderr
    assert api.calls == []


def test_one_that_was_sent_again_and_has_not_begun_says_so(api: FakeApi) -> None:
    waiting = failed(TASK) | {"redriven_at": "2026-11-24T13:00:00.000Z", "redriven_as": NEW["id"]}
    api.on("GET", FIRST, 200, {"tasks": [waiting], "cursor": None})
    line = jobs("failures", "tasks").stdout
    assert "(resent 2026-11-24T13:00:00.000Z, not started) Refused" in line
