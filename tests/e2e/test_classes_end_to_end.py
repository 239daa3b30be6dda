"""Worker classes on a local AWS that holds each function to its policies: from every sender to the
right function, and through deploys that add, change and remove classes."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from classes_project import CLASSES, WORK, Classes, Project, classes_project
from following import follow
from job_runners.engine.wire.messages import JobMessage, TaskMessage, encode
from local_stack import roomy_home
from supervised import until

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("worker classes")]

EVERY = ["default", "large", "tiny"]
FORWARDED = {"older-task"}  # what a test sends to the default worker as older code does


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    with roomy_home() as home, classes_project(home) as found:
        yield found


@pytest.fixture(scope="module")
def stack(project: Project) -> Classes:
    return project.deploy(WORK, CLASSES)


def ended(stack: Classes, job_id: str, status: str = "succeeded") -> dict[str, Any]:
    """Return the job once it has ended."""
    job = follow(stack.api, job_id, patience=60)
    assert job["status"] == status, job.get("error")
    return job


# --- every sender ---------------------------------------------------------------------------------


def test_the_api_reaches_the_class_of_a_job_and_of_a_task(stack: Classes) -> None:
    for kind, job_id in {each: stack.dispatch(each) for each in EVERY}.items():
        job = ended(stack, job_id)
        assert job["result"] == stack.function(kind)
        assert job["worker"] == (None if kind == "default" else kind)
        task = {"task_name": f"{kind}_errand", "payload": {"kind": f"errand-{kind}"}}
        assert stack.api.post("/tasks", task).status == 202
    wanted = [{stack.function(each): 1} for each in EVERY]
    until(lambda: [stack.runs(f"errand-{each}") for each in EVERY] == wanted)


def test_children_reach_their_classes_from_each_class(stack: Classes) -> None:
    for job_id in [stack.dispatch(each, "parent") for each in EVERY]:
        ended(stack, job_id)
        children = stack.api.get(f"/jobs/{job_id}/children").json["children"]
        found = {each["key"]: ended(stack, each["id"])["result"] for each in children}
        assert found == {each: stack.function(each) for each in EVERY}


def test_a_job_stays_in_its_class_after_a_retry_a_kill_and_a_sleep(stack: Classes) -> None:
    """Through the delay queue and the timer, or through the failures function."""
    ways = [(what, kind) for what in ("sleeps", "fails", "dies") for kind in EVERY]
    for (what, kind), job_id in {way: stack.dispatch(way[1], way[0]) for way in ways}.items():
        job = ended(stack, job_id)
        assert job["result"] == stack.function(kind)
        assert stack.runs(job_id) == {stack.function(kind): 2}
        assert job["attempt"] == (1 if what == "sleeps" else 2)


def test_the_timer_reaches_the_class_of_a_job_whose_message_was_lost(stack: Classes) -> None:
    # Longer than the delay queue takes.
    jobs = {each: stack.dispatch(each, delay=100_000) for each in EVERY}
    for job_id in jobs.values():
        stack.start_now(job_id)
    stack.tick()
    for kind, job_id in jobs.items():
        assert ended(stack, job_id)["result"] == stack.function(kind)
        assert stack.runs(job_id) == {stack.function(kind): 1}


def test_the_default_worker_forwards_what_older_code_sends_it(stack: Classes) -> None:
    job_id = stack.dispatch("large", delay=100_000)
    stack.start_now(job_id)
    FORWARDED.add(job_id)
    message = JobMessage(id=job_id, job_type="large", send_id="older", queue_name="default")
    task = TaskMessage("older-task", "tiny_errand", {"kind": "older"})
    for each in (message, task):
        stack.client("lambda").invoke(
            FunctionName=stack.stack.worker_function_arn,
            InvocationType="Event",
            Payload=encode(each),
        )
    assert ended(stack, job_id)["result"] == stack.function("large")
    assert stack.runs(job_id) == {stack.function("large"): 1}
    until(lambda: stack.runs("older") == {stack.function("tiny"): 1})


def test_all_other_senders_reach_the_class(stack: Classes) -> None:
    """Bulk requests, members, follow-ups, schedules, waiting lines, and manual retries."""
    given = [{"job_type": each, "organization_id": "acme", "payload": {}} for each in EVERY]
    answer = stack.api.post("/jobs/bulk", {"jobs": given}, headers={"Idempotency-Key": "bulk"})
    many = [each["job"]["id"] for each in answer.json["jobs"]]
    gathers = stack.dispatch("default", "gathers")
    followed = stack.dispatch("followed")
    narrow = [stack.dispatch("narrow", "sleeps") for _ in range(2)]
    held = stack.dispatch("tiny", delay=1000)
    stack.api.post(f"/jobs/{held}/cancel", b"")
    stack.api.post(f"/jobs/{held}/retry", b"")
    hourly = {"job_type": "tiny", "every": 3600, "payload": {}}
    stack.api.put("/schedules/hourly?organization_id=acme", hourly)
    occurrence = stack.api.post("/schedules/hourly/run?organization_id=acme", b"").json["id"]
    stack.api.delete("/schedules/hourly?organization_id=acme")
    assert [ended(stack, each)["result"] for each in many] == [stack.function(e) for e in EVERY]
    members = ended(stack, gathers)["result"]
    assert members == f"{stack.function('large')},{stack.function('tiny')}"
    (follow_up,) = ended(stack, followed)["follow_ups"]
    assert ended(stack, follow_up["id"])["result"] == stack.function("large")
    assert [ended(stack, each)["result"] for each in narrow] == [stack.function("large")] * 2
    for job_id in (held, occurrence):
        assert ended(stack, job_id)["result"] == stack.function("tiny")


def test_a_failed_task_that_is_sent_again_reaches_its_class(stack: Classes) -> None:
    task = {"task_name": "large_errand", "payload": {"kind": "breaks"}}
    task_id = stack.api.post("/tasks", task).json["id"]

    def failed() -> dict[str, Any] | None:
        found = stack.api.get("/tasks/failed?limit=100").json["tasks"]
        return next((each for each in found if each["id"] == task_id), None)

    assert until(failed)["worker"] == "large"
    assert stack.api.post(f"/tasks/failed/{task_id}/redrive", b"").status == 202
    until(lambda: stack.runs("breaks") == {stack.function("large"): 2})


def test_a_class_has_its_memory_its_timeout_and_no_retries(stack: Classes) -> None:
    functions = stack.client("lambda")
    large = functions.get_function_configuration(FunctionName=stack.function("large"))
    assert (large["MemorySize"], large["Timeout"]) == (2048, 60)
    broken = stack.client("lambda").invoke(
        FunctionName=f"{stack.function('large')}:live",
        InvocationType="Event",
        Payload=json.dumps({"v": 1, "kind": "none", "id": "x"}).encode(),
    )
    assert broken["StatusCode"] == 202


def test_each_sender_knew_the_class_and_nothing_else_was_forwarded(stack: Classes) -> None:
    logs = stack.client("logs").get_paginator("filter_log_events")
    pages = logs.paginate(logGroupName=stack.worker_log_group)
    texts = [each["message"] for page in pages for each in page["events"]]
    lines = [json.loads(each) for each in texts if each.startswith("{")]
    assert {"claimed", "succeeded"} <= {line.get("message") for line in lines}
    ids = [line.get("job_id", line.get("task_id")) for line in lines if "forwarded_to" in line]
    assert set(ids) <= FORWARDED


# --- changes --------------------------------------------------------------------------------------

MOVED = WORK.replace(
    '"tiny": Job(work, retry=AGAIN, worker="tiny")', '"tiny": Job(work, retry=AGAIN)'
)
MOVED = MOVED.replace(
    '"moved": Job(work, retry=AGAIN)', '"moved": Job(work, retry=AGAIN, worker="huge")'
)
MOVED = MOVED.replace('"tiny_errand": Task(errand, worker="tiny")', '"tiny_errand": Task(errand)')
CHANGED = "[workers.large]\nmemory = 3000\ntimeout = 90\n[workers.huge]\nmemory = 4096\n"


def test_a_class_is_added_changed_and_removed_with_jobs_waiting(
    stack: Classes, project: Project
) -> None:
    """Nothing is lost, and nothing runs twice."""
    types = [*EVERY, "moved"]
    waiting = {each: [stack.dispatch(each, delay=100_000) for _ in range(3)] for each in types}
    under_way = {each: [stack.dispatch(each, "sleeps") for _ in range(3)] for each in types}
    after = project.deploy(MOVED, CHANGED)
    large = after.client("lambda").get_function_configuration(FunctionName=after.function("large"))
    assert (large["MemorySize"], large["Timeout"]) == (3000, 90)
    names = [
        each["FunctionName"]
        for page in after.client("lambda").get_paginator("list_functions").paginate()
        for each in page["Functions"]
    ]
    assert after.function("tiny") not in names
    assert after.function("huge") in names
    for job_ids in waiting.values():
        for job_id in job_ids:
            after.start_now(job_id)
    after.tick()
    where = {"default": "default", "large": "large", "tiny": "default", "moved": "huge"}
    for kind, job_ids in waiting.items():
        for job_id in job_ids:
            assert ended(after, job_id)["result"] == after.function(where[kind])
            assert after.runs(job_id) == {after.function(where[kind]): 1}
    for job_ids in under_way.values():
        for job_id in job_ids:
            make_progress(after, job_id)
            assert after.runs(job_id).total() == 2  # before its sleep and after it


def make_progress(stack: Classes, job_id: str) -> None:
    """Wait for a job. The timer sends it again if the emulator lost its event in the deploy."""
    deadline = time.monotonic() + 120
    while stack.api.get(f"/jobs/{job_id}").json["status"] != "succeeded":
        assert time.monotonic() < deadline, stack.api.get(f"/jobs/{job_id}").json
        if stack.make_due(job_id):
            stack.tick()
        time.sleep(1)


@pytest.mark.more
def test_work_of_a_class_whose_function_is_gone_waits_and_is_not_lost(
    stack: Classes, project: Project
) -> None:
    """As while a first deploy of a class is under way."""
    now = project.deploy(MOVED, CHANGED)
    functions = now.client("lambda")
    functions.delete_function(FunctionName=now.function("huge"))
    job_id = now.dispatch("moved")
    time.sleep(2)
    assert now.api.get(f"/jobs/{job_id}").json["status"] == "queued"
    back = project.deploy(WORK, CLASSES)  # its type is in the default class again
    assert back.make_due(job_id)
    back.tick()
    assert ended(back, job_id)["result"] == back.function("default")
    assert back.runs(job_id) == Counter({back.function("default"): 1})
