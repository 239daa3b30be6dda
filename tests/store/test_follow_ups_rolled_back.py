"""Jobs with follow-ups under the code of 0.2.0, which starts none, and ends them without one."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import record_release
from bench import Bench
from job_runners import clock
from job_runners.api import views
from job_runners.engine.control import owner_actions
from job_runners.engine.wire.messages import JobMessage, encode
from job_runners.store.job_request import JobRequest, Status
from job_runners.testing import moto_direct
from job_runners.testing.aws import ENVIRONMENT, forget
from job_runners.testing.shipped_operations import full_client
from released_code import unpack
from stored_state import TABLES, read_tables, restore_tables

SUPPORT = Path(record_release.__file__).parent
DAY = 25 * clock.HOUR


@pytest.fixture
def today(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("EXTENSIONS", "released_work,follow_up_sample")
    forget()
    return bench


@pytest.fixture
def run_0_2_0(today: Bench, tmp_path: Path) -> Callable[[JobRequest, int], None]:
    """Run the timer of 0.2.0 twice at a later time, after the message of a job."""
    code = unpack("0.2.0", tmp_path / "code")

    def run(row: JobRequest, later: int) -> None:
        state = tmp_path / f"state-{later}"
        state.mkdir()
        message = json.dumps(json.loads(encode(JobMessage.about(row))))
        content = {
            "time": clock.now() + later,
            "tables": read_tables(full_client("dynamodb"), ENVIRONMENT),
            "objects": {},
            "uploads": {},
            "messages": [{"body": message, "delay": 0}],
            "definitions": [_definition(ENVIRONMENT[name]) for name in TABLES],
        }
        for name, each in content.items():
            (state / f"{name}.json").write_text(json.dumps(each))
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        settings = {"EXTENSIONS": "released_work", "JOBS_SAME_PROCESS": "false"}
        ran = subprocess.run(
            [sys.executable, str(SUPPORT / "run_release.py"), str(code), str(state), "2"],
            env=kept | ENVIRONMENT | settings,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert ran.returncode == 0, ran.stderr
        moto_direct.clear("jobs")
        after = json.loads((state / "tables.json").read_text())
        restore_tables(full_client("dynamodb"), ENVIRONMENT, after)

    return run


def _definition(table: str) -> dict[str, object]:
    made = full_client("dynamodb").describe_table(TableName=table)["Table"]
    indexes = [
        {name: index[name] for name in ("IndexName", "KeySchema", "Projection")}
        for index in made.get("GlobalSecondaryIndexes", [])
    ]
    return {
        "TableName": table,
        "KeySchema": made["KeySchema"],
        "AttributeDefinitions": made["AttributeDefinitions"],
        "BillingMode": "PAY_PER_REQUEST",
    } | ({"GlobalSecondaryIndexes": indexes} if indexes else {})


def follow_ups() -> list[str]:
    return [row["job_type"] for row in moto_direct.rows("jobs") if "follow_up_of" in row]


def test_0_2_0_starts_no_job_with_follow_ups_and_its_end_of_one_has_none(
    today: Bench, run_0_2_0: Callable[[JobRequest, int], None]
) -> None:
    row = today.dispatch("released_once", payload={}, on_end="note_end")
    run_0_2_0(row, 5 * clock.MINUTE)
    row = today.read(row)
    assert (row.status, row.legs, row.on_end["job_type"]) == (Status.QUEUED, 0, "note_end")

    run_0_2_0(row, DAY)
    row = today.read(row)
    assert (row.status, row.error["kind"]) == (Status.FAILED, "NeverStarted")
    assert follow_ups() == []
    assert views._follow_ups(row) == []

    today.advance(DAY / clock.SECOND + 600)
    owner_actions.retry_again(row, today.send)
    assert today.run(row).status is Status.SUCCEEDED
    assert follow_ups() == ["note_end"]
