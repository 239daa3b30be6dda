"""job-runners logs: what all functions of a stack say about a job."""

import json
import re
import threading
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from fake_account import Account
from job_runners.cli import log_following
from jobs_command import ID, FakeApi, job, jobs

OTHER = "7b21" + "0" * 28


def test_logs_are_of_all_functions_in_order_of_time(api: FakeApi, account: Account) -> None:
    now = time.time()
    api.on("GET", f"/jobs/{ID}", 200, job("failed"))
    account.logs = {
        "log-worker": [
            (
                now - 8,
                json.dumps({"level": "ERROR", "message": "failed", "job_id": ID, "run_ms": 7}),
            ),
            (now - 7, json.dumps({"message": "another", "job_id": OTHER})),
        ],
        "log-api": [
            (
                now - 9,
                json.dumps({"level": "INFO", "message": "accepted", "job_id": ID, "attempt": 1}),
            )
        ],
    }  # the timer's is not there: nothing was ever written to it
    done = jobs("logs", ID)
    assert done.exit_code == 0, done.output
    shown = [re.sub(r"^\S+ +", "", line) for line in done.stdout.splitlines()]
    assert shown == ["Api      INFO    accepted attempt=1", "Worker   ERROR   failed run_ms=7"]
    lines = jobs("logs", ID, "--json").stdout.splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["accepted", "failed"]


@pytest.mark.parametrize(
    ("log", "invocation", "shown_lines"),
    [("log-worker", {}, 2), ("log-api", {"invocation": 1}, 2), ("log-api", {}, 1)],
    ids=["of the worker", "of the API function with legacy", "of the request that dispatched it"],
)
def test_logs_tell_how_lambda_says_an_invocation_ended(
    api: FakeApi, account: Account, log: str, invocation: dict[str, int], shown_lines: int
) -> None:
    now = time.time()
    api.on("GET", f"/jobs/{ID}", 200, job("failed"))
    metrics = {"durationMs": 900000.0, "maxMemoryUsedMB": 310, "memorySizeMB": 1024}
    tracing = {"value": "Root=1-abc;Parent=1;Sampled=1"}
    report = {"status": "timeout", "metrics": metrics, "tracing": tracing}
    claimed = {
        "level": "INFO",
        "message": "claimed",
        "job_id": ID,
        "xray_trace_id": "1-abc",
        **invocation,
    }
    account.logs[log] = [
        (now - 9, json.dumps(claimed)),
        (
            now - 8,
            json.dumps({"message": "of a child in the same trace", "xray_trace_id": "1-abc"}),
        ),
        (now - 7, json.dumps({"type": "platform.report", "record": report})),
    ]
    shown = jobs("logs", ID).stdout.splitlines()
    assert len(shown) == shown_lines
    report_line = "REPORT  timeout after 900.0 s, 310 of 1024 MB of memory used"
    assert shown[-1].endswith(report_line) == (shown_lines == 2)


def test_lines_stand_in_the_order_in_which_they_were_said(api: FakeApi, account: Account) -> None:
    api.on("GET", f"/jobs/{ID}", 200, job("failed"))
    account.logs["log-worker"] = [
        (
            time.time(),  # when both were received
            json.dumps({"message": each, "timestamp": f"{at},818+0000", "job_id": ID}),
        )
        for each, at in (("second", "2026-11-24 19:29:09"), ("first", "2026-11-24 19:29:06"))
    ]
    shown = jobs("logs", ID).stdout.splitlines()
    assert [line.split()[-1] for line in shown] == ["first", "second"]


def test_that_nothing_is_logged_is_said(api: FakeApi, account: Account) -> None:
    api.on("GET", f"/jobs/{ID}", 200, job("queued"))
    done = jobs("logs", ID)
    assert done.stdout == ""
    assert "No log lines yet" in done.stderr


def line(message: str, **fields: Any) -> tuple[float, str]:
    """Return a line of the log that was received now."""
    about = {} if "task_id" in fields else {"job_id": ID}
    text = json.dumps({"level": "INFO", "message": message, **about, **fields})
    return time.time(), text


def shown(text: str) -> list[str]:
    """Return what was printed, without the times."""
    return [re.sub(r"^\S+ +", "", each) for each in text.splitlines()]


def test_what_was_printed_is_shown_as_it_was_with_its_attempt_and_invocation(
    api: FakeApi, account: Account
) -> None:
    api.on("GET", f"/jobs/{ID}", 200, job("failed"))
    printed = {"attempt": 2, "invocation": 5, "stream": "stdout", "location": "work:7"}
    forged = json.dumps({"level": "ERROR", "message": "failed"})
    account.logs["log-worker"] = [
        line('  {"a":  1}', **printed),
        line(forged, **printed),
        line("no \x1b[31manswer", attempt=2, invocation=5),
        line("", _aws={}),
    ]
    done = jobs("logs", ID)
    assert shown(done.stdout) == [
        'Worker   stdout  2/5    {"a":  1}',
        f"Worker   stdout  2/5  {forged}",
        "Worker   INFO    2/5  no \ufffd[31manswer",
    ]


def test_a_line_with_many_nested_brackets_is_shown_as_text(api: FakeApi, account: Account) -> None:
    api.on("GET", f"/jobs/{ID}", 200, job("failed"))
    nested = f'{{"job_id": "{ID}", "a": {"[" * 50_000}'
    account.logs["log-worker"] = [(time.time(), nested), line("well")]
    done = jobs("logs", ID)
    assert (done.exit_code, done.exception) == (0, None)
    assert "well" in done.stdout


def test_a_tasks_lines_are_found_by_its_id(api: FakeApi, account: Account) -> None:
    task = "7a5c" + "0" * 28
    of_it = {"task_id": task, "task_name": "send_message"}
    account.logs["log-api"] = [line("task accepted", **of_it)]
    account.logs["log-worker"] = [line("ringing", stream="stdout", attempt=1, **of_it)]
    answer = {"type": "/problems/job-not-found", "title": "x", "status": 404, "detail": "no job"}
    api.on("GET", f"/jobs/{task}", 404, answer)
    done = jobs("logs", task)
    assert done.exit_code == 0, done.output
    assert shown(done.stdout) == [
        "Api      INFO    task accepted",
        "Worker   stdout  1    ringing",
    ]
    failed = of_it | {"id": task, "failed_at": "2026-11-24T12:00:00.000Z", "attempt": 1}
    failed |= {"error": {"kind": "Refused", "message": "no"}, "payload": None}
    api.on("GET", "/jobs?organization_id=default&limit=100", 200, {"jobs": [], "cursor": None})
    api.on("GET", "/tasks/failed?limit=100", 200, {"tasks": [failed], "cursor": None})
    assert len(jobs("logs", "7a5c0").stdout.splitlines()) == 2
    assert "failed task has an id that starts with abcd." in jobs("logs", "abcd").stderr
    account.logs = {"log-worker": [(time.time() - 7200, account.logs["log-worker"][0][1])]}
    earlier = jobs("logs", task, "--since", "1h")
    assert earlier.stdout == ""
    assert "No job has this id. For a task, the search goes back 1h" in earlier.stderr
    assert jobs("logs", task, "--since", "3h").stdout


@pytest.mark.parametrize("words", [["mail"], ["mail", "--follow"], ["abc"], ["A" * 32]])
def test_a_text_that_is_no_id_shows_no_lines_of_others(
    api: FakeApi, account: Account, words: list[str]
) -> None:
    account.logs["log-worker"] = [line(f"a mail of another organization, abc, {'A' * 32}")]
    answer = {"type": "/problems/job-not-found", "title": "x", "status": 404, "detail": "no job"}
    api.on("GET", f"/jobs/{words[0]}", 404, answer)
    done = jobs("logs", *words)
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"There is no job {words[0]}, and no task" in done.stderr


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Follow without long waits."""
    monkeypatch.setattr(log_following, "_POLL_SECONDS", 0.05)
    monkeypatch.setattr(log_following, "_QUIET_SECONDS", 0.8)


def ended() -> Any:
    """Return the job as it is once it has succeeded, now."""
    return job("succeeded", finished_at=datetime.now(UTC).isoformat())


@pytest.mark.usefixtures("hurried")
def test_following_shows_each_line_once_until_the_jobs_last(api: FakeApi, account: Account) -> None:
    for _ in range(4):
        api.on("GET", f"/jobs/{ID}", 200, job("running"))
    for _ in range(4):
        api.on("GET", f"/jobs/{ID}", 503, {"message": "busy"}, Retry_After="0")
    api.on("GET", f"/jobs/{ID}", 200, ended())
    first_end = json.dumps({"message": "failed", "timestamp": "2026-11-24 19:29:09,818+0000"})
    worker = account.logs["log-worker"] = [
        (time.time(), first_end.replace("}", f', "job_id": "{ID}"}}')),  # before it was retried
        line("claimed"),
    ]
    late = threading.Timer(0.4, lambda: worker.append(line("one")))
    later = threading.Timer(0.5, lambda: worker.append(line("succeeded")))
    for each in (late, later):
        each.start()
    done = jobs("logs", ID, "--follow")
    for each in (late, later):
        each.join()
    assert done.exit_code == 0, done.output
    messages = [each.split()[-1] for each in shown(done.stdout)]
    assert messages == ["failed", "claimed", "one", "succeeded"]


@pytest.mark.usefixtures("hurried")
def test_following_gives_up_on_a_last_line_that_does_not_come(
    api: FakeApi, account: Account
) -> None:
    api.on("GET", f"/jobs/{ID}", 200, ended())
    account.logs["log-worker"] = [line("claimed")]
    done = jobs("logs", ID, "--follow")
    assert [each.split()[-1] for each in shown(done.stdout)] == ["claimed"]


@pytest.mark.usefixtures("hurried")
def test_following_a_task_ends_with_it(api: FakeApi, account: Account) -> None:
    task = "7a5c" + "0" * 28
    api.on("GET", f"/jobs/{task}", 404, {"title": "x", "status": 404, "detail": "no job"})
    worker = account.logs["log-worker"] = [line("ringing", task_id=task)]
    ending = threading.Timer(0.3, lambda: worker.append(line("task done", task_id=task)))
    ending.start()
    done = jobs("logs", task, "-f")
    ending.join()
    assert [each.split()[-1] for each in shown(done.stdout)] == ["ringing", "done"]
