"""The built-in job that runs a batch.

A batch is a set of jobs, called its members. This job dispatches the members, and waits for them.
When all members have ended, it dispatches the batch's final job, if there is one. POST /batches
checks the members, and then creates the batch with a single write: the row of this job.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from pydantic import BaseModel, ConfigDict

from job_runners.errors import DoNotRetry, MissingObject, ObjectChanged
from job_runners.shipped.jobs.names import BATCH_GROUP
from job_runners.work import Member, RunningJob

THEN = "then"  # the key of the final job's dispatch
MAX_LINE_BYTES = 5 * 1024 * 1024 // 2  # 2.5 MiB, the limit of a request's body


class Then(BaseModel):
    """The final job, which is dispatched when all members have ended."""

    model_config = ConfigDict(defer_build=True)

    job_type: str
    payload: dict[str, Any]


class Batch(BaseModel):
    """A batch, whose members are in a list, or in a file with one JSON object per line."""

    model_config = ConfigDict(defer_build=True)

    total: int
    members: list[dict[str, Any]] | None = None
    members_file: str | None = None
    etag: str | None = None  # the ETag of the file when POST /batches checked it
    then: Then | None = None
    stop_after_failures: int | None = None


def batch(job: RunningJob, payload: Batch) -> dict[str, Any]:
    """Wait until all members have ended, even if some fail, and dispatch the final job."""
    members = _read_members(job, payload)
    results = job.gather(BATCH_GROUP, members, stop_after_failures=payload.stop_after_failures)
    counts = {"id": job.id, "total": results.total, **results.outcomes}
    job.checkpoint(durable=True)  # stops here if the batch was canceled
    then_id = None
    if payload.then is not None:
        then_payload = {**payload.then.payload, "batch": counts}
        then_id = job.dispatch(payload.then.job_type, then_payload, key=THEN)
    job.message = f"{results.outcomes['succeeded']:,} of {results.total:,} members succeeded"
    return counts | {"then": then_id}


def numbered_lines(
    file: BinaryIO, before_line: Callable[[int], None] | None = None
) -> Iterator[tuple[int, bytes]]:
    """Yield (line number, line) for each line that isn't blank. Line numbers start at 1.

    If a line is longer than MAX_LINE_BYTES, this yields only its start, and then stops.
    `before_line` is called with the number of each line, including blank ones.
    """
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if before_line is not None:
            before_line(number)
        if line.strip():
            yield number, line
        if len(line) > MAX_LINE_BYTES:
            return


def _read_members(job: RunningJob, payload: Batch) -> Iterator[Member]:
    if payload.members_file is None:
        members = iter(payload.members or ())
    else:
        members = _read_members_file(job, payload)
    for member in members:
        key, queue_name = member.get("key"), member.get("queue_name")
        yield Member(member["job_type"], member.get("payload"), key, queue_name)


def _read_members_file(job: RunningJob, payload: Batch) -> Iterator[dict[str, Any]]:
    """Yield the members. Raises DoNotRetry if the file changes while they are read."""
    try:
        with job.open_file(str(payload.members_file), etag=payload.etag) as file:
            for _, line in numbered_lines(file):
                yield json.loads(line.decode("utf-8-sig"))
    except (ObjectChanged, MissingObject) as error:
        raise DoNotRetry(f"The members could not all be dispatched. {error}") from error
