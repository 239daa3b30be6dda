"""A job canceled, retried, held, replayed and deleted, on the local AWS."""

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from following import ORGANIZATION
from job_runners.store.pauses import CACHE_TIME
from local_stack import Local

# In `job-runners run`. This gives up nothing: the functions' permissions for all of this, and the
# queues of the template, are in test_policies_end_to_end.py.
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("local run")]

SMALL = f"uploads/{ORGANIZATION}/three.csv"
LARGE = f"uploads/{ORGANIZATION}/many.csv"


@pytest.fixture(scope="module")
def uploads(local: Local) -> None:
    """Upload a file of three rows, and one of rows without a number that takes seconds to read."""
    local.upload("many.csv", b"first_name,last_name,cell\n" + 300_000 * b"Ada,Lovelace,555\n")
    rows = "".join(f"Ada,Lovelace,(212) 555-012{number}\n" for number in range(3))
    local.upload("three.csv", f"first_name,last_name,cell\n{rows}".encode())


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


def dispatch(local: Local, key: str = SMALL, **fields: Any) -> str:
    """Return the id of an import."""
    payload = {"campaign": f"campaign-{uuid.uuid4()}", "key": key}
    return local.dispatch("import_contacts", payload, **fields)


def test_a_running_job_stops_when_it_is_canceled_and_runs_again_with_another_payload(
    local: Local, uploads: None, paused: tuple[str, float], limited: tuple[str, float]
) -> None:
    job_id = dispatch(local, LARGE)
    local.reach(job_id, "running")
    answer = local.api.post(f"/jobs/{job_id}/cancel", b"")
    assert (answer.status, answer.json["cancel_requested"]) == (202, True)
    stopped = local.reach(job_id, "canceled")
    assert stopped["progress"] < 100
    assert stopped["result"] is None
    answer = local.api.post(
        f"/jobs/{job_id}/retry", {"payload": {"campaign": "small", "key": SMALL}}
    )
    assert (answer.status, answer.json["status"]) == (202, "queued")
    job = local.reach(job_id, "succeeded")
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
    local.reach(job_id, "succeeded")
    assert local.api.delete(f"/jobs/{job_id}").status == 204
    assert local.api.get(f"/jobs/{job_id}").status == 404


def test_a_job_of_a_paused_queue_waits_until_it_is_resumed(
    local: Local, uploads: None, paused: tuple[str, float]
) -> None:
    queue, heard = paused
    time.sleep(max(0, heard - time.monotonic()))
    job_id = dispatch(local, queue_name=queue)
    assert local.reach(job_id, "waiting")["waiting_since"] is not None
    assert local.api.delete(f"/paused/queue/{queue}").status == 204
    local.make_due(job_id)  # as if a worker that hadn't read it yet had held it back again
    local.tick()
    assert local.reach(job_id, "succeeded")["attempt"] == 1


def test_jobs_of_a_limited_queue_wait_in_line_until_there_is_room(
    local: Local, uploads: None, limited: tuple[str, float]
) -> None:
    queue, heard = limited
    time.sleep(max(0, heard - time.monotonic()))
    first = dispatch(local, LARGE, queue_name=queue)
    local.reach(first, "running")
    others = [dispatch(local, queue_name=queue) for _ in range(2)]
    for each in others:
        line = local.reach(each, "waiting")["waits_for"]
        assert (line["kind"], line["name"], line["key"]) == ("line", queue, "*")
    places = [local.api.get(f"/jobs/{each}/place").json["ahead"] for each in others]
    assert sorted(places) == [0, 1]
    (key,) = local.api.get(f"/queues/{queue}").json["keys"]
    assert [each["job_id"] for each in key["holders"]] == [first]
    assert (key["slots_in_use"], key["waiting"]) == (1, 2)
    assert local.api.put(f"/queues/{queue}", {"slots": 3}).json["limits"]["slots"] == 3
    for each in others:
        local.reach(each, "succeeded")
    assert local.api.get(f"/jobs/{first}").json["status"] == "running"
    local.api.post(f"/jobs/{first}/cancel", b"")
    local.reach(first, "canceled")
    (key,) = local.api.get(f"/queues/{queue}").json["keys"]
    assert (key["slots_in_use"], key["waiting"]) == (0, 0)
