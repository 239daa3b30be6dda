"""job-runners failures: what keeps failing, as people and programs are told."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from job_runners.cli import for_each_job
from job_runners.cli.problem import Exit
from jobs_command import ID, FakeApi, job, jobs, problem

OTHER = "7b21" + "0" * 28
FAILURE = "ab12" + "0" * 28
WHOSE = "organization_id=default"
AT = "2026-11-24T01:00:00.000Z"


def failure(**changes: Any) -> dict[str, Any]:
    """Return an error group as the API shows it."""
    return {
        "id": FAILURE,
        "job_type": "make_report",
        "error_kind": "KeyError",
        "frame": "acme.reports:total\x1b",
        "state": "new",
        "failures": 1200,
        "first_seen_at": AT,
        "last_seen_at": AT,
        "first_build": "0123456789ab",
        "sample_job_id": ID,
        "note": None,
        "resolved_at": None,
        "resolved_by": None,
        "regressed_at": None,
        **changes,
    }


@pytest.fixture
def listed(api: FakeApi) -> None:
    api.on("GET", f"/error-groups?{WHOSE}", 200, {"error_groups": [failure()], "complete": True})


@pytest.mark.parametrize("words", [["failures"], ["failures", "list"]])
def test_failures_in_a_pipe_are_a_line_each_with_tabs(listed: None, words: list[str]) -> None:
    (line,) = jobs(*words).stdout.splitlines()
    cells = line.split("\t")
    assert cells[:6] == [
        *(FAILURE, "make_report", "KeyError", "acme.reports:total\ufffd", "1,200", "new")
    ]


def test_failures_for_programs_are_those_of_the_api(listed: None) -> None:
    assert json.loads(jobs("failures", "--json").stdout) == {"error_groups": [failure()]}


def test_no_failures_are_a_sentence(api: FakeApi) -> None:
    api.on("GET", f"/error-groups?{WHOSE}", 200, {"error_groups": [], "complete": True})
    done = jobs("failures")
    assert (done.stdout, done.exit_code) == ("", Exit.DONE)
    assert done.stderr == "No job of organization default has failed.\n"


def jobs_of_it(api: FakeApi, *ids: str, status: str = "") -> None:
    listed = [job("failed", id=each, job_type="make_report") for each in ids]
    path = f"/jobs?{WHOSE}&limit=100{status}&error_group={FAILURE}"
    api.on("GET", path, 200, {"jobs": listed, "cursor": None})


def test_the_jobs_of_a_failure_are_listed(api: FakeApi, listed: None) -> None:
    jobs_of_it(api, ID, OTHER)
    lines = jobs("list", "--error-group", "ab12").stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == [ID, OTHER]


def test_a_failure_is_retried_with_a_rate(
    api: FakeApi, listed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs_of_it(api, ID, OTHER, status="&status=failed")
    now: list[float] = [0.0]
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=sleep)
    monkeypatch.setattr(for_each_job, "time", clock)
    api.on("POST", f"/jobs/{ID}/retry", 202, job("queued"))
    api.on("POST", f"/jobs/{OTHER}/retry", 409, problem(409, "The job is queued."))
    done = jobs("retry", "--error-group", "ab12", "--rate", "2", "--yes")
    assert done.exit_code == Exit.REFUSED  # the second job was retried by another caller
    assert [line[:32] for line in done.stdout.splitlines()] == [ID, OTHER]
    assert [each for each in waits if each] == [0.5]


def test_a_retry_of_a_failure_asks_first(api: FakeApi, listed: None) -> None:
    jobs_of_it(api, ID, status="&status=failed")
    done = jobs("retry", "--error-group", "ab12")
    assert done.exit_code == Exit.USAGE
    assert "Retry 1 failed job of organization default" in done.output


@pytest.mark.parametrize(
    ("words", "body", "state"),
    [
        (["resolve", "ab12"], {"resolved": True}, "resolved"),
        (["reopen", "ab12"], {"resolved": False}, "known"),
        (["note", "ab12", "ask ada"], {"note": "ask ada"}, "new"),
        (["note", "ab12", ""], {"note": None}, "new"),
    ],
)
def test_a_failure_is_changed(
    api: FakeApi, listed: None, words: list[str], body: Any, state: str
) -> None:
    path = f"/error-groups/{FAILURE}?{WHOSE}"
    api.on("PUT", path, 200, failure(state=state))
    done = jobs("failures", *words)
    assert done.stdout == f"{FAILURE}  {state}\n"
    assert [each.body for each in api.asked("PUT", path)] == [body]


def test_an_unknown_failure_is_refused(listed: None) -> None:
    done = jobs("failures", "resolve", "cd34")
    assert done.exit_code == Exit.REFUSED
    assert "No error group of organization default has an id that starts with cd34." in done.stderr
