"""job-runners dispatch and job-runners task: how a command line becomes a request."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from job_runners.cli.problem import Exit
from jobs_command import ID, FakeApi, job, jobs

TASK = "7a5c" + "0" * 28
pytestmark = pytest.mark.usefixtures("api")


@pytest.fixture(autouse=True)
def accepts(api: FakeApi) -> None:
    """Answer as an API that takes every job and task."""
    api.on("POST", "/jobs", 202, job("queued"))
    api.on("POST", "/tasks", 202, {"id": TASK, "task_name": "send_message", "status": "sent"})


def sent(api: FakeApi) -> Any:
    """Return the one body that was sent."""
    (call,) = (each for each in api.calls if each.method == "POST")
    return call.body


def test_pairs_become_the_payload_strings_with_one_sign_and_json_with_two(api: FakeApi) -> None:
    done = jobs("dispatch", "import_contacts", "key=a=b:c", "rows:=500", "tags:=[1, 2]", "none=")
    assert done.exit_code == 0, done.output
    assert sent(api) == {
        "organization_id": "default",
        "job_type": "import_contacts",
        "payload": {"key": "a=b:c", "rows": 500, "tags": [1, 2], "none": ""},
    }


def test_standard_output_is_the_id_alone_so_that_a_script_can_keep_it() -> None:
    assert jobs("dispatch", "import_contacts").stdout == f"{ID}\n"


def test_a_payload_comes_from_a_file_or_standard_input_and_pairs_go_on_top(
    api: FakeApi, tmp_path: Path
) -> None:
    file = tmp_path / "payload.json"
    file.write_text('{"key": "file", "country": "US"}')
    jobs("dispatch", "import_contacts", "--payload", f"@{file}", "country=FR")
    jobs("dispatch", "import_contacts", "--payload", "-", stdin='{"key": "stdin"}')
    assert [each.body["payload"] for each in api.calls] == [
        {"key": "file", "country": "FR"},
        {"key": "stdin"},
    ]


def test_every_option_reaches_the_request(api: FakeApi) -> None:
    done = jobs(
        *("dispatch", "import_contacts", "--queue", "imports"),
        *("--delay", "15m", "--idempotency-key", "may", "--organization", "acme"),
        *("--on-end", "update_crm", "--on-failure", "page_the_team"),
    )
    assert done.exit_code == 0, done.output
    assert sent(api) == {
        "organization_id": "acme",
        "job_type": "import_contacts",
        "payload": {},
        "queue_name": "imports",
        "delay": 900,
        "on_end": "update_crm",
        "on_failure": "page_the_team",
    }
    assert api.calls[0].headers["Idempotency-Key"] == "may"


def test_a_webhook_is_a_url_with_a_secret(api: FakeApi) -> None:
    url = "https://hooks.example.com/jobs"
    words = ("dispatch", "import_contacts", "--on-end", "update_crm", "--on-failure", url)
    assert jobs(*words, "--secret", "default/main").exit_code == 0
    assert (sent(api)["on_end"], sent(api)["on_failure"]) == (
        "update_crm",
        {"webhook": url, "secret": "default/main"},
    )
    for wrong in (words, (*words[:4], "--secret", "default/main")):
        assert jobs(*wrong).exit_code == Exit.USAGE
    assert len(api.calls) == 1


def test_a_time_without_a_zone_is_this_machines(api: FakeApi) -> None:
    jobs("dispatch", "import_contacts", "--run-at", "2026-12-01T09:00")
    run_at = datetime.fromisoformat(sent(api)["run_at"])
    assert run_at == datetime(2026, 12, 1, 9).astimezone()
    assert run_at.tzinfo is not None


def test_a_job_that_was_there_already_is_said_to_be(api: FakeApi) -> None:
    api.on("POST", "/jobs", 202, job("running"), Idempotent_Replayed="true")
    jobs("dispatch", "import_contacts", "--idempotency-key", "may")
    done = jobs("dispatch", "import_contacts", "--idempotency-key", "may")
    assert done.stdout == f"{ID}\n"
    assert "was dispatched before" in done.stderr


@pytest.mark.parametrize("outcome", ["replaced", None])
def test_a_job_that_starts_later_says_when_even_if_its_rule_has_cut_the_time(
    api: FakeApi, outcome: str | None
) -> None:
    headers = {"Unique_Outcome": outcome} if outcome else {}
    cut = job("scheduled", run_at="2099-11-24T12:10:00.000Z")
    api.on("POST", "/jobs", 202, cut, **headers)
    jobs("dispatch", "import_contacts")  # the answer before it
    said = jobs("dispatch", "import_contacts", "--delay", "1h").stderr
    assert ", scheduled, starts at 2099-11-24 " in said
    assert ("may have limited (job-runners types import_contacts)" in said) == bool(outcome)


def test_json_is_the_job_as_the_api_shows_it() -> None:
    became = {"replayed": False, "unique_outcome": None}
    done = jobs("dispatch", "import_contacts", "--json")
    assert json.loads(done.stdout) == job("queued") | became


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["just-a-word"], "key=value"),
        (["rows:=many"], "The value of rows isn't JSON"),
        (["--payload", "[1]"], "isn't a JSON object"),
        (["--payload", "{"], "isn't JSON"),
        (["--payload", "@/nowhere.json"], "Can't read /nowhere.json"),
        (["--delay", "soon"], "Write it as 90s, 15m, 2h or 1d"),
        (["--run-at", "tomorrow"], "2026-05-01T09:00"),
        (["--delay", "5", "--run-at", "2026-12-01T09:00"], "Pass only one of them"),
    ],
)
def test_what_can_not_be_read_is_said_and_nothing_is_sent(
    api: FakeApi, words: list[str], said: str
) -> None:
    done = jobs("dispatch", "import_contacts", *words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert api.calls == []


def test_a_task_is_sent_with_its_payload(api: FakeApi) -> None:
    done = jobs("task", "send_message", "cell=+12125550123", "text=Polls close at 8.")
    assert done.exit_code == 0, done.output
    payload = {"cell": "+12125550123", "text": "Polls close at 8."}
    assert sent(api) == {"task_name": "send_message", "payload": payload}
    assert done.stdout == f"{TASK}\n"
    assert json.loads(jobs("task", "send_message", "--json").stdout)["id"] == TASK
