"""What a newcomer meets in the terminal: names with typos, text that should be JSON, times."""

import re
import shlex
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from job_runners.cli import output
from jobs_command import FakeApi, job, jobs, problem

LIST = "/jobs?organization_id=default&limit=100"
TYPES = {
    "jobs": [
        {"name": "import_contacts", "queue_name": "default", "queues": ["default"]},
        {"name": "export_contacts", "queue_name": "exports", "queues": ["exports"]},
    ],
    "tasks": [{"name": "send_message"}],
}


@pytest.fixture(autouse=True)
def types(api: FakeApi) -> None:
    api.on("GET", "/job-types", 200, TYPES)


# --- names with typos -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "query"),
    [
        (["list", "--type", "import_contcts"], "&job_type=import_contcts"),
        (["list", "--type", "import_contcts", "--json"], "&job_type=import_contcts"),
        (
            ["retry", "--failed", "--type", "import_contcts", "--yes"],
            "&status=failed&job_type=import_contcts",
        ),
    ],
)
def test_a_job_type_that_there_is_not_is_named_with_the_nearest(
    api: FakeApi, words: list[str], query: str
) -> None:
    api.on("GET", LIST + query, 200, {"jobs": [], "cursor": None})
    done = jobs(*words)
    assert done.exit_code == 1, done.output
    assert "No job type of this stack is named import_contcts" in done.stderr
    assert "import_contacts?" in done.stderr
    assert done.stdout == ""


def test_jobs_of_a_type_that_is_no_longer_there_are_listed_all_the_same(api: FakeApi) -> None:
    page = {"jobs": [job("failed", job_type="removed")], "cursor": None}
    api.on("GET", f"{LIST}&job_type=removed", 200, page)
    done = jobs("list", "--type", "removed")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "removed" in done.stdout


def test_a_queue_that_no_job_type_is_in_is_said_and_paused_all_the_same(api: FakeApi) -> None:
    entry = {"kind": "queue", "name": "export", "paused_at": "2026-11-24T12:00:00.000Z"}
    api.on("PUT", "/paused/queue/export", 200, entry)
    done = jobs("pause", "--queue", "export")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("Paused: queue export")
    assert "No job type of this stack uses a queue export" in done.stderr
    assert "Did you mean exports?" in done.stderr


def test_a_queue_that_is_one_needs_no_words(api: FakeApi) -> None:
    entry = {"kind": "queue", "name": "exports", "paused_at": "2026-11-24T12:00:00.000Z"}
    api.on("PUT", "/paused/queue/exports", 200, entry)
    assert jobs("pause", "--queue", "exports").stderr == ""


def test_a_job_that_is_dispatched_to_a_queue_that_no_job_type_is_in_is_saved_and_said(
    api: FakeApi,
) -> None:
    api.on("POST", "/jobs", 202, job("queued"))
    done = jobs("dispatch", "import_contacts", "--queue", "export")
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{job('queued')['id']}\n"
    assert "No job type of this stack uses a queue export: the job is in it" in done.stderr
    assert "Did you mean exports?" in done.stderr
    for words in (["--queue", "exports"], []):
        assert "No job type" not in jobs("dispatch", "import_contacts", *words).stderr
    assert len(api.asked("GET", "/job-types")) == 2


def test_an_empty_list_of_a_queue_that_no_job_type_is_in_says_so(api: FakeApi) -> None:
    api.on("GET", f"{LIST}&queue_name=nosuch", 200, {"jobs": [], "cursor": None})
    done = jobs("list", "--queue", "nosuch")
    assert done.exit_code == 0
    assert "No job type of this stack uses a queue nosuch" in done.stderr
    assert "default, exports" in done.stderr


def test_the_help_lists_32_commands_in_four_groups() -> None:
    text = jobs("--help").stdout
    groups, _, _ = text.partition("\nOptions:")
    assert len(re.findall(r"^\w[\w ]+:$", groups, re.MULTILINE)) == 4
    assert len(re.findall(r"^  \w+ +[A-Z]", groups.partition("Jobs and tasks:")[2], re.M)) == 32


def test_the_help_of_pause_says_what_becomes_of_what_runs() -> None:
    text = " ".join(jobs("pause", "--help").stdout.split())
    assert "stops when it next saves a checkpoint with a cursor" in text
    assert "runs already goes on" not in text


# --- text that should be JSON ---------------------------------------------------------------------


def refuse(api: FakeApi, path: str, field: str, why: str) -> None:
    refused = problem(422, "wrong", {"field": field, "why": why})
    api.on("POST", path, 422, refused | {"type": "urn:job-runners:invalid-payload"})


@pytest.mark.parametrize(
    ("words", "path"),
    [(["dispatch", "count_letters"], "/jobs"), (["task", "send_message"], "/tasks")],
)
@pytest.mark.parametrize("pair", ['words=["a"]', 'words={"a": 1}', "words=null"])
def test_a_value_that_was_meant_as_json_is_shown_as_it_is_written(
    api: FakeApi, words: list[str], path: str, pair: str
) -> None:
    refuse(api, path, "payload.words", "Input should be a valid list")
    done = jobs(*words, "rows=5", pair)
    assert done.exit_code == 1
    assert shlex.quote(pair.replace("=", ":=", 1)) in done.stderr


@pytest.mark.parametrize(
    ("pairs", "field"),
    [
        (["words=ab c"], "payload.words"),  # which is no JSON
        (['words:=["a"]'], "payload.words"),
        (['words=["a"]'], "payload.limit"),
        (['words="a"'], "payload.words"),  # text as JSON too
    ],
)
def test_nothing_is_suggested_where_it_would_not_help(
    api: FakeApi, pairs: list[str], field: str
) -> None:
    refuse(api, "/jobs", field, "is wrong")
    assert ":=" not in jobs("dispatch", "count_letters", *pairs).stderr


# --- times ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (119.4, "119 s"),
        (120, "2 min"),
        (170, "3 min"),
        (3_595, "60 min"),
        (2 * 3600 - 20, "120 min"),
        (3 * 3600 + 3000, "4 h"),
        (47.6 * 3600, "48 h"),
        (2.6 * 86400, "3 d"),
    ],
)
def test_a_time_span_is_rounded(seconds: float, words: str) -> None:
    assert output.duration(seconds) == words


def test_on_a_terminal_a_list_says_when_and_how_long_ago(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = datetime.now(UTC) - timedelta(hours=3, minutes=50)
    row: dict[str, Any] = job("queued", created_at=created.isoformat())
    monkeypatch.setattr(output, "_on_a_terminal", lambda: True)
    shown = output.time_and_age(row["created_at"])
    local = created.astimezone()
    assert f"{local:%H:%M:%S}  4 h ago" in shown


def test_in_a_pipe_a_time_is_itself(api: FakeApi) -> None:
    assert not sys.stdout.isatty()
    assert output.time_and_age("2026-11-24T12:00:00.000Z") == "2026-11-24T12:00:00.000Z"
    assert output.time_and_age(None) == ""
