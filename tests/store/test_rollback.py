"""A rollback: the code of each release, in a process of its own, finds what this version has stored
and sent. It does what it understands, and leaves alone what only newer code understands.

This version's own code takes the part of a release too.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import record_release
from job_runners.engine.wire.messages import VERSION, decode
from job_runners.places import ROOT
from job_runners.store import queries
from job_runners.store.job_request import ROW_VERSION, JobRequest
from job_runners.testing.aws import ENVIRONMENT
from job_runners.testing.plain_clients import full_client
from released_code import RELEASED, VERSIONS, pack, unpack
from replayed import Release, name_of, replayed
from stored_state import TABLES

MINUTES = 15
SUPPORT = Path(record_release.__file__).parent
# Rows that get a version which the release doesn't know: one of each kind.
NEWER = {
    *("scheduled_soon", "retryable", "queued", "line_waiting", "invocations_in_line"),
    *("fair_admitted", "counted", "unique_queued", "unique_put_off", "signaled"),
}

pytestmark = pytest.mark.more


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Record what this version leaves, with rows and a message that only newer code understands."""
    state = tmp_path_factory.mktemp("rollback") / "state"
    record_release.record_to(state)
    pack(ROOT, state)
    with record_release.stack(lambda: 0):
        tables = [_definition(name) for name in map(ENVIRONMENT.__getitem__, TABLES)]
    (state / "definitions.json").write_text(json.dumps(tables))
    items = json.loads((state / "tables.json").read_text())
    for item in items["JOBS_TABLE_NAME"]:
        if name_of(item) in NEWER:
            item["row_version"] = {"N": str(ROW_VERSION + 1)}
    (state / "tables.json").write_text(json.dumps(items))
    messages = json.loads((state / "messages.json").read_text())
    inside = [each for each in messages if '"post_webhook"' not in each["body"]]  # of this process
    task = next(json.loads(each["body"]) for each in inside if '"task"' in each["body"])
    inside.append({"body": json.dumps(task | {"v": VERSION + 1}), "delay": 0})
    (state / "messages.json").write_text(json.dumps(inside))
    return state


@pytest.fixture(scope="module", params=[*VERSIONS, "today"])
def rolled_back(request: pytest.FixtureRequest, stored: Path) -> Path:
    """Have a release run for a quarter of an hour on what this version leaves. Return the state."""
    version = str(request.param)
    release = stored if version == "today" else RELEASED / version
    state = stored.parent / version
    state.mkdir()
    for file in stored.glob("*.json"):
        (state / file.name).write_text(file.read_text())
    code = unpack(release, state.parent / f"code-{version}")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    settings = {"JOBS_PACKAGES": record_release.WORK, "JOBS_SAME_PROCESS": "false"}
    ran = subprocess.run(
        [sys.executable, str(SUPPORT / "run_release.py"), str(code), str(state), str(MINUTES)],
        env=kept | ENVIRONMENT | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    # Lambda keeps a message that the worker refuses, for a newer version.
    [refused] = json.loads(ran.stdout.splitlines()[-1])
    assert refused.startswith("task: UnknownMessageVersion: ")
    return state


def _definition(table: str) -> dict[str, Any]:
    """Return what makes a table like one of the template."""
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


@pytest.fixture
def again(rolled_back: Path) -> Iterator[Release]:
    """Yield the stack as the release has left it, under this version."""
    with replayed(rolled_back) as found:
        yield found


def test_a_release_runs_what_it_understands(again: Release) -> None:
    for name in ("between_invocations", "traced", "line_running", "fair_waiting", "succeeded"):
        assert again.row(name).status == "succeeded", name


def test_it_leaves_alone_what_it_would_get_wrong(again: Release, stored: Path) -> None:
    newer = [item for item in Release(stored).items if name_of(item) in NEWER]
    assert {name_of(item) for item in newer} == NEWER
    for item in newer:
        row = queries.read(item["id"]["S"])
        assert row is not None
        left = (str(row.status), row.invocations, row.row_version)
        assert left == (item["status"]["S"], int(item["invocations"]["N"]), ROW_VERSION + 1), (
            name_of(item)
        )
    assert again.row("fair_admitted").slot == 2


def test_what_it_left_ends_under_newer_code_and_nothing_is_held(again: Release) -> None:
    for name in NEWER:
        for row in again.rows(name):
            row.update([JobRequest.row_version.set(ROW_VERSION)])
    again.sent += [
        (decode(event), each["delay"])
        for each in again.read("messages")
        if (event := json.loads(each["body"]))["v"] == VERSION
    ]
    again.deliver()
    again.pass_time(90, every=5)
    left = [item for item in again.stored("JOBS_TABLE_NAME") if "due_at" in item]
    paused = {"waiting_queue", "waiting_type", "queued_once", "scheduled"}  # no caller resumes it
    paused |= {"held", "post_webhook"}  # and this one starts later
    assert {name_of(item) for item in left} == paused
    for name in NEWER:
        assert again.row(name).status == "succeeded", name
    slots = [item for item in again.stored("COORDINATION_TABLE_NAME") if "slot#" in item["sk"]["S"]]
    assert slots
    assert not any("holder" in item for item in slots)
