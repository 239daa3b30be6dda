"""A rollback: what this version has stored and sent is met by the code of an earlier release, in a
process of its own, and then by this version's again."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import record_release
from job_runners.store.job_request import LIMITED_VERSION
from job_runners.testing.aws import ENVIRONMENT
from job_runners.testing.shipped_operations import full_client
from released_code import unpack
from replayed import Release, name_of, replayed
from stored_state import TABLES

MINUTES = 15
SUPPORT = Path(record_release.__file__).parent
# What only newer code may touch: 0.1.0 knows no slots, no quota and no keys.
LEFT_ALONE = {
    *("line_waiting", "legs_in_line", "fair_admitted", "counted", "counted_scheduled"),
    *("unique_queued", "unique_put_off"),
}

pytestmark = pytest.mark.more


@pytest.fixture(scope="module")
def rolled_back(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Have 0.1.0 run for a quarter of an hour on what this version leaves, and return what is there
    then."""
    state = tmp_path_factory.mktemp("rollback") / "state"
    record_release.record_to(state)
    with record_release.stack(lambda: 0):
        tables = [_definition(name) for name in map(ENVIRONMENT.__getitem__, TABLES)]
    (state / "definitions.json").write_text(json.dumps(tables))
    messages = json.loads((state / "messages.json").read_text())
    inside = [each for each in messages if '"post_webhook"' not in each["body"]]  # of this process
    (state / "messages.json").write_text(json.dumps(inside))
    run_0_1_0(state)
    return state


def run_0_1_0(state: Path) -> None:
    code = unpack("0.1.0", state.parent / "code")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    ran = subprocess.run(
        [sys.executable, str(SUPPORT / "run_release.py"), str(code), str(state), str(MINUTES)],
        env=kept | ENVIRONMENT | {"EXTENSIONS": "released_work", "JOBS_SAME_PROCESS": "false"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    # What it does not know, it leaves: Lambda keeps such a message, for a newer version.
    unknown = "UnknownMessageVersion: message version 2 is not known to this code"
    refused = json.loads(ran.stdout.splitlines()[-1])
    assert set(refused) == {f"queue: {unknown}", f"task: {unknown}"}


def _definition(table: str) -> dict[str, Any]:
    """Return what makes a table as the template of 0.1.0 has it: without the newest index."""
    made = full_client("dynamodb").describe_table(TableName=table)["Table"]
    indexes = [
        {name: index[name] for name in ("IndexName", "KeySchema", "Projection")}
        for index in made.get("GlobalSecondaryIndexes", [])
        if index["IndexName"] != "unfinished"
    ]
    keys = {key["AttributeName"] for each in [made, *indexes] for key in each["KeySchema"]}
    return {
        "TableName": table,
        "KeySchema": made["KeySchema"],
        "AttributeDefinitions": [
            each for each in made["AttributeDefinitions"] if each["AttributeName"] in keys
        ],
        "BillingMode": "PAY_PER_REQUEST",
    } | ({"GlobalSecondaryIndexes": indexes} if indexes else {})


@pytest.fixture
def again(rolled_back: Path) -> Iterator[Release]:
    """Yield the stack as 0.1.0 has left it, under this version."""
    with replayed(rolled_back) as found:
        yield found


def test_0_1_0_runs_what_it_understands(again: Release) -> None:
    for name in ("scheduled_soon", "retryable", "between_legs", "traced"):
        assert again.row(name).status == "succeeded", name
    assert again.row("succeeded").status == "succeeded"


def test_what_was_lost_before_it_waits_for_this_version(again: Release) -> None:
    """0.1.0's timer does not read the lanes that these are in; docs/upgrading.md says so."""
    assert again.row("queued").status == "queued"  # its message was lost
    assert again.row("running_once").status == "running"  # its worker is gone
    assert again.row("waiting_queue").status == "waiting"


def test_it_leaves_alone_what_it_would_get_wrong(again: Release) -> None:
    for name in LEFT_ALONE:
        row = again.row(name)
        assert row.row_version >= LIMITED_VERSION
        assert (row.legs, row.finished_at) == (1 if name == "legs_in_line" else 0, None)
    assert again.row("fair_admitted").slot == 2
    assert again.row("line_waiting").wait_key is not None


def test_what_it_left_ends_under_this_version_and_nothing_is_held(again: Release) -> None:
    again.send_recorded()
    again.deliver()
    again.pass_time(90, every=5)
    left = [item for item in again.stored("JOBS_TABLE_NAME") if "due_at" in item]
    paused = {"waiting_queue", "waiting_type", "queued_once", "scheduled"}  # and nobody resumes it
    assert {name_of(item) for item in left} == paused
    for name in {*LEFT_ALONE, "queued", "running"}:
        assert again.row(name).status == "succeeded"
    assert again.row("running_once").status == "failed"  # nobody knows how far it came
    slots = [item for item in again.stored("COORDINATION_TABLE_NAME") if "slot#" in item["sk"]["S"]]
    assert slots
    assert not any("holder" in item for item in slots)
