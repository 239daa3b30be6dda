"""The client's call that dispatches many jobs."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from job_runners.client.base_client import BaseClient
from job_runners.client.errors import ApiBusy, ApiError, NoAnswer
from job_runners.client.models import Job
from job_runners.client.refusals import refusal_of, retry_after
from job_runners.client.repeating import new_key, pause
from job_runners.values import Value

_MAX_JOBS = 1_000  # in one request
_MAX_BYTES = 2_000_000  # of one request's jobs; the API accepts 2.5 MB
_NOT_REACHED = 503  # the status of a job that the API had no time to save
_FIELDS = frozenset(
    {
        *("job_type", "payload", "organization_id", "queue_name", "run_at", "delay"),
        *("on_end", "on_failure", "max_attempts"),
    }
)


class Dispatched(Value):
    """The result of one job of `dispatch_many`.

    `index` is the job's position, counted from 0. Either `job` or `error` is set. The errors
    UniqueConflict and IdempotencyConflict have the existing job's `job_id`.
    """

    index: int
    job: Job | None
    error: ApiError | None = None


class BulkClient(BaseClient):
    """The call that dispatches many jobs. Use Client instead."""

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
        first = 0
        try:
            for chunk in chunks:
                yield from self._dispatch_chunk(chunk, first, key)
                first += len(chunk)
        except (ApiError, NoAnswer) as error:
            error.idempotency_key = key
            raise

    def _dispatch_chunk(
        self, jobs: Sequence[Mapping[str, Any]], first: int, key: str
    ) -> Iterator[Dispatched]:
        """Dispatch the jobs of one request. Repeat it from the first job that was not reached."""
        attempts = 0
        while jobs:
            body = {"jobs": jobs, "first_index": first, "idempotency_key": key}
            response = self._api.call("POST", "/jobs/bulk", body)
            reached = 0
            for value in self._object(response)["jobs"]:
                if value["status"] == _NOT_REACHED:
                    break
                yield _dispatched(value)
                reached += 1
            jobs, first, attempts = jobs[reached:], first + reached, 0 if reached else attempts + 1
            if jobs and attempts >= self._max_attempts:
                raise ApiBusy(value["problem"]["detail"], status=503, body=value["problem"])
            if jobs:
                time.sleep(pause(max(1, attempts), retry_after(response)))


def _dispatched(value: Mapping[str, Any]) -> Dispatched:
    job, problem = value["job"], value["problem"]
    if job is None:
        return Dispatched(value["index"], None, refusal_of(problem))
    outcome = value["unique_outcome"]
    return Dispatched(
        value["index"], Job.of(job, replayed=value["replayed"], unique_outcome=outcome)
    )


def _chunks(
    jobs: Iterable[Mapping[str, Any]], organization_id: str | None
) -> Iterator[list[dict[str, Any]]]:
    """Yield the bodies of the jobs, in lists that each fit into a request."""
    chunk: list[dict[str, Any]] = []
    size = 0
    for job in jobs:
        body = job_body(**{"organization_id": organization_id, **_known(job)})
        length = len(json.dumps(body))
        if chunk and (len(chunk) == _MAX_JOBS or size + length > _MAX_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(body)
        size += length
    if chunk:
        yield chunk


def _known(job: Mapping[str, Any]) -> dict[str, Any]:
    unknown = sorted(job.keys() - _FIELDS)
    if unknown or "job_type" not in job:
        what = f"has unknown fields: {', '.join(unknown)}" if unknown else "has no job_type"
        raise ValueError(f"A job {what}. Its fields are {', '.join(sorted(_FIELDS))}.")
    return dict(job)


def job_body(
    job_type: str,
    payload: Mapping[str, Any] | None = None,
    organization_id: str | None = None,
    queue_name: str | None = None,
    run_at: datetime | str | None = None,
    delay: float | timedelta | None = None,
    on_end: str | Mapping[str, str] | None = None,
    on_failure: str | Mapping[str, str] | None = None,
    max_attempts: int | None = None,
) -> dict[str, Any]:
    """Return a job in the form that the API accepts. Raises ValueError for a time without zone."""
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


def _iso_time(value: datetime | str | None) -> str | None:
    if not isinstance(value, datetime):
        return value
    if value.tzinfo is None:
        raise ValueError(
            "run_at has no time zone. Use datetime.now(UTC) + ..., or call .astimezone()."
        )
    return value.isoformat()
