"""Read saved jobs as values: payloads and results are decompressed, and fetched from the bucket."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel

from job_runners import clock
from job_runners.engine.registry.registry import registry
from job_runners.store import blobs, queries
from job_runners.store.job_request import JobRequest, Status
from job_runners.testing.plain_clients import every_row


@dataclass(frozen=True)
class SavedError:
    """The error of a failed attempt.

    For an earlier attempt, the row keeps only a short text, without the traceback.
    """

    kind: str
    message: str
    traceback: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


@dataclass(frozen=True)
class SavedJob:
    """A job as it was when it was read."""

    id: str
    job_type: str
    status: Status
    payload: Any
    result: Any
    error: SavedError | None
    earlier_errors: tuple[SavedError, ...]
    progress: int  # 0 to 100
    message: str | None  # for the person waiting for the job
    cursor: Any
    attempt: int
    max_attempts: int
    invocations: int
    organization_id: str
    queue_name: str
    parent_id: str | None
    run_at: datetime | None

    @staticmethod
    def of(row: JobRequest) -> "SavedJob":
        """Return the values of a row.

        Raises MissingObject if a payload or result is gone from the bucket.
        """
        return SavedJob(
            id=row.id,
            job_type=row.job_type,
            status=row.status,
            payload=blobs.get(row.payload, row.payload_key),
            result=blobs.get(row.result, row.result_key),
            error=_error(row.error),
            earlier_errors=tuple(filter(None, map(_error, row.earlier_errors or []))),
            progress=row.progress,
            message=row.result_message,
            cursor=row.cursor,
            attempt=row.attempt,
            max_attempts=row.max_attempts,
            invocations=row.invocations,
            organization_id=row.organization_id,
            queue_name=row.queue_name,
            parent_id=row.parent_id,
            run_at=None if row.run_at is None else _time(row.run_at),
        )

    @property
    def state(self) -> str:
        """The status, attempt, invocation and progress in words."""
        return (
            f"{self.status} (attempt {self.attempt} of {self.max_attempts}, "
            f"invocation {self.invocations}, progress {self.progress}%)"
        )

    def __str__(self) -> str:
        return f"{self.job_type} {self.id}, {self.state}, payload {_short(self.payload)}"


class SavedJobs:
    """All saved jobs, read again at each call, in the order in which they were created."""

    def __iter__(self) -> Iterator[SavedJob]:
        rows = sorted(every_row(JobRequest), key=lambda row: row.created_key)
        return iter([SavedJob.of(row) for row in rows])

    def __len__(self) -> int:
        return len(every_row(JobRequest))

    def all(self, job_type: str | None = None, **wanted: Any) -> list[SavedJob]:
        """Return the jobs of this type with these fields.

        A payload or result may be given as its pydantic model. Raises UnknownJobType, and TypeError
        for a field that a job does not have.
        """
        if job_type is not None:
            registry().job(job_type)
            wanted["job_type"] = job_type
        _check_fields(wanted)
        values = {name: _plain(value) for name, value in wanted.items()}
        return [
            job
            for job in self
            if all(getattr(job, name) == value for name, value in values.items())
        ]

    def only(self, job_type: str | None = None, **wanted: Any) -> SavedJob:
        """Return the one job of this type with these fields.

        Raises AssertionError if there are none or several, and lists the saved jobs.
        """
        __tracebackhide__ = True
        jobs = self.all(job_type, **wanted)
        if len(jobs) == 1:
            return jobs[0]
        description = "jobs" if job_type is None else f"jobs {job_type!r}"
        if wanted:
            values = ", ".join(f"{name}={value!r}" for name, value in wanted.items())
            description += f" with {values}"
        raise AssertionError(f"{len(jobs)} {description} are saved, not 1. {_list(list(self))}")

    def get(self, job_id: str) -> SavedJob:
        """Return the job with this id. Raises AssertionError if there is none."""
        __tracebackhide__ = True
        row = queries.read(job_id)
        if row is None:
            raise AssertionError(f"No job {job_id!r} is saved. {_list(list(self))}")
        return SavedJob.of(row)


def assert_succeeded(job: SavedJob) -> Any:
    """Return the result of a job that has succeeded. Raises AssertionError with the job's error.

    A job that was not finished when it was read is read again.
    """
    __tracebackhide__ = True
    job = _finished_job(job)
    if job.status is Status.SUCCEEDED:
        return job.result
    raise AssertionError(f"{_name(job)} has not succeeded. It is {job.state}{_error_lines(job)}")


def assert_failed(job: SavedJob, kind: type[BaseException] | str | None = None) -> SavedError:
    """Return the error of a job that has failed, and check its kind if one is given.

    Raises AssertionError with the job's state. A job that was not finished when it was read is read
    again.
    """
    __tracebackhide__ = True
    job = _finished_job(job)
    if job.status is not Status.FAILED or job.error is None:
        instead = f", with the result {_short(job.result)}" if job.result is not None else ""
        raise AssertionError(f"{_name(job)} has not failed. It is {job.state}{instead}")
    name = kind.__name__ if isinstance(kind, type) else kind
    if name is not None and job.error.kind != name:
        raise AssertionError(f"{_name(job)} failed, but not with {name}{_error_lines(job)}")
    return job.error


def _finished_job(job: SavedJob) -> SavedJob:
    """Return the finished job. Raises AssertionError if it isn't finished."""
    __tracebackhide__ = True
    if job.status.finished:
        return job
    job = SavedJobs().get(job.id)
    if not job.status.finished:
        raise AssertionError(
            f"{_name(job)} is not finished. It is {job.state}. Run saved jobs with "
            f"job_runner.drain(){_error_lines(job)}"
        )
    return job


def _name(job: SavedJob) -> str:
    return f"The job {job.job_type!r} ({job.id})"


def _error_lines(job: SavedJob) -> str:
    lines = [f"\nattempt {n}: {error}" for n, error in enumerate(job.earlier_errors, start=1)]
    if job.error is not None:
        lines.append(f"\n{job.error}\n\n{job.error.traceback.rstrip()}")
    return "".join(lines)


def _list(jobs: list[SavedJob]) -> str:
    if not jobs:
        return "No jobs are saved"
    return "\n  ".join(["Saved jobs:", *map(str, jobs)])


def _check_fields(wanted: dict[str, Any]) -> None:
    names = [field.name for field in fields(SavedJob)]
    for name in wanted:
        if name not in names:
            similar = get_close_matches(name, names, n=1)
            hint = f"Its fields are {', '.join(names)}."
            if similar:
                hint = f"Did you mean {similar[0]!r}?"
            raise TypeError(f"A saved job has no field {name!r}. {hint}")


def _error(record: dict[str, Any] | None) -> SavedError | None:
    if record is None:
        return None
    return SavedError(record["kind"], record["message"], record.get("traceback", ""))


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else text[:200] + "…"


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / clock.SECOND, UTC)
