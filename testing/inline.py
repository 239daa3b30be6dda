"""For tests of your own: work done in this process, through JSON as ever, and what came of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from store import blobs
from store.job_request import JobRequest
from testing.aws import mocked_aws, own_settings
from testing.held_runner import HeldMessages
from testing.movable_clock import MovableClock
from testing.shipped_operations import every_row


@contextmanager
def inline(**environment: str) -> Iterator[None]:
    """Jobs and tasks run where they are dispatched, on an AWS in this process."""
    with mocked_aws(own_settings() | environment):
        yield


@contextmanager
def saved_only(**environment: str) -> Iterator[None]:
    """Jobs are only saved, for `assert_dispatched` and `drain`; tasks run where dispatched."""
    with mocked_aws(own_settings() | {"JOBS_SAME_PROCESS": "false"} | environment):
        yield


def assert_dispatched(job_type: str, **fields: Any) -> JobRequest:
    """Return that a job of this type was dispatched, once, with these fields; returns its row."""
    found = [row for row in every_row(JobRequest) if row.job_type == job_type]
    matching = [
        row for row in found if all(getattr(row, name) == value for name, value in fields.items())
    ]
    if len(matching) != 1:
        others = ", ".join(sorted({row.job_type for row in every_row(JobRequest)})) or "nothing"
        raise AssertionError(
            f"{len(matching)} jobs {job_type!r} with {fields} were dispatched, not 1; "
            f"{len(found)} of that type; in all: {others}"
        )
    return matching[0]


def result_of(row: JobRequest) -> Any:
    """Return what the job of a row returned, as JSON has it; None if it has not succeeded."""
    return blobs.get(row.result, row.result_key)


def drain(*, seconds: float = 900) -> list[JobRequest]:
    """Run every saved job to its outcome, legs, retries and all, and return their rows.

    Waits are not waited for: the clock is moved on. Each invocation has `seconds`.
    """
    with MovableClock().standing() as movable_clock:
        HeldMessages(movable_clock).run_all(seconds=seconds)
    return every_row(JobRequest)
