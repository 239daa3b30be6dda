"""A queue of three slots on the local AWS, whose workers are killed at any time."""

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from following import ORGANIZATION
from hostile_files import write_contacts
from job_runners.cli.polling import FINISHED
from local_stack import Local
from stack_clients import session
from worker_killer import killer

pytestmark = pytest.mark.e2e

QUEUE = "three-at-once"
SLOTS = 3
JOBS = 60 if os.environ.get("CHAOS") else 20


@contextmanager
def limited(local: Local) -> Iterator[None]:
    answer = local.api.put(f"/queues/{QUEUE}", {"slots": SLOTS})
    assert answer.status == 200, answer.text
    time.sleep(10)  # until it is in force
    try:
        yield
    finally:
        local.api.delete(f"/queues/{QUEUE}")


def test_never_a_fourth_runs_all_end_and_the_last_slot_is_free(
    local: Local, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    write_contacts(tmp_path / "few.csv", 300)
    key = f"uploads/{ORGANIZATION}/few.csv"
    client(local, "s3").upload_file(str(tmp_path / "few.csv"), local.stack.bucket_name, key)
    with limited(local):
        ids = [dispatch(local, f"queued-{number}", key) for number in range(JOBS)]
        with killer(local, random.Random(2026), JOBS // 4) as kills:
            jobs, most = finished(local, ids)
    assert Counter(job["status"] for job in jobs) == {"succeeded": JOBS}
    assert kills
    assert most <= SLOTS  # of looks that a second lies between, while a job takes less
    slots = line(local)
    # The lowest free one is given, and its item stays: the third is there because three were held
    # at once, and a fourth would be there too.
    assert len(slots) == SLOTS
    assert not [slot for slot in slots if "holder" in slot]
    record_property(
        "figures",
        f"{JOBS} jobs in a queue of {SLOTS}, {len(kills)} workers killed: "
        f"{sum(job['attempt'] for job in jobs)} attempts, {len(slots)} at once at most",
    )


def dispatch(local: Local, campaign: str, key: str) -> str:
    body = {
        "job_type": "import_contacts",
        "organization_id": ORGANIZATION,
        "queue_name": QUEUE,
        "payload": {"campaign": campaign, "key": key},
    }
    answer = local.api.post("/jobs", body)
    assert answer.status == 202, answer.text
    job_id: str = answer.json["id"]
    return job_id


def finished(local: Local, ids: list[str]) -> tuple[list[dict[str, Any]], int]:
    """Return the jobs once they all are finished, and how many slots were held at most."""
    most = 0
    until = time.monotonic() + 300
    while time.monotonic() < until:
        most = max(most, sum("holder" in slot for slot in line(local)))
        jobs = [local.api.get(f"/jobs/{job_id}").json for job_id in ids]
        left = [job for job in jobs if job["status"] not in FINISHED]
        if not left:
            return jobs, most
        for job in left:
            if job["status"] in {"queued", "retryable"}:
                local.make_due(job["id"])  # its worker may have been killed before it had claimed
        local.tick()
        time.sleep(1)
    raise AssertionError(f"after 5 minutes: {Counter(job['status'] for job in jobs)}")


def line(local: Local) -> list[dict[str, Any]]:
    """Return the slots of the queue, as one consistent query shows them."""
    found: list[dict[str, Any]] = client(local, "dynamodb").query(
        TableName=local.stack.coordination_table_name,
        ConsistentRead=True,
        KeyConditionExpression="pk = :line AND begins_with(sk, :slot)",
        ExpressionAttributeValues={
            ":line": {"S": f"line#{QUEUE}#*"},
            ":slot": {"S": "slot#"},
        },
    )["Items"]
    return found


def client(local: Local, service: str) -> Any:
    client: Any = session(local.stack).client  # which is typed by the name of each service
    return client(service, endpoint_url=local.stack.endpoint_url)
