"""jobs logs: what all functions of a stack say about a job."""

import json
import re
import time

from fake_account import Account
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
        "log-api": [(now - 9, json.dumps({"level": "INFO", "message": "accepted", "job_id": ID}))],
    }  # the timer's is not there: nothing was ever written to it
    done = jobs("logs", ID)
    assert done.exit_code == 0, done.output
    shown = [re.sub(r"^\S+ +", "", line) for line in done.stdout.splitlines()]
    assert shown == ["Api      INFO    accepted", "Worker   ERROR   failed run_ms=7"]
    lines = jobs("logs", ID, "--json").stdout.splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["accepted", "failed"]


def test_logs_tell_how_lambda_says_an_invocation_ended(api: FakeApi, account: Account) -> None:
    now = time.time()
    api.on("GET", f"/jobs/{ID}", 200, job("failed"))
    metrics = {"durationMs": 900000.0, "maxMemoryUsedMB": 310, "memorySizeMB": 1024}
    tracing = {"value": "Root=1-abc;Parent=1;Sampled=1"}
    report = {"status": "timeout", "metrics": metrics, "tracing": tracing}
    claimed = {"level": "INFO", "message": "claimed", "job_id": ID, "xray_trace_id": "1-abc"}
    account.logs["log-worker"] = [
        (now - 9, json.dumps(claimed)),
        (
            now - 8,
            json.dumps({"message": "of a child in the same trace", "xray_trace_id": "1-abc"}),
        ),
        (now - 7, json.dumps({"type": "platform.report", "record": report})),
    ]
    shown = jobs("logs", ID).stdout.splitlines()
    assert len(shown) == 2
    assert shown[1].endswith("REPORT  timeout after 900.0 s, 310 of 1024 MB of memory used")


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
    assert "Nothing is logged about it" in done.stderr
