"""The id of a task: whoever sends one is told what its lines in the log carry."""

import io

import pytest

from api_events import call
from job_runners import runners
from log_lines import printing_to
from sample_work import script
from telemetry_lines import logged

pytestmark = pytest.mark.usefixtures("aws")


@pytest.fixture(autouse=True)
def samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJECT_PACKAGES", "sample_work")
    script.reset()


def test_a_sent_task_has_the_id_that_its_lines_in_the_log_have(lines: io.StringIO) -> None:
    script.task = lambda payload: (
        None if payload.number else runners.dispatch_task("sample_note_again", {})
    )
    body = {"task_name": "sample_note", "payload": {"number": 0}}
    with printing_to(lines):
        answer = call("POST", "/tasks", body=body)
    found = [line for line in logged(lines) if line.get("task_name") == "sample_note"]
    assert [line["message"] for line in found] == ["task done", "task accepted"]  # it ran in here
    assert {line["task_id"] for line in found} == {answer.json["id"]}


def test_a_runner_that_makes_its_messages_by_itself_tells_no_id(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("job_runners.runners.legacy.dispatch_task", lambda task_name, payload: None)
    answer = call("POST", "/tasks", body={"task_name": "sample_note"})
    assert (answer.status, answer.json["id"]) == (202, None)
