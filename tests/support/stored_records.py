"""What is stored, by key, for tests that step through days of simulated time."""

from collections.abc import Callable
from typing import Any

import moto_items
from job_runners.aws import clients
from job_runners.testing import moto_direct
from job_runners.testing.moto_direct import Row


def jobs() -> dict[str, Row]:
    """Return the rows of all jobs, by id."""
    return {row["id"]: row for row in moto_direct.rows("jobs")}


def records(kind: str) -> dict[tuple[str, str], Row]:
    """Return the records whose partitions are of a kind, such as "unique", by their keys."""
    return {
        (row["pk"], row["sk"]): row
        for row in moto_direct.rows("coordination")
        if row["pk"].startswith(f"{kind}#")
    }


def forget_job(job_id: str) -> None:
    """Delete a job's row."""
    moto_items.delete("jobs", {"id": {"S": job_id}})


def on_request(call: Callable[[str], None]) -> None:
    """Call this with the operation of each request to DynamoDB, before it is carried out."""

    def requested(model: Any, **_: Any) -> None:
        call(model.name)

    clients.client("dynamodb").meta.events.register("before-call.dynamodb", requested)
