"""For tests of your own: work done in this process, through JSON as ever, and what came of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import clock
from runners import timer
from runners.execution import run
from runners.messages import Message, decode, encode
from store import blobs
from store.job_request import JobRequest
from testing.aws import mocked_aws

_PATIENCE = 1000  # messages, before a job that never ends is called that


@contextmanager
def inline(**environment: str) -> Iterator[None]:
    """Jobs and tasks run where they are dispatched, on an AWS in this process."""
    with mocked_aws(environment):
        yield


@contextmanager
def saved_only(**environment: str) -> Iterator[None]:
    """Jobs are only saved, for `assert_dispatched` and `drain`; tasks run where dispatched."""
    with mocked_aws({"JOBS_SAME_PROCESS": "false"} | environment):
        yield


def assert_dispatched(job_type: str, **fields: Any) -> JobRequest:
    """Return that a job of this type was dispatched, once, with these fields; returns its row."""
    found = [row for row in JobRequest.scan() if row.job_type == job_type]
    matching = [
        row for row in found if all(getattr(row, name) == value for name, value in fields.items())
    ]
    if len(matching) != 1:
        others = ", ".join(sorted({row.job_type for row in JobRequest.scan()})) or "nothing"
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
    inbox: list[Message] = []
    moved = 0
    now = clock.now

    def send(message: Message, delay: float = 0) -> None:
        if delay == 0:
            inbox.append(decode(encode(message)))

    with patch.object(clock, "now", lambda: now() + moved):
        for _ in range(_PATIENCE):
            if inbox:
                deadline = clock.now() + int(seconds * clock.SECOND)
                run(inbox.pop(0), deadline=deadline, send=send)
                continue
            due = [row.due_at for row in JobRequest.scan() if row.due_at is not None]
            if not due:
                return list(JobRequest.scan())
            moved += max(0, min(due) - clock.now())
            timer.tick(send, until=clock.now() + clock.MINUTE)
    raise AssertionError(f"jobs are not done after {_PATIENCE} messages")
