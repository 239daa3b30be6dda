"""The commands that look at jobs and steer them."""

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from job_runners.places import ROOT
from jobs_command import ID, FakeApi, job, jobs, problem

OTHER = "7b21" + "0" * 28
LIST = "/jobs?organization_id=default&limit=100"


def page(*listed: dict[str, Any], cursor: str | None = None) -> dict[str, Any]:
    """Return a page of a list."""
    return {"jobs": list(listed), "cursor": cursor}


# --- list -----------------------------------------------------------------------------------------


def test_a_list_in_a_pipe_is_a_line_for_each_job_with_tabs(api: FakeApi) -> None:
    failed = job("failed", id=OTHER, error={"kind": "Broken", "message": "one\ttwo\nthree"})
    api.on("GET", LIST, 200, page(job("running", progress=31), failed))
    lines = [line.split("\t") for line in jobs("list").stdout.splitlines()]
    assert [line[:4] for line in lines] == [
        [ID, "import_contacts", "running", "31%"],
        [OTHER, "import_contacts", "failed", "0%"],
    ]
    assert lines[1][5] == "Broken: one two three"


def test_a_list_goes_on_over_pages_until_it_has_enough(api: FakeApi) -> None:
    api.on("GET", f"{LIST}&status=failed", 200, page(job("failed"), cursor="next+page"))
    rest = page(*[job("failed", id=OTHER)] * 3)
    api.on("GET", f"{LIST}&status=failed&cursor=next%2Bpage", 200, rest)
    done = jobs("list", "--status", "failed", "--limit", "2")
    assert len(done.stdout.splitlines()) == 2
    assert "Showing the newest 2" in done.stderr
    assert len(jobs("list", "--status", "failed", "--all", "--json").stdout.splitlines()) == 1


def test_filters_reach_the_api(api: FakeApi) -> None:
    path = "/jobs?organization_id=a%20b&limit=100&job_type=export_contacts&queue_name=q&search=x%3A"
    api.on("GET", path, 200, page())
    known = {"name": "export_contacts", "queue_name": "q", "queues": ["q"]}
    api.on("GET", "/job-types", 200, {"jobs": [known], "tasks": []})
    words = ("--type", "export_contacts", "--queue", "q", "--search", "x:")
    done = jobs("list", *words, "--organization", "a b")
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    assert "No matching jobs of organization a b" in done.stderr


def test_a_list_can_begin_some_time_ago_or_at_a_time(api: FakeApi) -> None:
    time = f"{datetime.now(UTC) - timedelta(hours=30):%FT%T+00:00}"
    for since, hours in (("2h", 2), (time, 30)):
        jobs("list", "--since", since)
        (asked,) = parse_qs(urlsplit(api.calls[-1].path).query)["since"]
        span = datetime.now(UTC) - datetime.fromisoformat(asked)
        assert abs(span - timedelta(hours=hours)) < timedelta(minutes=10)


@pytest.mark.parametrize("since", ["yesterday", "2026-13-01T09:00"])
def test_a_list_that_begins_at_no_time_is_refused(api: FakeApi, since: str) -> None:
    done = jobs("list", "--since", since)
    assert (done.exit_code, api.calls) == (2, [])
    assert f"'{since}' isn't a time" in " ".join(done.stderr.split())


def test_a_reader_that_has_seen_enough_is_no_error(api: FakeApi) -> None:
    """As in job-runners list --all | head -1."""
    api.on("GET", LIST, 200, page(*[job("queued")] * 3000))
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "job_runners.cli", "list", "--all"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(ID)
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


def test_an_unknown_status_is_refused_with_those_there_are(api: FakeApi) -> None:
    done = jobs("list", "--status", "done")
    assert done.exit_code == 2
    assert "succeeded" in done.stderr


# --- show -----------------------------------------------------------------------------------------


def test_a_job_is_shown_with_its_payload_result_and_error(api: FakeApi) -> None:
    error = {"kind": "Broken", "message": "no such column", "traceback": "File x.py, line 7"}
    whole = job(
        "failed", payload={"key": "a.csv"}, result={"rows": 3}, error=error, notes=["a note"]
    )
    api.on("GET", f"/jobs/{ID}", 200, whole)
    shown = jobs("show", ID).stdout
    for words in ('"key": "a.csv"', '"rows": 3', "Broken: no such column", "a note"):
        assert words in shown
    assert "line 7" not in shown
    assert "line 7" in jobs("show", ID, "--traceback").stdout


def test_a_job_is_shown_with_who_did_what(api: FakeApi) -> None:
    authors = {
        "created_by": "operator:ada\x9b",
        "requeued_by": None,
        "canceled_by": "service:user/x",
    }
    api.on("GET", f"/jobs/{ID}", 200, job("canceled", **authors))
    shown = jobs("show", ID).stdout
    assert "created by    operator:ada\ufffd\n" in shown
    assert "canceled by   service:user/x\n" in shown
    assert "retried by" not in shown


def test_a_job_is_shown_with_the_errors_of_its_earlier_attempts(api: FakeApi) -> None:
    errors = [
        {"attempt": 1, "at": "2026-11-24T12:01:00.000Z", "kind": "Timeout", "message": "slow\x1b"},
        {"attempt": 2, "at": "2026-11-24T12:05:00.000Z", "kind": "Refused", "message": "full"},
    ]
    running = job("running", attempt=3, earlier_errors=errors, parent_id=OTHER)
    api.on("GET", f"/jobs/{ID}", 200, running)
    shown = jobs("show", ID).stdout
    assert shown.index("Refused: full") < shown.index("Timeout: slow\ufffd")
    assert "attempt 2, 2026-11-24T12:05" in shown
    assert OTHER in shown
    assert "manual retry" not in shown


@pytest.mark.parametrize("attempt", [1, 2])
def test_attempts_before_a_manual_retry_are_marked(api: FakeApi, attempt: int) -> None:
    numbers = [1, 2, 1][: attempt + 1]  # attempt 2 failed, and a person retried the job
    more = {"at": "2026-11-24T12:01:00.000Z", "kind": "Timeout", "message": "slow"}
    errors = [{"attempt": each, **more} for each in numbers]
    api.on("GET", f"/jobs/{ID}", 200, job("succeeded", attempt=attempt, earlier_errors=errors))
    shown = jobs("show", ID).stdout
    found = re.findall(r"^  (?:attempt (\d),|before the manual (retry):)", shown, re.MULTILINE)
    since = ["1", "retry"] if attempt == 2 else ["retry"]
    assert ["".join(each) for each in found] == [*since, "2", "1"]


def test_a_job_is_shown_with_its_follow_ups(api: FakeApi) -> None:
    saved = [{"kind": "on_end", "job_type": "update_crm", "id": OTHER}]
    named = {"on_end": "update_crm", "on_failure": "page_the_team", "follow_ups": saved}
    api.on("GET", f"/jobs/{ID}", 200, job("succeeded", **named))
    shown = jobs("show", ID).stdout
    assert f"on end        update_crm {OTHER}\n" in shown
    assert "on failure    page_the_team\n" in shown
    api.on("GET", f"/jobs/{OTHER}", 200, job("succeeded", id=OTHER, follow_up_of=ID))
    assert f"follow-up of  {ID}\n" in jobs("show", OTHER).stdout


def test_a_job_is_shown_with_its_children(api: FakeApi) -> None:
    api.on("GET", f"/jobs/{ID}", 200, job("succeeded"))
    children = [
        {"key": "print", "id": OTHER, "job": job("failed", id=OTHER)},
        {"key": "old", "id": "c" * 32, "job": None},
    ]
    path = f"/jobs/{ID}/children?limit=100"
    api.on("GET", path, 200, {"children": children, "cursor": "more"})
    rest = [{"key": f"{each}", "id": "d" * 32, "job": None} for each in range(99)]
    api.on("GET", f"{path}&cursor=more", 200, {"children": rest, "cursor": None})
    lines = [line.strip() for line in jobs("show", ID).stdout.splitlines()]
    assert f"{OTHER}  print  import_contacts, failed" in lines
    assert f"{'c' * 32}  old  gone" in lines
    assert lines[-1] == "and more"


def test_a_job_is_shown_with_its_timeline(api: FakeApi) -> None:
    def at(second: float) -> str:
        return f"2026-11-24T12:00:{second:06.3f}Z"

    nothing: dict[str, Any] = dict.fromkeys(
        ("name", "claim", "attempt", "run", "ready_at", "until", "ended_at", "outcome", "error")
    )
    nothing |= {"by": None, "id": None}
    lost = nothing | {"kind": "invocation", "claim": 1, "attempt": 1, "run": 1, "outcome": "failed"}
    lost |= {"ready_at": at(0), "began_at": at(2), "ended_at": at(7.5), "error": "Broken"}
    step = nothing | {"kind": "step", "name": "charge\x1b", "outcome": "done"}
    step |= {"began_at": at(3.25), "ended_at": at(3.287)}
    wait = nothing | {"kind": "signal", "name": "approval", "began_at": at(9)}
    acts: list[dict[str, Any]] = [{"at": at(0), "what": "dispatched", "by": "operator:ada"}]
    acts.append({"at": at(8), "what": "retried", "by": None})
    timeline = {"acts": acts, "records": [lost | {"name": "print"}, step, wait], "gaps": [2]}
    api.on("GET", f"/jobs/{ID}", 200, job("waiting"))
    api.on("GET", f"/jobs/{ID}/timeline", 200, timeline | {"complete": False})
    shown = jobs("show", ID).stdout.partition("timeline\n")[2].splitlines()
    assert shown[2].split("\t")[0].endswith(":00:03.250")
    assert [line.split("\t")[1:] for line in shown[:5]] == [
        ["", "dispatched by operator:ada", ""],
        [
            *("5.5 s", "invocation 1 (attempt 1)"),
            "attempt failed: Broken in step print; waited 2.0 s for a worker",
        ],
        ["37 ms", "step charge\ufffd", "done"],
        ["", "retried", ""],
        ["so far", "signal approval", "open"],
    ]
    assert shown[5:] == ["  and more: see the dashboard", "  not recorded: invocations 2"]


def test_a_job_is_shown_that_has_an_idempotency_key(api: FakeApi) -> None:
    found = "/jobs?organization_id=default&idempotency_key=order%2017"
    api.on("GET", found, 200, {"jobs": [job("queued")], "cursor": None})
    api.on("GET", f"/jobs/{ID}", 200, job("succeeded"))
    assert json.loads(jobs("show", "--idempotency-key", "order 17", "--json").stdout)["id"] == ID
    none = "/jobs?organization_id=default&idempotency_key=never"
    api.on("GET", none, 200, {"jobs": [], "cursor": None})
    done = jobs("show", "--idempotency-key", "never")
    assert done.exit_code == 1
    assert "No job of organization default has this idempotency key" in done.stderr
    for words in ([], [ID, "--idempotency-key", "k"]):
        assert jobs("show", *words).exit_code == 2


def test_text_of_strangers_does_not_steer_the_terminal(api: FakeApi) -> None:
    api.on(
        "GET",
        f"/jobs/{ID}",
        200,
        job("running", result_message="\x1b]0;gone\x07", payload="\x1b]0;"),
    )
    assert "\x1b" not in jobs("show", ID).stdout


def test_the_start_of_an_id_is_enough_if_one_of_the_newest_jobs_has_it(api: FakeApi) -> None:
    api.on("GET", LIST, 200, page(job("succeeded", id=OTHER), job("succeeded")))
    api.on("GET", f"/jobs/{ID}", 200, job("succeeded"))
    assert json.loads(jobs("show", ID[:8], "--json").stdout)["id"] == ID


@pytest.mark.parametrize(
    ("start", "said"), [("3f9a", "2 jobs have ids that start"), ("dead", "None of the newest")]
)
def test_the_start_of_two_ids_or_of_none_is_refused(api: FakeApi, start: str, said: str) -> None:
    api.on("GET", LIST, 200, page(job("queued"), job("queued", id="3f9a" + "1" * 28)))
    done = jobs("cancel", start)
    assert done.exit_code == 1
    assert said in done.output
    assert api.asked("POST", f"/jobs/{ID}/cancel") == []


# --- cancel, retry, delete ------------------------------------------------------------------------


def test_each_is_canceled_and_one_that_is_refused_does_not_hold_up_the_others(
    api: FakeApi,
) -> None:
    api.on("POST", f"/jobs/{OTHER}/cancel", 409, problem(409, "It has succeeded."))
    api.on("POST", f"/jobs/{ID}/cancel", 202, job("running", cancel_requested=True))
    done = jobs("cancel", OTHER, ID)
    assert done.exit_code == 1
    first, second = done.stdout.splitlines()
    assert first == f"{OTHER}  It has succeeded."
    assert second.startswith(f"{ID}  asked to stop")


def test_a_job_is_canceled_with_its_members(api: FakeApi) -> None:
    api.on("POST", f"/jobs/{ID}/cancel?members=true", 202, job("waiting", cancel_requested=True))
    done = jobs("cancel", ID, "--members")
    assert done.stdout.strip() == f"{ID}  is canceled once its members have ended"


def test_all_failed_jobs_of_a_type_are_retried_and_each_is_printed(api: FakeApi) -> None:
    path = f"{LIST}&status=failed&job_type=import_contacts"
    api.on("GET", path, 200, page(job("failed"), job("failed", id=OTHER)))
    for each in (ID, OTHER):
        api.on("POST", f"/jobs/{each}/retry", 202, job("queued", id=each))
    done = jobs("retry", "--failed", "--type", "import_contacts", "--yes")
    assert done.exit_code == 0, done.output
    assert [line.split() for line in done.stdout.splitlines()] == [
        [ID, "queued"],
        [OTHER, "queued"],
    ]


@pytest.mark.parametrize("words", [("retry", "--failed"), ("delete", ID)])
def test_what_can_not_be_asked_is_not_done(api: FakeApi, words: tuple[str, ...]) -> None:
    api.on("GET", f"{LIST}&status=failed", 200, page(job("failed")))
    api.on("POST", f"/jobs/{ID}/retry", 202, job("queued"))
    api.on("DELETE", f"/jobs/{ID}", 204)
    done = jobs(*words)
    assert done.exit_code == 2
    assert "--yes" in done.stderr
    assert {each.method for each in api.calls} <= {"GET"}


@pytest.mark.parametrize(
    "words", [(), (ID, "--failed"), (ID, "--type", "x"), (ID, OTHER, "--payload", "{}")]
)
def test_a_retry_that_is_not_clear_is_refused(api: FakeApi, words: tuple[str, ...]) -> None:
    assert jobs("retry", *words).exit_code == 2
    assert api.calls == []


def test_a_retry_may_have_another_payload(api: FakeApi) -> None:
    api.on("POST", f"/jobs/{ID}/retry", 202, job("queued"))
    jobs("retry", ID, "--payload", '{"key": "b.csv"}')
    assert api.calls[-1].body == {"payload": {"key": "b.csv"}}


def test_a_job_is_run_again_as_a_new_one(api: FakeApi) -> None:
    api.on("POST", f"/jobs/{ID}/rerun", 202, job("queued", id=OTHER))
    assert jobs("rerun", ID).stdout.split() == [ID, OTHER]
    assert json.loads(jobs("rerun", ID, "--json").stdout)["id"] == OTHER
    assert jobs("rerun", ID, "--from", "charge the card").stdout.split() == [ID, OTHER]
    bodies = [each.body for each in api.asked("POST", f"/jobs/{ID}/rerun")]
    assert bodies == [None, None, {"from_step": "charge the card"}]
    assert jobs("rerun", ID, OTHER, "--from", "charge").exit_code == 2


def test_a_finished_job_is_deleted(api: FakeApi) -> None:
    api.on("DELETE", f"/jobs/{ID}", 204)
    done = jobs("delete", ID, "--yes", "--json")
    assert json.loads(done.stdout) == {"id": ID, "deleted": True}


# --- pause, resume, types -------------------------------------------------------------------------


def test_a_job_type_or_a_queue_is_paused_and_resumed(api: FakeApi) -> None:
    entry = {"kind": "queue", "name": "a b", "paused_at": "2026-11-24T12:00:00.000Z"}
    api.on("PUT", "/paused/queue/a%20b", 200, entry)
    api.on("DELETE", "/paused/job_type/import_contacts", 204)
    ours = entry | {"kind": "job_type", "name": "import_contacts"}
    counted = entry | {"waiting": 1000, "more_waiting": True}
    api.on("GET", "/paused", 200, {"paused": [ours, entry]})
    api.on("GET", "/paused", 200, {"paused": [entry | {"waiting": None}, counted]})
    assert json.loads(jobs("pause", "--queue", "a b", "--json").stdout) == entry
    assert "Resumed: job type import_contacts" in jobs("resume", "import_contacts").stdout
    again = jobs("resume", "import_contacts")
    assert (again.exit_code, again.stdout) == (0, "")
    assert "job type import_contacts wasn't paused" in again.stderr
    line = "queue\ta b\t2026-11-24T12:00:00.000Z"
    assert jobs("pause").stdout.splitlines() == [f"{line}\t", f"{line}\tat least 1000"]


@pytest.mark.parametrize(
    "words", [("resume",), ("pause", "a", "--queue", "b"), ("resume", "a", "--queue", "b")]
)
def test_what_to_pause_is_one_thing(api: FakeApi, words: tuple[str, ...]) -> None:
    done = jobs(*words)
    assert done.exit_code == 2
    assert "Pass a job type, or --queue NAME" in done.stderr


TYPES = {
    "jobs": [
        {
            "name": "import_contacts",
            "description": "Write the contacts. Twice does no harm.",
            "queue_name": "default",
            "queues": ["default"],
            "retry": {"max_attempts": 5},
            "internal": False,
            "unique": None,
            "worker": None,
            "payload_schema": {
                "properties": {
                    "key": {"type": "string", "description": "The file."},
                    "rows": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": 7},
                },
                "required": ["key"],
            },
        }
    ],
    "tasks": [],
}


def test_a_type_is_shown_with_its_fields_and_how_to_write_them(api: FakeApi) -> None:
    api.on("GET", "/job-types", 200, TYPES)
    assert jobs("types").stdout == "job\timport_contacts\tWrite the contacts\n"
    shown = jobs("types", "import_contacts").stdout
    for words in ("key  string, required", "The file.", "rows  integer | null, default 7"):
        assert words in shown
    assert "job-runners dispatch import_contacts key=..." in shown


def test_the_class_of_a_job_type_and_of_a_task_is_shown(api: FakeApi) -> None:
    large = TYPES["jobs"][0] | {"worker": "large"}
    task = {"name": "note", "description": "Note.", "payload_schema": {}, "worker": "tiny"}
    api.on("GET", "/job-types", 200, {"jobs": [large], "tasks": [task]})
    shown = jobs("types", "import_contacts").stdout
    assert "queue default, up to 5 attempts, worker large" in shown.splitlines()
    assert jobs("types", "note").stdout.splitlines()[-1] == "worker tiny"


def test_what_a_payload_is_made_of_is_shown(api: FakeApi) -> None:
    texter = {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "max_contacts": {"type": "integer"},
            "hours": {"type": "integer", "default": 9},
        },
        "required": ["id", "max_contacts"],
    }
    schema = {
        "properties": {
            "names": {"type": "array", "items": {"type": "string"}},
            "texters": {"type": "array", "items": {"$ref": "#/$defs/Texter"}},
            "mode": {"enum": ["fast", "fair"], "type": "string"},
            "day": {"type": "string", "examples": ["2026-12-24"]},
        },
        "required": ["names", "texters", "mode", "day"],
        "$defs": {"Texter": texter},
    }
    assign = TYPES["jobs"][0] | {
        "name": "assign",
        "payload_schema": schema,
        "queue_name": "assigning",
        "queues": ["assigning", "urgent", "nightly"],
    }
    api.on("GET", "/job-types", 200, {"jobs": [assign], "tasks": []})
    shown = jobs("types", "assign").stdout
    assert "queue assigning (or urgent, nightly), " in shown
    assert "Texter: id (string, required), max_contacts (integer, required), hours" in shown
    example = """names:='["..."]' texters:='[{"id": "...", "max_contacts": 1}]' mode=fast"""
    assert f"job-runners dispatch assign {example} day=2026-12-24" in shown


RULE = {
    "by": ["lot"],
    "until": "finished",
    "on_conflict": "return",
    "at_most": None,
    "then": None,
}
REPLACES = "another request replaces its payload and time"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "one job at a time per lot: another request returns the existing job"),
        (
            {"by": [], "on_conflict": "refuse"},
            "one job at a time per organization: another request is refused",
        ),
        (
            {"by": ["list", "lot"], "on_conflict": "replace"},
            f"one job at a time per list and lot: {REPLACES}; once it has started, "
            "a request returns it unchanged",
        ),
        (
            {"on_conflict": "replace", "at_most": 300, "then": "again"},
            f"one job at a time per lot: {REPLACES} (delayed by 5 min at most); once it "
            "has started, one more job follows",
        ),
        (
            {"until": "started", "on_conflict": "replace"},
            f"one unstarted job per lot: {REPLACES}",
        ),
    ],
)
def test_the_rule_of_a_type_that_is_unique_is_said_in_words(
    api: FakeApi, changes: dict[str, Any], words: str
) -> None:
    unique = TYPES["jobs"][0] | {"unique": RULE | changes}
    api.on("GET", "/job-types", 200, {"jobs": [unique], "tasks": []})
    assert words in jobs("types", "import_contacts").stdout.splitlines()
    told = json.loads(jobs("types", "import_contacts", "--json").stdout)
    assert told["unique"] == RULE | changes


def test_of_a_type_that_is_not_unique_nothing_is_said(api: FakeApi) -> None:
    api.on("GET", "/job-types", 200, TYPES)
    shown = jobs("types", "import_contacts").stdout
    assert shown.splitlines()[-1] == "queue default, up to 5 attempts"


def test_a_type_that_is_not_there_is_refused_with_the_nearest(api: FakeApi) -> None:
    api.on("GET", "/job-types", 200, TYPES)
    done = jobs("types", "import_contact")
    assert done.exit_code == 1
    assert "Did you mean import_contacts?" in done.stderr
