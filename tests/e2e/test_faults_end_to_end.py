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
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from following import ORGANIZATION, contacts, follow
from hostile_files import NOTE, Expected, count_written, write_contacts, write_wide_contacts
from job_runners.cli.dead_letters import resend
from job_runners.cli.polling import FINISHED
from local_stack import Local, worker_timeout
from machine_speed import seconds_to_start_python
from stack_clients import session
from worker_killer import killer

pytestmark = pytest.mark.e2e

CHAOS = bool(os.environ.get("CHAOS"))


def upload(local: Local, file: Path) -> str:
    key = f"uploads/{ORGANIZATION}/{file.name}"
    s3 = session(local.stack).client("s3", endpoint_url=local.stack.endpoint_url)
    s3.upload_file(str(file), local.stack.bucket_name, key)
    return key


def dispatch(
    local: Local, job_type: str, campaign: str, payload: dict[str, Any], **fields: Any
) -> str:
    body = {
        **fields,
        "job_type": job_type,
        "organization_id": ORGANIZATION,
        "payload": {"campaign": campaign, **payload},
    }
    answer = local.api.post("/jobs", body)
    assert answer.status == 202, answer.text
    job_id: str = answer.json["id"]
    return job_id


def check_counts(job: dict[str, Any], expected: Expected) -> None:
    assert job["status"] == "succeeded", [*job["earlier_errors"], job["error"]]
    counted = {name: job["result"][name] for name in ("imported", "invalid", "repeated")}
    assert counted == vars(expected)


def check(local: Local, job: dict[str, Any], campaign: str, expected: Expected) -> None:
    check_counts(job, expected)
    assert len(contacts(local.stack, f"{ORGANIZATION}#{campaign}")) == expected.imported


def test_an_import_that_outlives_its_worker_goes_on_over_invocations(
    local: Local, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    # At first 2 s, or longer on a busy machine. If it is faster than it seemed, halve that.
    rows, seconds = 60_000, max(2, round(8 * seconds_to_start_python()))
    if CHAOS:
        rows, seconds = 1_000_000, 15
    expected = write_contacts(tmp_path / "long.csv", rows)
    key = upload(local, tmp_path / "long.csv")
    while True:
        campaign = f"invocations-{seconds}"
        with worker_timeout(local, seconds):
            began = time.monotonic()
            job_id = dispatch(local, "import_contacts", campaign, {"key": key})
            job = follow(local.api, job_id, patience=1800)
            took = time.monotonic() - began
        check_counts(job, expected)
        assert count_written(local.stack, f"{ORGANIZATION}#{campaign}", rows) == expected.imported
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
    local: Local, record_property: Callable[[str, object], None]
) -> None:
    """The first one has all the time it wants and tells how much that is; the second has a part."""
    rows, took = 2_100, 0.0
    while took < 2.2:  # Lambda's timeouts are whole seconds: too rough for a part of less
        rows *= 2
        cells = write_wide_contacts(local.stack, f"{ORGANIZATION}#wide", rows)
        once = follow(local.api, dispatch(local, "export_contacts", "wide", {}))
        assert (once["status"], once["invocations"]) == ("succeeded", 1), once
        took = seconds_of(once)
    # A step is a part of 8 MiB, of which 4,200 rows have five: one fits if it takes 2.7 times as
    # long as the first export's did, and at 1.7 times that one's pace there still is a second
    # invocation.
    seconds = math.ceil(0.6 * took)
    with worker_timeout(local, seconds):
        job = follow(local.api, dispatch(local, "export_contacts", "wide", {}))
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


def test_jobs_whose_workers_are_killed_all_end_with_the_right_contacts(
    local: Local, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    jobs, at_once = (200, 10) if CHAOS else (20, 5)  # each at a time has a process of its own
    expected = write_contacts(tmp_path / "short.csv", 1_500)
    key = upload(local, tmp_path / "short.csv")
    seed = int(os.environ.get("CHAOS_SEED", "2026"))
    ended: dict[str, dict[str, Any]] = {}
    with worker_timeout(local, 30), killer(local, random.Random(seed), jobs // 2) as kills:
        for first in range(0, jobs, at_once):
            campaigns = [f"killed-{number}" for number in range(first, first + at_once)]
            ids = [dispatch(local, "import_contacts", each, {"key": key}) for each in campaigns]
            ended |= zip(campaigns, finished(local, ids), strict=True)
    for campaign, job in ended.items():
        check(local, job, campaign, expected)
    assert len(kills) >= jobs // 10
    lost = jobs - len({job["id"] for job in ended.values() if job["finished_at"]})
    assert lost == 0
    attempts = sum(job["attempt"] for job in ended.values())
    record_property(
        "figures",
        f"{jobs} jobs, {len(kills)} workers killed (seed {seed}): {attempts} attempts, "
        f"lost: {lost}",
    )


@pytest.mark.more
def test_each_job_whose_worker_is_killed_is_announced_once(local: Local, tmp_path: Path) -> None:
    write_contacts(tmp_path / "told.csv", 1_500)
    key = upload(local, tmp_path / "told.csv")
    webhook = {"webhook": "https://hooks.example.com", "secret": f"{ORGANIZATION}/none"}
    subscribed = {"url": "https://crm.example.com", "secret": f"{ORGANIZATION}/none"}
    crm = f"/webhooks/crm?organization_id={ORGANIZATION}"
    assert local.api.put(crm, subscribed | {"job_types": ["import_contacts"]}).status == 201
    with worker_timeout(local, 30), killer(local, random.Random(2026), 6) as kills:
        ids = [
            dispatch(local, "import_contacts", f"told-{number}", {"key": key}, on_end=webhook)
            for number in range(8)
        ]
        told = [job["follow_ups"] for job in finished(local, ids)]
        announced = finished(local, [each["id"] for follow_ups in told for each in follow_ups])
    assert local.api.delete(crm).status == 204
    assert kills
    kinds = [[each["kind"] for each in follow_ups] for follow_ups in told]
    assert kinds == [["on_end", "announcement"]] * len(ids)
    for job in announced:
        children = local.api.get(f"/jobs/{job['id']}/children").json["children"]
        assert (job["status"], len(children)) == ("succeeded", 1)
        assert children[0]["job"]["follow_up_of"] == job["follow_up_of"]


def finished(local: Local, ids: list[str]) -> list[dict[str, Any]]:
    """Return the jobs once they all are finished. The minute comes round every second, and every
    third makes due what waits for a worker: one may have been killed before it had claimed."""
    for second in range(300):
        jobs = [local.api.get(f"/jobs/{job_id}").json for job_id in ids]
        if all(job["status"] in FINISHED for job in jobs):
            return jobs
        if second % 3 == 2:
            for job in jobs:
                if job["status"] in {"queued", "retryable"}:
                    local.make_due(job["id"])  # unless it has just finished
        local.tick()
        time.sleep(1)
    raise AssertionError(f"after 5 minutes: {Counter(job['status'] for job in jobs)}")


def test_dead_letters_are_sent_again_and_none_is_left(local: Local) -> None:
    """A failure record of a job that is gone: settled, which here means ignored, at last."""
    sqs = session(local.stack).client("sqs", endpoint_url=local.stack.endpoint_url)
    policy = sqs.get_queue_attributes(
        QueueUrl=local.stack.failures_queue_url, AttributeNames=["RedrivePolicy"]
    )["Attributes"]["RedrivePolicy"]
    name = json.loads(policy)["deadLetterTargetArn"].rsplit(":", 1)[1]
    dead = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    event = {"v": 1, "kind": "job", "id": "0" * 32, "job_type": "x", "send_id": "s"}
    event["queue_name"] = "default"
    sqs.send_message(QueueUrl=dead, MessageBody=json.dumps({"requestPayload": event}))
    assert resend(sqs, local.stack.failures_queue_url) == 1
    assert resend(sqs, local.stack.failures_queue_url) == 0
    for queue in (dead, local.stack.failures_queue_url):
        assert waits_empty(sqs, queue)


def waits_empty(sqs: Any, queue: str) -> bool:
    """Return whether a queue is empty within a minute: nothing visible, nothing in flight."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    for _ in range(120):
        counts = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
        if {counts[name] for name in names} == {"0"}:
            return True
        time.sleep(0.5)
    return False
