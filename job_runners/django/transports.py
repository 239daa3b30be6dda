"""How a backend reaches the engine: with the API's client, or directly in a worker's process."""

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

_UNDER_KEY = "key:"  # begins the id of a result that is found by its job's idempotency key


class OverHttp:
    """The client of the API, for a site anywhere."""

    def __init__(self, client: "Client") -> None:
        self.client = client

    def dispatch(self, fields: Mapping[str, Any]) -> "Job":
        """Dispatch a job in one request."""
        return self.client.dispatch(**fields)

    def get(self, result_id: str) -> "Job | None":
        """Return a job by the id of its result, or None if there is none."""
        from job_runners import InvalidRequest, NotFound

        try:
            if result_id.startswith(_UNDER_KEY):
                organization_id, _, key = result_id.removeprefix(_UNDER_KEY).partition("/")
                found = self.client.find(
                    idempotency_key=key, organization_id=organization_id or None
                )
                return found and self.client.get(found.id)
            return self.client.get(result_id)
        except (NotFound, InvalidRequest, ValueError):  # the last two: the text can't be an id
            return None

    def id_under(self, key: str, organization_id: str | None) -> str:
        """Return the id of a result whose job will have an idempotency key. It has the key itself,
        because only the engine can derive the job's id from it."""
        return f"{_UNDER_KEY}{organization_id or ''}/{key}"


class InProcess:
    """The engine itself, in a worker and in any other process that has JOB_RUNNER set."""

    def dispatch(self, fields: Mapping[str, Any]) -> TaskJob:
        """Dispatch a job, unless an earlier attempt of the current task has made the same call.

        Raises InvalidTask for a queue that the job type doesn't allow, as the API does.
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
        except IdempotencyConflict as conflict:  # the same call at another time, such as in an hour
            current = current_job.get()
            if current is None or not current.derived(fields.get("idempotency_key")):
                raise
            found = self.get(conflict.job_id)
            if found is None:
                raise
            return found
        return _of_row(row, payload=fields["payload"])

    def get(self, result_id: str) -> TaskJob | None:
        """Return a job by the id of its result, or None if there is none."""
        from job_runners.store import blobs, queries

        row = queries.read(result_id)
        if row is None:
            return None
        payload = blobs.get(row.payload, row.payload_key)
        return _of_row(row, payload=payload, result=blobs.get(row.result, row.result_key))

    def id_under(self, key: str, organization_id: str | None) -> str:
        """Return the id that the job with an idempotency key will have."""
        from job_runners.store.job_request import id_under_key

        return id_under_key(organization_id or "default", key)


# Django makes a backend for each thread. They share one client, and so its connections.
_clients: dict[str, OverHttp] = {}
caches.register(_clients.clear)


def transport_for(client_options: Mapping[str, Any]) -> OverHttp | InProcess:
    """Return the engine if this process has one, or else a client with these options.

    Raises ConfigurationError if the client gets no address of an API.
    """
    if has_engine():
        return InProcess()
    key = repr(sorted(client_options.items()))
    if key not in _clients:
        from job_runners import Client

        _clients[key] = OverHttp(Client(**client_options))
    return _clients[key]


def _of_row(row: Any, payload: Any, result: Any = None) -> TaskJob:
    def time(milliseconds: int | None) -> datetime | None:
        return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)

    def failure(error: Mapping[str, Any]) -> Failure:
        return Failure._make(map(error.get, Failure._fields))

    same = ("id", "job_type", "organization_id", "attempt")
    times = ("created_at", "started_at", "attempt_started_at", "finished_at", "run_at")
    fields: dict[str, Any] = {name: getattr(row, name) for name in same}
    fields |= {name: time(getattr(row, name)) for name in times}
    return TaskJob(
        **fields,
        status=str(row.status),
        payload=payload,
        result=result,
        error=failure(row.error) if row.error else None,
        earlier_errors=[failure(each) for each in row.earlier_errors or ()],
    )
