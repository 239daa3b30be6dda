"""Read saved jobs in a test, with their payloads and results, and assert how they ended."""

import json
from collections.abc import Iterable, Iterator
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

    An earlier attempt's error has a shortened message and no traceback.
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
        """Convert a row. Raises MissingObject if the bucket lacks the payload or the result."""
        return SavedJob(
            id=row.id,
            job_type=row.job_type,
            status=row.status,
            payload=blobs.get(row.payload, row.payload_key),
            result=blobs.get(row.result, row.result_key),
            error=None if row.error is None else _to_error(row.error),
            earlier_errors=tuple(map(_to_error, row.earlier_errors or ())),
            progress=row.progress,
            message=row.result_message,
            cursor=row.cursor,
            attempt=row.attempt,
            max_attempts=row.max_attempts,
            invocations=row.invocations,
            organization_id=row.organization_id,
            queue_name=row.queue_name,
            parent_id=row.parent_id,
            run_at=None if row.run_at is None else _to_datetime(row.run_at),
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
    """All saved jobs, in the order in which they were created. Each call reads them again."""

    def __iter__(self) -> Iterator[SavedJob]:
        rows = sorted(every_row(JobRequest), key=lambda row: row.created_key)
        return iter([SavedJob.of(row) for row in rows])

    def __len__(self) -> int:
        return len(every_row(JobRequest))

    def all(self, job_type: str | None = None, **values: Any) -> list[SavedJob]:
        """Return the jobs of this type whose fields have these values.

        You can pass a payload or result as its pydantic model. Raises UnknownJobType, or TypeError
        if jobs have no such field.
        """
        if job_type is not None:
            registry().job(job_type)  # raises UnknownJobType
            values["job_type"] = job_type
        _check_field_names(values)
        expected = {name: _to_json_value(value) for name, value in values.items()}
        return [
            job
            for job in self
            if all(getattr(job, name) == value for name, value in expected.items())
        ]

    def only(self, job_type: str | None = None, **values: Any) -> SavedJob:
        """Return the one job of this type whose fields have these values.

        Raises AssertionError, with a list of the saved jobs, if there are none or several.
        """
        __tracebackhide__ = True
        jobs = self.all(job_type, **values)
        if len(jobs) == 1:
            return jobs[0]
        description = "jobs" if job_type is None else f"jobs {job_type!r}"
        if values:
            conditions = ", ".join(f"{name}={value!r}" for name, value in values.items())
            description += f" with {conditions}"
        raise AssertionError(f"{len(jobs)} {description} are saved, not 1. {_list(list(self))}")

    def get(self, job_id: str) -> SavedJob:
        """Return the job with this id. Raises AssertionError if there is none."""
        __tracebackhide__ = True
        row = queries.read(job_id)
        if row is None:
            raise AssertionError(f"No job {job_id!r} is saved. {_list(list(self))}")
        return SavedJob.of(row)


def assert_succeeded(job: SavedJob) -> Any:
    """Return the job's result. Raises AssertionError with its error if it hasn't succeeded.

    If the job wasn't finished when you got it, this reads it again.
    """
    __tracebackhide__ = True
    job = _finished_job(job)
    if job.status is Status.SUCCEEDED:
        return job.result
    raise AssertionError(f"{_name(job)} has not succeeded. It is {job.state}{_error_lines(job)}")


def assert_failed(job: SavedJob, kind: type[BaseException] | str | None = None) -> SavedError:
    """Return the job's error. Raises AssertionError if it hasn't failed, or not with this `kind`.

    If the job wasn't finished when you got it, this reads it again.
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
    """Return the job as it ended, read again if necessary. Raises AssertionError if it hasn't."""
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


def _check_field_names(names: Iterable[str]) -> None:
    known = [field.name for field in fields(SavedJob)]
    for name in names:
        if name not in known:
            similar = get_close_matches(name, known, n=1)
            hint = f"Its fields are {', '.join(known)}."
            if similar:
                hint = f"Did you mean {similar[0]!r}?"
            raise TypeError(f"A saved job has no field {name!r}. {hint}")


def _to_error(record: dict[str, Any]) -> SavedError:
    return SavedError(record["kind"], record["message"], record.get("traceback", ""))


def _to_json_value(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else text[:200] + "…"


def _to_datetime(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / clock.SECOND, UTC)
