"""job-runners doctor finds jobs that wait because the worker's code can't start them."""

import io
import json
import time

import pytest

from bench import Bench
from doctor_findings import findings
from fake_account import Account
from job_runners import clock
from job_runners.testing.plain_clients import full_client
from outfit_files import TABLE, Outfit
from telemetry_lines import logged

MINUTE = 60


@pytest.fixture
def waiting(
    bench: Bench, outfit: Outfit, lines: io.StringIO, request: pytest.FixtureRequest
) -> Account:
    """Return an account with two jobs whose function can't be imported, and whose messages the
    timer has sent again."""
    for _ in range(2):
        bench.dispatch("letters", payload={})
    outfit.write("import no_such_package")
    return left_by_workers(bench, lines, request)


def left_by_workers(bench: Bench, lines: io.StringIO, request: pytest.FixtureRequest) -> Account:
    for _ in range(3):
        bench.run_out()
        bench.advance(2 * MINUTE)
        bench.tick()
    bench.run_out()
    rows = full_client("dynamodb").scan(TableName="jobs", ConsistentRead=True)["Items"]
    account: Account = request.getfixturevalue("account")  # from here on boto3 is the account's
    for row in rows:  # the account's clock is the real one
        for name in ("created_at", "queued_at", "due_at"):
            if name in row:
                row[name] = {"N": str(int(row[name]["N"]) - bench.moved)}
    account.waiting = rows
    now = time.time()
    account.logs["log-worker"] = [(now, json.dumps(line)) for line in logged(lines)]
    return account


def test_jobs_whose_function_can_not_be_imported_are_found_with_the_reason(
    waiting: Account,
) -> None:
    (found,) = findings(code=1)
    assert (found["check"], found["verdict"]) == ("starts", "wrong")
    assert "2 jobs of the type letters can't start: " in found["what"]
    assert "no_such_package" in found["what"]
    assert any(f"One is {row['id']['S']}." in found["what"] for row in waiting.waiting)
    assert "deploy again" in found["fix"]
    assert "aws logs tail log-worker" in found["fix"]


def test_once_they_run_nothing_is_found(waiting: Account) -> None:
    for row in waiting.waiting:
        row["status"] = {"S": "running"}
    assert findings() == []


def test_jobs_of_a_type_that_the_deploy_lacks_are_found(
    bench: Bench, outfit: Outfit, lines: io.StringIO, request: pytest.FixtureRequest
) -> None:
    bench.dispatch("letters", payload={})
    outfit.write(TABLE.replace('"letters"', '"renamed"'), "__init__")
    left_by_workers(bench, lines, request)
    (found,) = findings(code=1)
    assert "1 job of the type letters can't start: The deployed code lacks" in found["what"]


def test_a_worker_that_lambda_can_not_start_is_found(waiting: Account) -> None:
    del waiting.logs["log-worker"]
    (found, *_) = waiting.waiting
    ignored = {
        "message": "failure record ignored",
        "job_is": "not of this message: its invocation began nothing",
        "job_id": found["id"]["S"],
    }
    waiting.logs["log-failures"] = [(time.time(), json.dumps(ignored))]
    (found,) = findings(code=1)
    assert "1 job of the type letters can't start: Lambda could not start" in found["what"]


def test_jobs_that_wait_long_for_another_reason_are_advice(waiting: Account) -> None:
    del waiting.logs["log-worker"]
    assert findings() == []
    for row in waiting.waiting:
        row["created_at"] = {"N": str(int(row["created_at"]["N"]) - 15 * clock.MINUTE)}
        row.pop("queued_at", None)
    (found,) = findings()
    assert (found["check"], found["verdict"]) == ("starts", "advice")
    assert "2 jobs can't get a worker. The oldest, " in found["what"]
