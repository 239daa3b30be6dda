"""Dispatch many jobs, wait until all have ended, and then dispatch another one.

A batch is one job, so creating it is one write. POST /batches checks the members before that.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from pydantic import BaseModel, ConfigDict

from job_runners.errors import DoNotRetry, MissingObject, ObjectChanged
from job_runners.shipped.jobs.names import BATCH_GROUP
from job_runners.work import Member, RunningJob

THEN = "then"  # the key of the last job
LONGEST_LINE = 5 * 1024 * 1024 // 2  # bytes, as the body of a request


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
    """Wait until all members have ended, and dispatch the last job, even if some have failed."""
    members = _members(job, payload)
    results = job.gather(BATCH_GROUP, members, stop_after_failures=payload.stop_after_failures)
    counts = {"id": job.id, "total": results.total, **results.outcomes}
    job.checkpoint(durable=True)  # notices a cancel
    then_id = None
    if payload.then is not None:
        last = payload.then
        then_id = job.dispatch(last.job_type, {**last.payload, "batch": counts}, key=THEN)
    job.message = f"{results.outcomes['succeeded']:,} of {results.total:,} members succeeded"
    return counts | {"then": then_id}


def lines(
    file: BinaryIO, check: Callable[[int], None] | None = None
) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file that aren't blank, and their numbers from 1.

    A line that is too long is cut, and is the last one. `check` is called with the number of each
    line, even if the line is blank.
    """
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if check is not None:
            check(number)
        if line.strip():
            yield number, line
        if len(line) > LONGEST_LINE:
            return


def _members(job: RunningJob, payload: Batch) -> Iterator[Member]:
    found = payload.members if payload.members_file is None else _in_file(job, payload)
    for each in found or ():
        key, queue_name = each.get("key"), each.get("queue_name")
        yield Member(each["job_type"], each.get("payload"), key, queue_name)


def _in_file(job: RunningJob, payload: Batch) -> Iterator[dict[str, Any]]:
    """Yield the members in the file. It must not change until all are dispatched."""
    try:
        with job.open_file(str(payload.members_file), etag=payload.etag) as file:
            for _, line in lines(file):
                yield json.loads(line.decode("utf-8-sig"))
    except (ObjectChanged, MissingObject) as error:
        raise DoNotRetry(f"The members could not all be dispatched. {error}") from error
