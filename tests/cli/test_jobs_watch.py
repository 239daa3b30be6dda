"""job-runners watch: following jobs, and what its exit code tells a script."""

import itertools
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from job_runners.cli import polling
from job_runners.places import ROOT
from jobs_command import ID, FakeApi, Terminal, job, jobs, problem

OTHER = "7b21" + "0" * 28


def view(job_id: str = ID) -> tuple[str, str]:
    """Return the call that reads a job."""
    return "GET", f"/jobs/{job_id}"


def error(message: str = "there is no such file") -> dict[str, str]:
    """Why a job failed."""
    return {"kind": "MissingObject", "message": message}


@pytest.mark.parametrize(("status", "code"), [("succeeded", 0), ("failed", 3), ("canceled", 4)])
def test_the_exit_code_tells_how_a_job_ended(api: FakeApi, status: str, code: int) -> None:
    api.on(*view(), 200, job("running", progress=50), Retry_After="0")
    api.on(*view(), 200, job(status, error=error() if status == "failed" else None))
    done = jobs("watch", ID)
    assert done.exit_code == code
    assert [line.split()[2] for line in done.stdout.splitlines()] == ["running", status]


def test_of_many_one_that_failed_counts_for_more_than_one_that_was_canceled(api: FakeApi) -> None:
    api.on(*view(), 200, job("canceled"))
    api.on(*view(OTHER), 200, job("failed", id=OTHER, error=error()))
    assert jobs("watch", ID, OTHER).exit_code == 3


def test_a_job_is_asked_for_as_often_as_the_api_suggests(api: FakeApi) -> None:
    api.on(*view(), 200, job("running"), Retry_After="0.4")
    api.on(*view(), 200, job("succeeded"))
    began = time.monotonic()
    jobs("watch", ID)
    assert time.monotonic() - began > 0.4
    assert len(api.calls) == 2


def test_a_job_is_asked_for_after_a_day_at_the_latest(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    api.on(*view(), 200, job("running"), Retry_After="9" * 20)
    api.on(*view(), 200, job("succeeded"))
    assert jobs("watch", ID).exit_code == 0
    assert max(slept) == pytest.approx(86_400, abs=60)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_job_that_waits_for_its_group_shows_how_many_members_have_ended(
    api: FakeApi, as_json: bool
) -> None:
    found = {"kind": "group", "name": "counts", "key": None, "since": None, "until": None}
    group = {"name": "counts", "total": 1300, "failed": 0, "succeeded": 120, "canceled": 0}
    group |= {"existing": 0, "progress": 9, "as_of": None}
    for still_open, failed in ((1180, 0), (1000, 2)):
        api.on(*view(), 200, job("waiting", waits_for=found), Retry_After="0")
        if not as_json:
            counts = group | {"open": still_open, "failed": failed}
            api.on("GET", f"/jobs/{ID}/groups", 200, {"groups": [counts]})
    api.on(*view(), 200, job("succeeded"))
    done = jobs("watch", ID, *(["--json"] if as_json else []))
    assert done.exit_code == 0
    if as_json:
        assert json.loads(done.stdout.splitlines()[0])["waits_for"] == found
    else:
        first, second, _ = done.stdout.splitlines()
        assert first.endswith("waits for the jobs of its group counts: 120 of 1,300 have ended")
        assert second.endswith("300 of 1,300 have ended, 2 failed")


def test_a_line_is_printed_only_when_something_changed(api: FakeApi) -> None:
    for progress in (10, 10, 10, 20):
        api.on(*view(), 200, job("running", progress=progress), Retry_After="0")
    api.on(*view(), 200, job("succeeded", progress=100, result={"rows": 3}))
    *lines, result = jobs("watch", ID).stdout.splitlines()
    assert result == '{"rows": 3}'
    assert [line.split()[3] for line in lines] == ["10%", "20%", "100%"]


def test_a_job_that_is_tried_again_says_when_and_after_which_error(api: FakeApi) -> None:
    error = {"kind": "ValueError", "message": "nope"}
    again = job("retryable", attempt=2, run_at="2026-11-24T12:00:00Z", error=error)
    api.on(*view(), 200, again, Retry_After="0")
    api.on(*view(), 200, job("succeeded"))
    first = jobs("watch", ID).stdout.splitlines()[0]
    assert re.search(r"attempt 2 of 5 at [-0-9: ]+, after ValueError: nope$", first)


@pytest.mark.parametrize(
    ("waits_for", "words"),
    [
        (("job_type", "import_x"), "waits for job type import_x, which is paused"),
        (("queue", "imports"), "waits for queue imports, which is paused"),
        (("line", "imports", "*"), "waits for its turn in queue imports"),
        (("line", "imports", "acme"), "waits for its turn in queue imports, acme"),
        (("line", "imports"), "waits for its turn in queue imports"),  # as viewers are told
        (("job", OTHER), f"waits for the end of job {OTHER}"),
    ],
)
def test_a_job_that_waits_says_what_for(
    api: FakeApi, waits_for: tuple[str, ...], words: str
) -> None:
    found = dict(itertools.zip_longest(("kind", "name", "key"), waits_for))
    waiting = job("waiting", waits_for=found)
    api.on(*view(), 200, waiting, Retry_After="0")
    api.on(*view(), 200, job("succeeded"))
    assert jobs("watch", ID).stdout.splitlines()[0].split(None, 4)[4] == words
    api.on(
        "GET", "/jobs?organization_id=default&limit=100", 200, {"jobs": [waiting], "cursor": None}
    )
    assert jobs("list").stdout.splitlines()[0].split("\t")[-1] == words


def test_json_is_an_object_for_each_change(api: FakeApi) -> None:
    api.on(*view(), 200, job("running"), Retry_After="0")
    api.on(*view(), 200, job("failed", error=error()))
    done = jobs("watch", ID, "--json")
    assert [json.loads(line)["status"] for line in done.stdout.splitlines()] == [
        "running",
        "failed",
    ]


def test_when_the_time_is_over_it_says_which_jobs_go_on(api: FakeApi) -> None:
    api.on(*view(), 200, job("running"), Retry_After="60")
    done = jobs("watch", ID, "--timeout", "0.2")
    assert done.exit_code == 7
    assert f"job-runners watch {ID}" in done.stderr


def test_an_api_that_is_away_for_a_while_is_waited_for(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "_RETRY_SECONDS", 0)
    for _ in range(4):
        api.on(*view(), 503, problem(503, "a service did not answer"), Retry_After="0")
    api.on(*view(), 200, job("succeeded"))
    done = jobs("watch", ID)
    assert done.exit_code == 0
    assert "Retrying" in done.stderr


def test_dispatch_with_watch_ends_as_the_job_does(api: FakeApi) -> None:
    api.on("POST", "/jobs", 202, job("queued"))
    api.on(*view(), 200, job("failed", error=error("there is no such file")))
    done = jobs("dispatch", "import_contacts", "--watch")
    assert done.exit_code == 3
    assert "there is no such file" in done.stdout


@pytest.mark.parametrize(("status", "code"), [("failed", 3), ("succeeded", 1)])
def test_retry_with_watch_follows_what_it_retried(api: FakeApi, status: str, code: int) -> None:
    api.on("POST", f"/jobs/{OTHER}/retry", 409, problem(409, "It has succeeded."))
    api.on("POST", f"/jobs/{ID}/retry", 202, job("queued"))
    api.on(*view(), 200, job(status, error=error() if status == "failed" else None))
    done = jobs("retry", OTHER, ID, "--watch")
    assert done.exit_code == code
    refused, retried, ended = done.stdout.splitlines()
    assert refused.endswith("It has succeeded.")
    assert (retried.split()[1], ended.split()[2]) == ("queued", status)


# --- on a terminal --------------------------------------------------------------------------------


def test_ctrl_c_leaves_the_job_alone_and_says_so(api: FakeApi) -> None:
    api.on(*view(), 200, job("running", progress=31, result_message="row 3,120"), Retry_After="1")
    terminal = Terminal("watch", ID)
    terminal.until("row 3,120")
    terminal.process.send_signal(signal.SIGINT)
    said = terminal.until("job-runners cancel")
    assert terminal.end() == 130
    assert "The job continues." in said
    assert {call.method for call in api.calls} == {"GET"}


def test_a_terminal_shows_what_failed(api: FakeApi) -> None:
    api.on(*view(), 200, job("running", progress=31), Retry_After="0")
    failed = error("\x1b]0;gotcha\x07no file") | {"traceback": "Traceback …"}
    api.on(*view(), 200, job("failed", progress=31, error=failed))
    terminal = Terminal("watch", ID)
    said = terminal.until("job-runners retry")
    assert "Traceback: job-runners show 3f9a0000 --traceback" in said
    assert terminal.end() == 3
    assert "MissingObject" in said
    assert "\x1b]0;" not in said  # a stranger's text does not steer the terminal


def test_help_is_quick_enough_to_be_asked_for(tmp_path: Path) -> None:
    program = "import sys; from job_runners.cli.app import jobs; jobs(['--help'])"
    heavy = (
        "import atexit, sys; atexit.register(lambda: print(sorted(sys.modules), file=sys.stderr))"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{heavy}\n{program}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "dispatch" in done.stdout
    for module in ("botocore", "boto3", "urllib.request"):
        assert f"'{module}'" not in done.stderr, module
