"""What the API shows of a job's timeline."""

from datetime import datetime
from typing import Any

from api_events import call
from job_runners.store.job_request import JobRequest


def timeline(row: JobRequest, **parts: Any) -> dict[str, Any]:
    found: dict[str, Any] = call("GET", f"/jobs/{row.id}/timeline", **parts).json
    return found


def records(row: JobRequest, kind: str) -> list[dict[str, Any]]:
    return [each for each in timeline(row)["records"] if each["kind"] == kind]


def outcomes(row: JobRequest) -> list[tuple[int, int, int, str | None]]:
    """Return the run, claim, attempt and outcome of each invocation."""
    found = records(row, "invocation")
    return [(each["run"], each["claim"], each["attempt"], each["outcome"]) for each in found]


def took(record: dict[str, Any]) -> float:
    """Return the seconds between the start and the end of a record."""
    ended, began = (datetime.fromisoformat(record[name]) for name in ("ended_at", "began_at"))
    return (ended - began).total_seconds()
