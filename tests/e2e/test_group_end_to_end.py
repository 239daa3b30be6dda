"""A group of 300 jobs on the local AWS, whose workers are killed at any time.

With CHAOS set in the environment (make chaos) more are killed.
"""

import base64
import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from emulated_aws.emulator import CODE_FOLDER
from emulated_aws.function_code import activate
from following import ORGANIZATION
from job_runners.cli.polling import FINISHED
from job_runners.client.errors import NoAnswer
from job_runners.settings import APP_PACKAGES_FILE
from local_stack import Deployed, worker_timeout
from worker_killer import killer

pytestmark = [pytest.mark.e2e, pytest.mark.more]

MEMBERS = 300
# In the middle of members, and after the parent was killed once.
KILLS = 100 if os.environ.get("CHAOS") else 30
PATIENCE = 600  # seconds; 100 kills take about 60 on a machine that does nothing else
# Every job leaves a file named by its process. The last members succeed only after all kills.
WORK = """
import os, pathlib, time
from pydantic import BaseModel
from job_runners.work import Job, Member, Retry, RetryAfter, RunningJob

class Nothing(BaseModel):
    pass

class Number(BaseModel):
    number: int

class Report(BaseModel):
    total: int

def add_up(job: RunningJob, payload: Nothing):
    (FOLDER / f"parent-{os.getpid()}").touch()
    members = (Member("double", {"number": each}) for each in range(MEMBERS))
    results = job.gather("doubles", members)
    values = [each.value for each in results]
    job.dispatch("report", {"total": sum(values)}, key="report")
    return {"values": values, **results.outcomes}

def double(job: RunningJob, payload: Number):
    (FOLDER / f"member-{os.getpid()}").touch()
    time.sleep(0.4)
    if payload.number >= MEMBERS - 10 and not (FOLDER / "go").exists():
        time.sleep(2)
        raise RetryAfter(0.1)
    return 2 * payload.number

def report(job: RunningJob, payload: Report):
    return payload.total

some, many = (Retry(max_attempts=each, base=1, cap=1) for each in (20, 500))
JOBS = {
    "add_up": Job(add_up, retry=some),
    "double": Job(double, retry=many),
    "report": Job(report, retry=some),
}
"""


@contextmanager
def own_work(deployed: Deployed, folder: Path) -> Iterator[None]:
    """Have the functions run WORK too, as an organization's own package."""
    home = deployed.tree.parent.parent
    tree = home / "own-work"
    shutil.copytree(deployed.tree, tree, symlinks=True, copy_function=os.link)
    imported = f"import pathlib\nFOLDER, MEMBERS = pathlib.Path({str(folder)!r}), {MEMBERS}\n"
    for name, text in ((APP_PACKAGES_FILE, "acme\n"), ("acme/__init__.py", imported + WORK)):
        path = tree / name
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)  # it is a link to the deployed file
        path.write_text(text)
    functions = deployed.client("lambda")
    code = home / CODE_FOLDER
    for each in functions.list_functions()["Functions"]:
        activate(code, base64.b64decode(each["CodeSha256"]).hex(), tree)
    try:
        yield
    finally:
        for link in code.glob("*.active"):
            link.unlink()


@pytest.mark.timeout(2 * PATIENCE)
def test_a_group_whose_workers_are_killed_is_counted_and_reported_once(
    deployed: Deployed, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    began = time.monotonic()
    with own_work(deployed, tmp_path), worker_timeout(deployed, 30):
        parent = dispatch(deployed)
        kill_while_it_dispatches(deployed, parent, tmp_path)
        wait_until(deployed, parent, lambda job, *_: job["status"] == "waiting")
        chance, may_kill = random.Random(2026), has_begun(tmp_path)
        with killer(deployed, chance, KILLS, gap=(0.1, 0.3), may_kill=may_kill) as kills:
            wait_until(deployed, parent, lambda *_: len(kills) == KILLS)
        (tmp_path / "go").touch()
        job, found = wait_until(deployed, parent, lambda *jobs: all(map(is_finished, jobs)))
    assert job["status"] == "succeeded", job
    assert job["result"] == {
        "values": [2 * each for each in range(MEMBERS)],
        "succeeded": MEMBERS,
        "failed": 0,
        "canceled": 0,
        "existing": 0,
    }
    assert Counter(each["job_type"] for each in found) == {"double": MEMBERS, "report": 1}
    row = stored(deployed, parent)
    assert row["wait_count"] == {"N": "1"}  # it was held once, and so has continued once
    assert open_markers(deployed) == []
    attempts = sum(each["attempt"] for each in found)
    record_property(
        "figures",
        f"a group of {MEMBERS}, {len(kills) + 1} workers killed: {attempts} attempts, "
        f"{time.monotonic() - began:.0f} s",
    )


def dispatch(deployed: Deployed) -> str:
    """Dispatch the parent once the functions run its code, and return its id."""
    until = time.monotonic() + PATIENCE
    while True:
        answer = deployed.api.post("/jobs", {"job_type": "add_up", "organization_id": ORGANIZATION})
        if answer.status == 202:
            return str(answer.json["id"])
        assert time.monotonic() < until, answer.text
        time.sleep(0.2)


def kill_while_it_dispatches(deployed: Deployed, parent: str, folder: Path) -> None:
    """Kill the parent's worker once it has dispatched some members, and not all."""
    while next(children(deployed, parent), None) is None:
        time.sleep(0.1)
    (pid,) = (int(each.name.removeprefix("parent-")) for each in folder.glob("parent-*"))
    os.kill(pid, signal.SIGKILL)
    assert len(list(children(deployed, parent))) < MEMBERS


def has_begun(folder: Path) -> Callable[[int], bool]:
    """Return the check whether a process has begun a job, and so is not just starting."""
    return lambda pid: bool(list(folder.glob(f"*-{pid}")))


def wait_until(
    deployed: Deployed, parent: str, holds: Callable[..., bool]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the parent and the jobs that it has dispatched, once this holds of all of them.

    The minute comes round every few seconds. If none runs, some of those that wait are due, because
    the worker that was to begin one, or to send what follows, may have been killed.
    """
    until = time.monotonic() + PATIENCE
    while True:
        job, found = get(deployed, f"/jobs/{parent}"), list(children(deployed, parent))
        if holds(job, *found):
            return job, found
        assert not is_finished(job) or job["status"] == "succeeded", job
        assert time.monotonic() < until, Counter(each["status"] for each in (job, *found))
        left = [each for each in (job, *found) if not is_finished(each)]
        if not any(each["status"] == "running" for each in left):
            for each in left[:20]:  # the parent and some members: they may only wait for a worker
                deployed.make_due(each["id"])
        deployed.tick()
        time.sleep(3)


def is_finished(job: dict[str, Any]) -> bool:
    return job["status"] in FINISHED


def children(deployed: Deployed, parent: str) -> Iterator[dict[str, Any]]:
    """Yield the jobs that a job has dispatched."""
    cursor: str | None = ""
    while cursor is not None:
        after = f"&cursor={cursor}" if cursor else ""
        page = get(deployed, f"/jobs/{parent}/children?limit=100{after}")
        yield from (each["job"] for each in page["children"] if each["job"])
        cursor = page["cursor"]


def get(deployed: Deployed, path: str) -> Any:
    """GET a path, again while a busy machine doesn't answer in time."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with suppress(NoAnswer):
            return deployed.api.get(path).json
    raise AssertionError(f"{path} had no answer")


def stored(deployed: Deployed, job_id: str) -> dict[str, Any]:
    """Return a row as it is stored."""
    key = {"id": {"S": job_id}}
    answer = dynamodb(deployed).get_item(TableName=deployed.stack.table_name, Key=key)
    found: dict[str, Any] = answer["Item"]
    return found


def open_markers(deployed: Deployed) -> list[str]:
    """Return the keys of the markers of members that may be unfinished, of all groups."""
    pages = (
        dynamodb(deployed)
        .get_paginator("scan")
        .paginate(
            TableName=deployed.stack.coordination_table_name,
            FilterExpression="begins_with(sk, :open)",
            ExpressionAttributeValues={":open": {"S": "open#"}},
        )
    )
    return [item["sk"]["S"] for page in pages for item in page["Items"]]


def dynamodb(deployed: Deployed) -> Any:
    return deployed.client("dynamodb")
