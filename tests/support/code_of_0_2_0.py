"""The code of 0.2.0 over what this version has stored, in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from bench import Bench
from job_runners import clock
from job_runners.engine.wire.messages import JobMessage, encode
from job_runners.store.job_request import JobRequest
from job_runners.testing import moto_direct
from job_runners.testing.aws import ENVIRONMENT, forget
from job_runners.testing.shipped_operations import full_client
from released_code import unpack
from stored_state import TABLES, read_tables, restore_tables

Run = Callable[..., None]
_RUN = Path(__file__).with_name("run_release.py")


@pytest.fixture
def today(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("EXTENSIONS", "released_work,follow_up_sample")
    forget()
    return bench


@pytest.fixture
def run_0_2_0(today: Bench, tmp_path: Path) -> Run:
    """Run the timer of 0.2.0 twice at a later time, after the message of a job and requests."""
    code = unpack("0.2.0", tmp_path / "code")

    def run(row: JobRequest, later: int, requests: Sequence[dict[str, Any]] = ()) -> None:
        state = Path(mkdtemp(dir=tmp_path))
        message = json.dumps(json.loads(encode(JobMessage.about(row))))
        content = {
            "time": clock.now() + later,
            "tables": read_tables(full_client("dynamodb"), ENVIRONMENT),
            "objects": {},
            "uploads": {},
            "messages": [{"body": message, "delay": 0}],
            "requests": list(requests),
            "definitions": [_definition(ENVIRONMENT[name]) for name in TABLES],
        }
        for name, each in content.items():
            (state / f"{name}.json").write_text(json.dumps(each))
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        settings = {"EXTENSIONS": "released_work", "JOBS_SAME_PROCESS": "false"}
        ran = subprocess.run(
            [
                sys.executable,
                str(Path(__file__).with_name("run_release.py")),
                str(code),
                str(state),
                "2",
            ],
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
