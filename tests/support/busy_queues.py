"""Queues whose jobs run and wait, for tests of the API."""

from collections.abc import Callable
from typing import Any

from api_events import Answer, call
from distinct_times import next_millisecond
from fake_lambda import FakeLambda
from job_runners.work import RunningJob
from sample_work import Sample, script
from stale_reads import catch_up

SLOTS_1 = {
    "slots": 1,
    "rate": None,
    "per": None,
    "order": "fifo",
    "max_waiting": 10_000,
    "words": "1 slot, at most 10,000 waiting",
}


def dispatched(queue_name: str, organization_id: str = "acme", **fields: Any) -> str:
    body = {"job_type": "sample_once", "queue_name": queue_name, **fields}
    answer = call("POST", "/jobs", body={**body, "organization_id": organization_id})
    assert answer.status == 202, answer.text
    job_id: str = answer.json["id"]
    next_millisecond()
    return job_id


def got(path: str, **parts: Any) -> Any:
    answer = call("GET", path, **parts)
    assert answer.status == 200, answer.text
    return answer.json


def refused(answer: Answer, status: int, slug: str) -> str:
    assert answer.status == status, answer.text
    assert answer.json["type"] == f"urn:job-runners:{slug}"
    detail: str = answer.json["detail"]
    return detail


def while_one_runs(worker: FakeLambda, look: Callable[[], Any]) -> Any:
    """Deliver what was sent; return what a look tells while the first job runs and the messages of
    the others have come."""
    seen: list[Any] = []

    def run(job: RunningJob, payload: Sample) -> None:
        if not seen:
            seen.append(None)
            worker.deliver()
            catch_up()  # what is looked at may lag behind
            seen[0] = look()

    script.job = run
    worker.deliver()
    return seen[0]


def uses(found: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Return slots in use and jobs that wait, by key."""
    return {each["key"]: (each["slots_in_use"], each["waiting"]) for each in found["keys"]}
