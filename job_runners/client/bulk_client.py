"""The method of Client that dispatches many jobs."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from job_runners.client.base_client import BaseClient
from job_runners.client.errors import ApiBusy, ApiError, NoAnswer
from job_runners.client.models import Job
from job_runners.client.refusals import error_of_job, retry_after
from job_runners.client.repeating import new_key, wait_seconds
from job_runners.values import Value

_MAX_JOBS = 1_000  # in one request
_MAX_BYTES = 2_000_000  # of the jobs in one request; the API accepts 2.5 MB
_NOT_REACHED = 503  # the status of each job that the API had no time to save


class Dispatched(Value):
    """The result of one job of `dispatch_many`.

    `index` is the job's position in `jobs`, counted from 0. Either `job` or `error` is set. The
    errors UniqueConflict and IdempotencyConflict have the existing job's `job_id`.
    """

    index: int
    job: Job | None
    error: ApiError | None = None


class BulkClient(BaseClient):
    """The method of Client that dispatches many jobs. Programs use Client."""

    def dispatch_many(
        self,
        jobs: Iterable[Mapping[str, Any]],
        *,
        organization_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Iterator[Dispatched]:
        """Dispatch any number of jobs, 1,000 with each request, and yield their results in order.

        Each job is a mapping with `job_type` and `payload`, and may have `queue_name`, `run_at`,
        `delay`, `on_end`, `on_failure` and `organization_id`. The jobs are dispatched while you
        iterate over the results, and `jobs` may be a generator.

        A job's id depends on `idempotency_key` and on its position. So if your program is
        interrupted, run it again with the same key and the same jobs in the same order: no job is
        dispatched twice. Without a key, the client creates one. An error's `idempotency_key` is the
        key that was used.

        Requests are repeated like those of `dispatch`. If any job of a request is invalid, none of
        its jobs is dispatched, and InvalidRequest names each invalid one. The jobs of earlier
        requests stay dispatched.
        """
        key = idempotency_key or new_key()
        organization = organization_id or self._organization
        return self._dispatch_all(_chunks(jobs, organization), key)

    def _dispatch_all(
        self, chunks: Iterable[Sequence[Mapping[str, Any]]], key: str
    ) -> Iterator[Dispatched]:
        first_index = 0
        try:
            for chunk in chunks:
                yield from self._dispatch_chunk(chunk, first_index, key)
                first_index += len(chunk)
        except (ApiError, NoAnswer) as error:
            error.idempotency_key = key
            raise

    def _dispatch_chunk(
        self, jobs: Sequence[Mapping[str, Any]], first_index: int, key: str
    ) -> Iterator[Dispatched]:
        """Dispatch the jobs of one chunk, and yield their results.

        If the API has no time to save all of them, send another request with the jobs that are
        left. Give up after several requests in a row that saved none.
        """
        attempts_without_progress = 0
        while True:
            body = {"jobs": jobs, "first_index": first_index, "idempotency_key": key}
            response = self._api.call("POST", "/jobs/bulk", body)
            reached = 0
            for result in self._json_object(response)["jobs"]:
                if result["status"] == _NOT_REACHED:
                    break
                yield _parse_result(result)
                reached += 1
            jobs = jobs[reached:]
            if not jobs:
                return
            first_index += reached
            attempts_without_progress = 0 if reached else attempts_without_progress + 1
            if attempts_without_progress >= self._max_attempts:
                problem = result["problem"]
                raise ApiBusy(problem["detail"], status=503, body=problem)
            attempts = max(1, attempts_without_progress)
            time.sleep(wait_seconds(attempts, retry_after(response)))


def _parse_result(result: Mapping[str, Any]) -> Dispatched:
    if result["job"] is None:
        return Dispatched(result["index"], None, error_of_job(result["problem"]))
    job = Job.of(
        result["job"], replayed=result["replayed"], unique_outcome=result["unique_outcome"]
    )
    return Dispatched(result["index"], job)


def _chunks(
    jobs: Iterable[Mapping[str, Any]], organization_id: str | None
) -> Iterator[list[dict[str, Any]]]:
    """Yield the jobs in chunks. A chunk is a list of jobs that fits into one request."""
    chunk: list[dict[str, Any]] = []
    chunk_bytes = 0
    for job in jobs:
        _check_fields(job)
        body = job_body(**{"organization_id": organization_id, **job})
        job_bytes = len(json.dumps(body))
        if chunk and (len(chunk) == _MAX_JOBS or chunk_bytes + job_bytes > _MAX_BYTES):
            yield chunk
            chunk = []
            chunk_bytes = 0
        chunk.append(body)
        chunk_bytes += job_bytes
    if chunk:
        yield chunk


def _check_fields(job: Mapping[str, Any]) -> None:
    unknown = sorted(job.keys() - _JOB_FIELDS)
    if unknown or "job_type" not in job:
        what = f"has unknown fields: {', '.join(unknown)}" if unknown else "has no job_type"
        raise ValueError(f"A job {what}. Its fields are {', '.join(sorted(_JOB_FIELDS))}.")


def job_body(
    job_type: str,
    payload: Mapping[str, Any] | None = None,
    *,
    organization_id: str | None = None,
    queue_name: str | None = None,
    run_at: datetime | str | None = None,
    delay: float | timedelta | None = None,
    on_end: str | Mapping[str, str] | None = None,
    on_failure: str | Mapping[str, str] | None = None,
    max_attempts: int | None = None,
) -> dict[str, Any]:
    """Return a job as the API accepts it. Raises ValueError for a time without a time zone."""
    body = {
        "job_type": job_type,
        "payload": dict(payload or {}),
        "organization_id": organization_id,
        "queue_name": queue_name,
        "run_at": _iso_time(run_at),
        "delay": delay.total_seconds() if isinstance(delay, timedelta) else delay,
        "on_end": on_end,
        "on_failure": on_failure,
        "max_attempts": max_attempts,
    }
    return {name: value for name, value in body.items() if value is not None}


_JOB_FIELDS = job_body.__annotations__.keys() - {"return"}


def _iso_time(value: datetime | str | None) -> str | None:
    if not isinstance(value, datetime):
        return value
    if value.tzinfo is None:
        raise ValueError(
            "run_at has no time zone. Use datetime.now(UTC) + ..., or call .astimezone()."
        )
    return value.isoformat()
