"""The built-in job that dispatches many jobs (the members of a batch) and waits for them.

At the end it dispatches another job, if one is named. A batch is a job itself, so creating one is a
single write. POST /batches checks the members before that.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from pydantic import BaseModel, ConfigDict

from job_runners.errors import DoNotRetry, MissingObject, ObjectChanged
from job_runners.shipped.jobs.names import BATCH_GROUP
from job_runners.work import Member, RunningJob

THEN = "then"  # the key under which the job at the end is dispatched
MAX_LINE = 5 * 1024 * 1024 // 2  # bytes, as the body of a request


class Then(BaseModel):
    """The job to dispatch when all members have ended."""

    model_config = ConfigDict(defer_build=True)

    job_type: str
    payload: dict[str, Any]


class Batch(BaseModel):
    """The members of a batch: either in a list, or in a file with one JSON object in each line."""

    model_config = ConfigDict(defer_build=True)

    total: int
    members: list[dict[str, Any]] | None = None
    members_file: str | None = None
    etag: str | None = None  # of the file when it was checked
    then: Then | None = None
    stop_after_failures: int | None = None


def batch(job: RunningJob, payload: Batch) -> dict[str, Any]:
    """Wait until all members have ended, even if some fail, and dispatch the job at the end."""
    members = _members(job, payload)
    results = job.gather(BATCH_GROUP, members, stop_after_failures=payload.stop_after_failures)
    counts = {"id": job.id, "total": results.total, **results.outcomes}
    job.checkpoint(durable=True)  # notices a cancel
    then_id = None
    if payload.then is not None:
        then_payload = {**payload.then.payload, "batch": counts}
        then_id = job.dispatch(payload.then.job_type, then_payload, key=THEN)
    job.message = f"{results.outcomes['succeeded']:,} of {results.total:,} members succeeded"
    return counts | {"then": then_id}


def lines(
    file: BinaryIO, check: Callable[[int], None] | None = None
) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file that aren't blank, and their numbers from 1.

    A line of more than MAX_LINE bytes is truncated, and ends the reading. `check` is called with
    the number of each line, even if the line is blank.
    """
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        if check is not None:
            check(number)
        if line.strip():
            yield number, line
        if len(line) > MAX_LINE:
            return


def _members(job: RunningJob, payload: Batch) -> Iterator[Member]:
    if payload.members_file is None:
        members = iter(payload.members or ())
    else:
        members = _read_file(job, payload)
    for member in members:
        key, queue_name = member.get("key"), member.get("queue_name")
        yield Member(member["job_type"], member.get("payload"), key, queue_name)


def _read_file(job: RunningJob, payload: Batch) -> Iterator[dict[str, Any]]:
    """Yield the members in the file, which must not change until all are dispatched."""
    try:
        with job.open_file(str(payload.members_file), etag=payload.etag) as file:
            for _, line in lines(file):
                yield json.loads(line.decode("utf-8-sig"))
    except (ObjectChanged, MissingObject) as error:
        raise DoNotRetry(f"The members could not all be dispatched. {error}") from error
