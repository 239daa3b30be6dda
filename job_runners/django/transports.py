"""Dispatch and read the jobs of a backend. A site calls the API, and a worker calls the engine.

A result id is the id that Django knows a task's result by. It is the id of the job, or contains the
job's idempotency key.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.tasks.exceptions import InvalidTask

from job_runners import caches
from job_runners.django.current import current_job
from job_runners.django.results import Failure, TaskJob
from job_runners.errors import IdempotencyConflict
from job_runners.settings import has_engine

if TYPE_CHECKING:
    from job_runners import Client, Job

_KEY_PREFIX = "key:"  # begins a result id that contains an idempotency key


class OverHttp:
    """Calls the API with the client, for a site on any machine."""

    def __init__(self, client: "Client") -> None:
        self.client = client

    def dispatch(self, fields: Mapping[str, Any]) -> "Job":
        """Dispatch a job in one request."""
        return self.client.dispatch(**fields)

    def get(self, result_id: str) -> "Job | None":
        """Return the job with this result id, or None if there is none."""
        from job_runners import InvalidRequest, NotFound

        try:
            if not result_id.startswith(_KEY_PREFIX):
                return self.client.get(result_id)
            organization_id, _, key = result_id.removeprefix(_KEY_PREFIX).partition("/")
            job = self.client.find(idempotency_key=key, organization_id=organization_id or None)
            return self.client.get(job.id) if job else None
        except (NotFound, InvalidRequest, ValueError):  # a malformed id raises one of the last two
            return None

    def id_for_key(self, key: str, organization_id: str | None) -> str:
        """Return the result id of the future job with this idempotency key.

        The id contains the key, because only the engine can compute the job's id from it.
        """
        return f"{_KEY_PREFIX}{organization_id or ''}/{key}"


class InProcess:
    """Calls the engine directly, in a worker or another process that has JOB_RUNNER set."""

    def dispatch(self, fields: Mapping[str, Any]) -> TaskJob:
        """Dispatch a job, unless an earlier attempt of the running task has dispatched it.

        Raises InvalidTask for a queue that the job type doesn't allow. The API refuses it too.
        """
        from job_runners import runners
        from job_runners.engine.registry.registry import registry

        allowed = registry().job(fields["job_type"]).allowed_queues
        if fields.get("queue_name", allowed[0]) not in allowed:
            raise InvalidTask(
                f"The queue must be {', '.join(map(repr, allowed))} for a job "
                f"{fields['job_type']!r}. Add {fields['queue_name']!r} to the queues of its "
                "django_task(), or give the task another queue."
            )
        try:
            row = runners.dispatch_job(runners.JobData(**fields))
        except IdempotencyConflict as conflict:
            # An earlier attempt has enqueued the same call, perhaps with a different run_at.
            running_job = current_job.get()
            if running_job is None or not running_job.has_key(fields.get("idempotency_key")):
                raise
            job = self.get(conflict.job_id)
            if job is None:
                raise
            return job
        return _task_job(row, payload=fields["payload"])

    def get(self, result_id: str) -> TaskJob | None:
        """Return the job with this id, or None if there is none."""
        from job_runners.store import blobs, queries

        row = queries.read(result_id)
        if row is None:
            return None
        payload = blobs.get(row.payload, row.payload_key)
        return _task_job(row, payload=payload, result=blobs.get(row.result, row.result_key))

    def id_for_key(self, key: str, organization_id: str | None) -> str:
        """Return the id of the future job with this idempotency key."""
        from job_runners.store.job_request import id_for_idempotency_key

        return id_for_idempotency_key(organization_id or "default", key)


# Django creates a backend for each thread. All of them share one client and its connections.
_clients: dict[str, OverHttp] = {}
caches.register(_clients.clear)


def transport_for(client_options: Mapping[str, Any]) -> OverHttp | InProcess:
    """Return a transport to the engine if this process has it, and otherwise to the API.

    `client_options` are the arguments of the API's client.

    Raises ConfigurationError if neither the options nor the environment name an API.
    """
    if has_engine():
        return InProcess()
    key = repr(sorted(client_options.items()))
    if key not in _clients:
        from job_runners import Client

        _clients[key] = OverHttp(Client(**client_options))
    return _clients[key]


def _task_job(row: Any, payload: Any, result: Any = None) -> TaskJob:
    return TaskJob(
        id=row.id,
        job_type=row.job_type,
        status=str(row.status),
        organization_id=row.organization_id,
        attempt=row.attempt,
        created_at=_to_datetime(row.created_at),
        started_at=_to_datetime(row.started_at),
        attempt_started_at=_to_datetime(row.attempt_started_at),
        finished_at=_to_datetime(row.finished_at),
        run_at=_to_datetime(row.run_at),
        payload=payload,
        result=result,
        error=_to_failure(row.error) if row.error else None,
        earlier_errors=[_to_failure(error) for error in row.earlier_errors or ()],
    )


def _to_datetime(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)


def _to_failure(error: Mapping[str, Any]) -> Failure:
    return Failure._make(error.get(field) for field in Failure._fields)
