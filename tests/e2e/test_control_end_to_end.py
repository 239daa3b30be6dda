"""A job scheduled, canceled, retried, held, replayed and deleted, on the local AWS."""

import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from following import ORGANIZATION, follow
from hostile_files import write_contacts
from job_runners.store.pauses import CACHE_TIME
from local_stack import Local
from stack_clients import session

pytestmark = pytest.mark.e2e

SMALL = f"uploads/{ORGANIZATION}/three.csv"
LARGE = f"uploads/{ORGANIZATION}/many.csv"


@pytest.fixture(scope="module")
def uploads(local: Local, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Upload a file of three rows, and one that takes seconds to import."""
    many: Path = tmp_path_factory.mktemp("uploads") / "many.csv"
    write_contacts(many, 80_000)
    s3 = session(local.stack).client("s3", endpoint_url=local.stack.endpoint_url)
    s3.upload_file(str(many), local.stack.bucket_name, LARGE)
    rows = "".join(f"Ada,Lovelace,(212) 555-012{number}\n" for number in range(3))
    body = f"first_name,last_name,cell\n{rows}".encode()
    s3.put_object(Bucket=local.stack.bucket_name, Key=SMALL, Body=body)


@pytest.fixture(scope="module")
def paused(local: Local) -> Iterator[tuple[str, float]]:
    """Yield a queue that is paused, and when every worker has heard of it."""
    queue = f"queue-{uuid.uuid4()}"
    assert local.api.put(f"/paused/queue/{queue}").status == 200
    yield queue, time.monotonic() + CACHE_TIME / 1000
    local.api.delete(f"/paused/queue/{queue}")


@pytest.fixture(scope="module")
def limited(local: Local, paused: tuple[str, float]) -> Iterator[tuple[str, float]]:
    """Yield a queue that is limited to one job at once, and when every worker has heard of it."""
    queue = f"queue-{uuid.uuid4()}"
    assert local.api.put(f"/queues/{queue}", {"slots": 1}).status == 200
    yield queue, time.monotonic() + CACHE_TIME / 1000
    local.api.delete(f"/queues/{queue}")


def dispatched(local: Local, key: str = SMALL, **fields: Any) -> dict[str, Any]:
    """Return a job as it was accepted."""
    payload = {"campaign": f"campaign-{uuid.uuid4()}", "key": key}
    job = {"job_type": "import_contacts", "organization_id": ORGANIZATION, "payload": payload}
    answer = local.api.post("/jobs", {**job, **fields})
    assert answer.status == 202, answer.text
    accepted: dict[str, Any] = answer.json
    return accepted


def until(local: Local, job_id: str, status: str, *, ticking: bool = False) -> dict[str, Any]:
    """Return the job once it has this status; raises if it has not after 30 s."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        job: dict[str, Any] = local.api.get(f"/jobs/{job_id}").json
        if job["status"] == status:
            return job
        if ticking:
            local.tick()
        time.sleep(0.1)
    raise AssertionError(f"the job is {job['status']}, not {status}: {job['error']}")


def test_a_job_with_a_delay_runs_once_its_time_has_come(
    local: Local, uploads: None, paused: tuple[str, float], limited: tuple[str, float]
) -> None:
    began = time.time()
    job = dispatched(local, delay=3)
    assert job["status"] == "scheduled"
    assert follow(local.api, job["id"])["status"] == "succeeded"
    assert 1 <= time.time() - began < 40  # 2 s early is in time


def test_a_running_job_stops_when_it_is_canceled_and_runs_again_with_another_payload(
    local: Local, uploads: None, paused: tuple[str, float]
) -> None:
    job_id = dispatched(local, LARGE)["id"]
    until(local, job_id, "running")
    answer = local.api.post(f"/jobs/{job_id}/cancel", b"")
    assert (answer.status, answer.json["cancel_requested"]) == (202, True)
    stopped = until(local, job_id, "canceled")
    assert stopped["progress"] < 100
    assert stopped["result"] is None
    answer = local.api.post(
        f"/jobs/{job_id}/retry", {"payload": {"campaign": "small", "key": SMALL}}
    )
    assert (answer.status, answer.json["status"]) == (202, "queued")
    job = until(local, job_id, "succeeded")
    assert job["result"]["imported"] == 3
    assert job["payload"]["key"] == SMALL


def test_the_same_request_is_one_job_and_a_deleted_one_is_gone(
    local: Local, uploads: None, paused: tuple[str, float]
) -> None:
    payload = {"campaign": "once", "key": SMALL}
    body = {"job_type": "import_contacts", "payload": payload}
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    first, again = (local.api.post("/jobs", body, headers=headers) for _ in range(2))
    assert (first.status, again.status) == (202, 202)
    assert first.json["id"] == again.json["id"]
    assert (first.headers["Idempotent-Replayed"], again.headers["Idempotent-Replayed"]) == (
        None,
        "true",
    )
    twice = {"payload": payload | {"campaign": "twice"}}
    other = local.api.post("/jobs", body | twice, headers=headers)
    assert other.status == 409
    job_id = first.json["id"]
    until(local, job_id, "succeeded")
    assert local.api.delete(f"/jobs/{job_id}").status == 204
    assert local.api.get(f"/jobs/{job_id}").status == 404


def test_a_job_of_a_paused_queue_waits_until_it_is_resumed(
    local: Local, uploads: None, paused: tuple[str, float]
) -> None:
    queue, heard = paused
    time.sleep(max(0, heard - time.monotonic()))
    job_id = dispatched(local, queue_name=queue)["id"]
    assert until(local, job_id, "waiting")["waiting_since"] is not None
    assert local.api.delete(f"/paused/queue/{queue}").status == 204
    # A worker that has not heard yet holds it back again; then the timer lets it go.
    assert until(local, job_id, "succeeded", ticking=True)["attempt"] == 1


def test_jobs_of_a_limited_queue_wait_in_line_until_there_is_room(
    local: Local, uploads: None, limited: tuple[str, float]
) -> None:
    queue, heard = limited
    time.sleep(max(0, heard - time.monotonic()))
    first = dispatched(local, LARGE, queue_name=queue)["id"]
    until(local, first, "running")
    others = [dispatched(local, queue_name=queue)["id"] for _ in range(2)]
    for each in others:
        line = until(local, each, "waiting")["waits_for"]
        assert (line["kind"], line["name"], line["key"]) == ("line", queue, "*")
    places = [local.api.get(f"/jobs/{each}/place").json["ahead"] for each in others]
    assert sorted(places) == [0, 1]
    (key,) = local.api.get(f"/queues/{queue}").json["keys"]
    assert [each["job_id"] for each in key["holders"]] == [first]
    assert (key["slots_in_use"], key["waiting"]) == (1, 2)
    assert local.api.put(f"/queues/{queue}", {"slots": 3}).json["limits"]["slots"] == 3
    for each in others:
        until(local, each, "succeeded")
    assert local.api.get(f"/jobs/{first}").json["status"] == "running"
    until(local, first, "succeeded")
    (key,) = local.api.get(f"/queues/{queue}").json["keys"]
    assert (key["slots_in_use"], key["waiting"]) == (0, 0)
