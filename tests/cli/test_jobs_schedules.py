"""job-runners schedules: what is done again and again, as people and programs are told."""

import json
import re
from typing import Any

import click
import pytest

from job_runners.cli.problem import Exit
from jobs_command import ID, FakeApi, Terminal, job, jobs, problem

AT = "2026-11-24T01:00:00.000Z"
WHOSE = "?organization_id=default"
LISTED = "/schedules?organization_id=default&limit=100"
NIGHTLY = f"/schedules/nightly{WHOSE}"


def schedule(name: str = "nightly", **changes: Any) -> dict[str, Any]:
    """Return a schedule as the API shows it."""
    return {
        "name": name,
        "organization_id": "default",
        "origin": "api",
        "declared": False,
        "job_type": "make_report",
        "payload": {"list": 7},
        "cron": "0 2 * * *",
        "every": None,
        "timezone": "Europe/Berlin",
        "words": "at 02:00 every day, Europe/Berlin",
        "missed": "one",
        "overlap": "skip",
        "next": [f"2099-11-{day}T01:00:00.000Z" for day in range(25, 30)],
        "waits": False,
        "last": {"at": AT, "job_id": ID, "job": job("failed")},
        "last_skipped_at": None,
        "last_skipped_why": None,
        "last_failed_at": None,
        "retrying": False,
        "error": None,
        "started": 3,
        "skipped": 1,
        "failed": 0,
        "paused_at": None,
        "paused_by": None,
        "created_at": AT,
        "created_by": "operator:ada",
        "updated_at": AT,
        "updated_by": "operator:ada\x9b",
        **changes,
    }


@pytest.mark.parametrize("words", [["schedules"], ["schedules", "list"]])
def test_schedules_in_a_pipe_are_a_line_each_with_tabs(api: FakeApi, words: list[str]) -> None:
    gone = {"at": AT, "job_id": ID, "job": None}
    listed = [
        schedule(),
        schedule("a\x9bb", last=gone, waits=True),
        schedule("held", last=None, next=[], paused_at=AT),
        schedule("broken", retrying=True, error={"kind": "UnknownJobType", "message": "gone"}),
        schedule("hides", declared=True),
        schedule("of the code", origin="code", declared=True),
        schedule("removed", origin="code", declared=False),
    ]
    api.on("GET", LISTED, 200, {"schedules": listed, "cursor": None})
    lines = [line.split("\t") for line in jobs(*words).stdout.splitlines()]
    what, coming = ["make_report", "at 02:00 every day, Europe/Berlin"], listed[0]["next"][0]
    assert lines == [
        ["nightly", *what, AT, "failed", coming, "", "api"],
        ["a\ufffdb", *what, AT, "gone", coming, "waiting for the previous job", "api"],
        ["held", *what, "", "", "", f"paused {AT}", "api"],
        ["broken", *what, AT, "failed", coming, "starting failed, retrying", "api"],
        ["hides", *what, AT, "failed", coming, "", "api, overrides the code"],
        ["of the code", *what, AT, "failed", coming, "", "code"],
        ["removed", *what, AT, "failed", coming, "", "code of another version"],
    ]
    assert json.loads(jobs(*words, "--json").stdout) == {"schedules": listed}


def test_schedules_on_a_terminal_have_heads(api: FakeApi) -> None:
    api.on("GET", LISTED, 200, {"schedules": [schedule()], "cursor": None})
    terminal = Terminal("schedules")
    assert terminal.end() == 0
    heads = ("SCHEDULE", "JOB", "WHEN", "LAST", "NEXT", "FROM")
    assert all(head in terminal.text for head in heads)


def test_a_terminal_says_what_is_due_and_in_how_long_the_next_comes(api: FakeApi) -> None:
    listed = [schedule("late", next=[AT]), schedule(last=None)]
    api.on("GET", LISTED, 200, {"schedules": listed, "cursor": None})
    terminal = Terminal("schedules")
    assert terminal.end() == 0
    late, nightly = click.unstyle(terminal.text).splitlines()[-2:]
    assert re.search(r" ago  failed  due +api$", late.rstrip())
    assert re.search(r"  in \d+ d +api$", nightly.rstrip())


def test_without_any_it_says_how_to_put_one(api: FakeApi) -> None:
    api.on("GET", LISTED, 200, {"schedules": [], "cursor": None})
    done = jobs("schedules")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "job-runners schedules put" in done.stderr
    assert "No schedules of organization default. " in done.stderr
    assert "declared in code appear within a minute" in done.stderr
    assert "Each belongs to the organization that it names: pass --organization." in done.stderr


def test_one_is_shown_with_all_that_is_known(api: FakeApi) -> None:
    error = {"kind": "QueueFull", "message": "the queue is full"}
    changes: dict[str, Any] = {
        "last_skipped_at": AT,
        "last_skipped_why": "the one before it still ran",
        "last_failed_at": AT,
        "error": error,
    }
    api.on("GET", NIGHTLY, 200, schedule(**changes))
    shown = dict(
        line.split(None, 1) for line in jobs("schedules", "show", "nightly").stdout.splitlines()
    )
    assert shown["schedule"] == "nightly"
    assert shown["when"] == "at 02:00 every day, Europe/Berlin"
    assert shown["payload"] == '{"list": 7}'
    assert shown["defined"] == f"{AT} by operator:ada\ufffd"
    assert shown["last"] == f"{AT}, job {ID}: failed"
    assert shown["skipped"] == f"{AT}: the one before it still ran"
    assert shown["not"] == f"started   {AT}: QueueFull: the queue is full"
    assert shown["so"] == "far        3 started, 1 skipped, 0 failed"
    assert shown["next"] == ", ".join(schedule()["next"])
    assert json.loads(jobs("schedules", "show", "nightly", "--json").stdout) == schedule(**changes)


def test_one_that_the_code_declares_and_that_is_paused_says_so(api: FakeApi) -> None:
    paused: dict[str, Any] = {
        "paused_at": AT,
        "paused_by": "operator:ada",
        "next": [],
        "last": None,
    }
    declared = schedule(origin="code", declared=True, updated_by=None, **paused)
    api.on("GET", NIGHTLY, 200, declared)
    text = jobs("schedules", "show", "nightly").stdout
    assert "defined       in code\n" in text
    assert f"paused        {AT} by operator:ada\n" in text
    assert "last          no occurrences yet\n" in text
    assert "next          paused\n" in text


def test_one_that_hides_what_the_code_declares_says_so(api: FakeApi) -> None:
    api.on("GET", NIGHTLY, 200, schedule(declared=True))
    text = jobs("schedules", "show", "nightly").stdout
    assert f"defined       {AT} by operator:ada" in text
    assert "overrides     the schedule of this name that the code declares (RECURRING)." in text
    assert "5 minutes after this one is deleted\n" in text


def test_one_that_the_code_no_longer_declares_says_when_it_goes(api: FakeApi) -> None:
    api.on("GET", NIGHTLY, 200, schedule(origin="code", declared=False))
    text = jobs("schedules", "show", "nightly").stdout
    assert "defined       by another version of the code, not by this version." in text
    assert "15 minutes after the other version is gone\n" in text
    assert "overrides" not in text


@pytest.mark.parametrize(
    ("words", "sent"),
    [
        (
            ["--cron", "0 2 * * *", "--timezone", "Europe/Berlin", "list:=7"],
            {
                "cron": "0 2 * * *",
                "timezone": "Europe/Berlin",
                "payload": {"list": 7},
                "missed": "one",
                "overlap": "skip",
            },
        ),
        (
            ["--every", "15m", "--missed", "5", "--overlap", "allow"],
            {"every": 900, "payload": {}, "missed": 5, "overlap": "allow"},
        ),
        (
            ["--every", "1d", "--missed", "skip", "--payload", '{"a": "b"}'],
            {"every": 86400, "payload": {"a": "b"}, "missed": "skip", "overlap": "skip"},
        ),
    ],
)
def test_a_schedule_is_put(api: FakeApi, words: list[str], sent: dict[str, Any]) -> None:
    api.on("PUT", NIGHTLY, 201, schedule())
    done = jobs("schedules", "put", "nightly", "make_report", *words)
    assert done.exit_code == 0, done.output
    (asked,) = api.asked("PUT", NIGHTLY)
    assert asked.body == {"job_type": "make_report", **sent}
    first = schedule()["next"][0]
    assert f"Put: nightly, at 02:00 every day, Europe/Berlin, next {first}, on " in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--cron", "* * * * *", "--every", "15m"],
        ["--every", "soon"],
        ["--every", "15m", "--missed", "all"],
        ["--every", "15m", "--overlap", "wait"],
    ],
)
def test_a_command_line_that_can_not_be_meant_asks_nothing(api: FakeApi, words: list[str]) -> None:
    done = jobs("schedules", "put", "nightly", "make_report", *words)
    assert done.exit_code == Exit.USAGE
    assert api.calls == []


@pytest.mark.parametrize(
    ("every", "words"),
    [("30s", "'30s' is too short. The minimum is 1m"), ("400d", "The maximum is 366d")],
)
def test_an_interval_that_no_schedule_may_have_is_answered_in_its_own_units(
    api: FakeApi, every: str, words: str
) -> None:
    done = jobs("schedules", "put", "nightly", "make_report", "--every", every)
    assert done.exit_code == Exit.USAGE
    assert words in done.stderr


def test_what_the_api_refuses_is_said_as_it_says_it(api: FakeApi) -> None:
    wrong = {"field": "cron", "why": "'0 0 30 2 *' never matches: these months have no such day"}
    api.on("PUT", NIGHTLY, 422, problem(422, "cron: ...", wrong))
    done = jobs("schedules", "put", "nightly", "make_report", "--cron", "0 0 30 2 *")
    assert done.exit_code == Exit.REFUSED
    assert "cron: '0 0 30 2 *' never matches" in done.stderr


def test_pause_resume_and_run_say_what_they_did(api: FakeApi) -> None:
    api.on("PUT", f"/schedules/nightly/paused{WHOSE}", 200, schedule(paused_at=AT, next=[]))
    api.on("DELETE", f"/schedules/nightly/paused{WHOSE}", 200, schedule())
    api.on("POST", f"/schedules/nightly/run{WHOSE}", 202, job("queued"))
    assert jobs("schedules", "pause", "nightly").stdout.startswith("Paused: schedule nightly, on ")
    said = jobs("schedules", "resume", "nightly").stdout
    assert said.startswith(f"Resumed: schedule nightly, next {schedule()['next'][0]}, on ")
    done = jobs("schedules", "run", "nightly")
    assert done.stdout == f"{ID}\n"
    (asked,) = api.asked("POST", f"/schedules/nightly/run{WHOSE}")
    assert asked.headers["Idempotency-Key"]


def test_a_run_of_unique_work_says_what_became_of_it(api: FakeApi) -> None:
    path = f"/schedules/nightly/run{WHOSE}"
    replayed = {"Idempotent_Replayed": "true"}  # to the client's own repetition, that is
    for headers in ({"Unique_Outcome": "returned"}, {"Unique_Outcome": "follows"}, replayed):
        api.on("POST", path, 202, job("queued"), **headers)
    words = [jobs("schedules", "run", "nightly").stderr for _ in range(3)]
    assert "import_contacts already exists (same work), queued, on " in words[0]
    assert "will start after the running job that does the same work, queued, on " in words[1]
    assert "import_contacts dispatched, queued, on " in words[2]


@pytest.mark.parametrize("outcome", ["returned", "replaced", "follows"])
def test_json_says_what_became_of_a_request_for_unique_work(api: FakeApi, outcome: str) -> None:
    for words, path in (
        (["dispatch", "import_contacts", "--idempotency-key", "may"], "/jobs"),
        (["schedules", "run", "nightly"], f"/schedules/nightly/run{WHOSE}"),
        (["rerun", ID], f"/jobs/{ID}/rerun"),
    ):
        headers = {"Idempotent_Replayed": "true", "Unique_Outcome": outcome}
        api.on("POST", path, 202, job("queued"), **headers)
        said = json.loads(jobs(*words, "--json").stdout)
        assert said["unique_outcome"] == outcome
        assert said["replayed"] is (path == "/jobs")  # else the client has repeated its own call


def test_a_deletion_is_asked_for(api: FakeApi) -> None:
    api.on("DELETE", NIGHTLY, 204)
    assert jobs("schedules", "delete", "nightly").exit_code == Exit.USAGE
    assert api.calls == []
    assert jobs("schedules", "delete", "nightly", "--yes").stdout.startswith("Deleted: schedule")
    said = jobs("schedules", "delete", "nightly", "--yes", "--json").stdout
    assert json.loads(said) == {"name": "nightly", "deleted": True}
