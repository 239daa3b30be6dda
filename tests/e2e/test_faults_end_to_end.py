"""The local AWS at its worst: short invocations, and killed workers.

With CHAOS set in the environment (make chaos) the same at full size.
"""

import csv
import io
import json
import math
import os
import random
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from following import ORGANIZATION, contacts, follow
from hostile_files import NOTE, Expected, count_written, write_contacts, write_wide_contacts
from job_runners.cli.polling import FINISHED
from job_runners.store.limits import CACHE_TIME
from local_stack import Deployed, worker_timeout
from machine_speed import seconds_to_start_python
from worker_killer import killer

pytestmark = pytest.mark.e2e

CHAOS = bool(os.environ.get("CHAOS"))
QUEUE, SLOTS = "three-at-once", 3


def dispatch(
    deployed: Deployed, job_type: str, campaign: str, payload: dict[str, Any], **fields: Any
) -> str:
    return deployed.dispatch(job_type, {"campaign": campaign, **payload}, **fields)


@pytest.fixture(scope="module")
def limited(deployed: Deployed) -> Iterator[float]:
    """Yield when every worker has read that the queue QUEUE has SLOTS slots."""
    assert deployed.api.put(f"/queues/{QUEUE}", {"slots": SLOTS}).status == 200
    yield time.monotonic() + CACHE_TIME / 1000
    deployed.api.delete(f"/queues/{QUEUE}")


def check_counts(job: dict[str, Any], expected: Expected) -> None:
    assert job["status"] == "succeeded", [*job["earlier_errors"], job["error"]]
    counted = {name: job["result"][name] for name in ("imported", "invalid", "repeated")}
    assert counted == vars(expected)


def check(deployed: Deployed, job: dict[str, Any], campaign: str, expected: Expected) -> None:
    check_counts(job, expected)
    assert len(contacts(deployed.stack, f"{ORGANIZATION}#{campaign}")) == expected.imported


@pytest.mark.usefixtures("limited")  # so that the workers read the limit in the meantime
def test_an_import_that_outlives_its_worker_goes_on_over_invocations(
    deployed: Deployed, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    # At first 2 s, or longer on a busy machine. If it is faster than it seemed, halve that.
    rows, seconds = 30_000, max(2, round(8 * seconds_to_start_python()))
    if CHAOS:
        rows, seconds = 1_000_000, 15
    expected = write_contacts(tmp_path / "long.csv", rows)
    key = deployed.upload("long.csv", (tmp_path / "long.csv").read_bytes())
    while True:
        campaign = f"invocations-{seconds}"
        with worker_timeout(deployed, seconds):
            began = time.monotonic()
            job_id = dispatch(deployed, "import_contacts", campaign, {"key": key})
            job = follow(deployed.api, job_id, patience=1800)
            took = time.monotonic() - began
        check_counts(job, expected)
        assert (
            count_written(deployed.stack, f"{ORGANIZATION}#{campaign}", rows) == expected.imported
        )
        if invocations_that_cost_no_attempt(job) >= 2 or seconds == 2:
            break
        seconds = max(2, seconds // 2)
    assert invocations_that_cost_no_attempt(job) >= 2
    record_property(
        "figures",
        f"{rows:,} rows at {seconds} s an invocation: {job['invocations']} invocations, "
        f"{job['attempt']} attempts, {took:.0f} s",
    )


def invocations_that_cost_no_attempt(job: dict[str, Any]) -> int:
    """How often it went on in a next invocation.

    A machine that stands still for longer than a short invocation's reserve gets it killed: that
    costs an attempt, and is no invocation that went on.
    """
    assert job["status"] == "succeeded", job
    return int(job["invocations"] - job["attempt"])


@pytest.mark.more
def test_an_export_that_outlives_its_worker_goes_on_over_invocations(
    deployed: Deployed, record_property: Callable[[str, object], None]
) -> None:
    """The first one has all the time it wants and tells how much that is; the second has a part."""
    rows, took = 2_100, 0.0
    while took < 2.2:  # Lambda's timeouts are whole seconds: too rough for a part of less
        rows *= 2
        cells = write_wide_contacts(deployed.stack, f"{ORGANIZATION}#wide", rows)
        once = follow(deployed.api, dispatch(deployed, "export_contacts", "wide", {}))
        assert (once["status"], once["invocations"]) == ("succeeded", 1), once
        took = seconds_of(once)
    # A step is a part of 8 MiB, of which 4,200 rows have five: one fits if it takes 2.7 times as
    # long as the first export's did, and at 1.7 times that one's pace there still is a second
    # invocation.
    seconds = math.ceil(0.6 * took)
    with worker_timeout(deployed, seconds):
        job = follow(deployed.api, dispatch(deployed, "export_contacts", "wide", {}))
    assert invocations_that_cost_no_attempt(job) >= 1
    exported = download(job["result"]["url"])
    assert [row["cell"] for row in exported] == cells
    assert {row["custom_fields"] for row in exported} == {json.dumps({"note": NOTE})}
    assert exported == download(once["result"]["url"])
    record_property(
        "figures",
        f"export of {len(cells):,} wide rows at {seconds} s an invocation: "
        f"{job['invocations']} invocations",
    )


def seconds_of(job: dict[str, Any]) -> float:
    """From its start to its end."""
    started, finished = (datetime.fromisoformat(job[at]) for at in ("started_at", "finished_at"))
    return (finished - started).total_seconds()


def download(url: str) -> list[dict[str, str]]:
    with urllib.request.urlopen(url, timeout=120) as response:
        return list(csv.DictReader(io.StringIO(response.read().decode("utf-8-sig"), newline="")))


def test_jobs_whose_workers_are_killed_all_end_with_the_right_contacts_in_no_more_slots(
    deployed: Deployed,
    limited: float,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    jobs = 200 if CHAOS else 20
    expected = write_contacts(tmp_path / "short.csv", 1_500)
    key = deployed.upload("short.csv", (tmp_path / "short.csv").read_bytes())
    seed = int(os.environ.get("CHAOS_SEED", "2026"))
    time.sleep(max(0, limited - time.monotonic()))
    campaigns = [f"killed-{number}" for number in range(jobs)]
    with worker_timeout(deployed, 30), killer(deployed, random.Random(seed), jobs // 2) as kills:
        ids = [
            dispatch(deployed, "import_contacts", each, {"key": key}, queue_name=QUEUE)
            for each in campaigns
        ]
        ended = finished(deployed, ids)
    for campaign, job in zip(campaigns, ended, strict=True):
        check(deployed, job, campaign, expected)
    assert len(kills) >= jobs // 10
    # The lowest free slot is given, and its item stays: SLOTS were held at once, and no more.
    slots = slots_of(deployed)
    assert len(slots) == SLOTS
    assert not [slot for slot in slots if "holder" in slot]
    attempts = sum(job["attempt"] for job in ended)
    record_property(
        "figures",
        f"{jobs} jobs in {SLOTS} slots, {len(kills)} workers killed (seed {seed}): "
        f"{attempts} attempts",
    )


def slots_of(deployed: Deployed) -> list[dict[str, Any]]:
    """Return the slots of the queue, as one consistent query shows them."""
    found: list[dict[str, Any]] = deployed.client("dynamodb").query(
        TableName=deployed.stack.coordination_table_name,
        ConsistentRead=True,
        KeyConditionExpression="pk = :line AND begins_with(sk, :slot)",
        ExpressionAttributeValues={":line": {"S": f"line#{QUEUE}#*"}, ":slot": {"S": "slot#"}},
    )["Items"]
    return found


@pytest.mark.more
def test_each_job_whose_worker_is_killed_is_announced_once(
    deployed: Deployed, tmp_path: Path
) -> None:
    write_contacts(tmp_path / "told.csv", 1_500)
    key = deployed.upload("told.csv", (tmp_path / "told.csv").read_bytes())
    webhook = {"webhook": "https://hooks.example.com", "secret": f"{ORGANIZATION}/none"}
    subscribed = {"url": "https://crm.example.com", "secret": f"{ORGANIZATION}/none"}
    crm = f"/webhooks/crm?organization_id={ORGANIZATION}"
    assert deployed.api.put(crm, subscribed | {"job_types": ["import_contacts"]}).status == 201
    with worker_timeout(deployed, 30), killer(deployed, random.Random(2026), 6) as kills:
        ids = [
            dispatch(deployed, "import_contacts", f"told-{number}", {"key": key}, on_end=webhook)
            for number in range(8)
        ]
        told = [job["follow_ups"] for job in finished(deployed, ids)]
        announced = finished(deployed, [each["id"] for follow_ups in told for each in follow_ups])
    assert deployed.api.delete(crm).status == 204
    assert kills
    kinds = [[each["kind"] for each in follow_ups] for follow_ups in told]
    assert kinds == [["on_end", "announcement"]] * len(ids)
    for job in announced:
        children = deployed.api.get(f"/jobs/{job['id']}/children").json["children"]
        assert (job["status"], len(children)) == ("succeeded", 1)
        assert children[0]["job"]["follow_up_of"] == job["follow_up_of"]


def finished(deployed: Deployed, ids: list[str]) -> list[dict[str, Any]]:
    """Return the jobs once they all are finished. The minute comes round every second, and every
    third makes due what waits for a worker: one may have been killed before it had claimed."""
    for second in range(300):
        jobs = [deployed.api.get(f"/jobs/{job_id}").json for job_id in ids]
        if all(job["status"] in FINISHED for job in jobs):
            return jobs
        if second % 3 == 2:
            for job in jobs:
                if job["status"] in {"queued", "retryable"}:
                    deployed.make_due(job["id"])  # unless it has just finished
        deployed.tick()
        time.sleep(1)
    raise AssertionError(f"after 5 minutes: {Counter(job['status'] for job in jobs)}")
