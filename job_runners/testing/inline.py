"""Run jobs and tasks in this process, in tests that don't use pytest's fixtures.

Payloads are converted to JSON and back.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from job_runners.store import blobs
from job_runners.store.job_request import JobRequest
from job_runners.testing.aws import mocked_aws, own_settings
from job_runners.testing.held_runner import HeldMessages
from job_runners.testing.movable_clock import MovableClock
from job_runners.testing.plain_clients import every_row


@contextmanager
def inline(**environment: str) -> Iterator[None]:
    """Run jobs and tasks where they are dispatched, on a simulated AWS in this process."""
    with mocked_aws(own_settings() | environment):
        yield


@contextmanager
def saved_only(**environment: str) -> Iterator[None]:
    """Save jobs without running them, for `assert_dispatched` and `drain`. Tasks still run at
    once."""
    with mocked_aws(own_settings() | {"JOBS_SAME_PROCESS": "false"} | environment):
        yield


def assert_dispatched(job_type: str, **fields: Any) -> JobRequest:
    """Return the row of the only job of this type with these fields.

    Raises AssertionError if no such job was dispatched, or more than one.
    """
    all_rows = every_row(JobRequest)
    rows = [row for row in all_rows if row.job_type == job_type]
    matches = [
        row for row in rows if all(getattr(row, name) == value for name, value in fields.items())
    ]
    if len(matches) != 1:
        types = ", ".join(sorted({row.job_type for row in all_rows})) or "nothing"
        raise AssertionError(
            f"{len(matches)} jobs {job_type!r} with {fields} were dispatched, not 1. "
            f"{len(rows)} jobs have that type. All types dispatched: {types}."
        )
    return matches[0]


def result_of(row: JobRequest) -> Any:
    """Return the result of a row's job as a JSON value, or None if the job has not succeeded."""
    return blobs.get(row.result, row.result_key)


def drain(*, seconds: float = 900, signals: Mapping[str, Any] | None = None) -> list[JobRequest]:
    """Run all saved jobs to their outcomes, with all their retries, and return their rows.

    The clock moves forward instead of waiting. Each invocation has `seconds`. `signals` maps names
    to values, which jobs get when they wait for them.
    """
    with MovableClock().in_use() as movable_clock:
        HeldMessages(movable_clock).run_all(seconds=seconds, signals=signals)
    return every_row(JobRequest)
