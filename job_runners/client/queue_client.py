"""The methods of Client for queues, limits and pauses."""

from collections.abc import Iterator
from urllib.parse import urlencode

from job_runners.client.base_client import PAGE_SIZE, BaseClient, path_segment
from job_runners.client.models import Pause
from job_runners.client.queue_models import Backlog, ConcurrencyKey, Place, Queue, Rate


class QueueClient(BaseClient):
    """The methods of Client for queues, limits and pauses. Programs use Client."""

    def queues(self, *, page_size: int = PAGE_SIZE) -> Iterator[Queue]:
        """Yield the queues by name, each with its limits and the first few of its keys in use.

        A caller of one organization gets the queues in the stack's code, and only its own jobs and
        keys.
        """
        return self._list("/queues", "queues", {"limit": page_size}, Queue.of)

    def queue(self, name: str) -> Queue:
        """Return a queue with the first page of its keys in use.

        For all keys, use `concurrency_keys`. Raises NotFound.
        """
        return Queue.of(self._call("GET", f"/queues/{path_segment(name)}"))

    def concurrency_keys(
        self, name: str, *, page_size: int = PAGE_SIZE
    ) -> Iterator[ConcurrencyKey]:
        """Yield the keys of a queue that are in use, with slot holders and waiting jobs."""
        path = f"/queues/{path_segment(name)}"
        parameters = {"limit": page_size}
        return self._list(path, "keys", parameters, ConcurrencyKey.of, cursor_name="keys_cursor")

    def backlog(self, *, organization_id: str | None = None) -> Backlog:
        """Count the jobs that wait for a worker by queue and job type, from at most 1,000 jobs.

        Without an organization, services get the counts of all.
        """
        query = f"?{urlencode({'organization_id': organization_id})}" if organization_id else ""
        return Backlog.of(self._call("GET", f"/backlog{query}"))

    def limit_queue(
        self,
        name: str,
        *,
        slots: int | None = None,
        rate: Rate | None = None,
        max_waiting: int | None = None,
    ) -> Queue:
        """Set the limits of any queue, even one not declared in code. Return it without its usage.

        The limits take effect within 10 seconds. A limit that you omit is reset to the one in code,
        even if an earlier call changed it. Only services may call this.
        """
        rate_fields = None
        if rate is not None:
            rate_fields = {"count": rate.count, "seconds": rate.seconds, "burst": rate.burst}
        limits = {"slots": slots, "rate": rate_fields, "max_waiting": max_waiting}
        body = {key: value for key, value in limits.items() if value is not None}
        return Queue.of(self._call("PUT", f"/queues/{path_segment(name)}", body))

    def reset_queue(self, name: str) -> None:
        """Reset a queue's limits to those in code. Only services may call this."""
        self._api.call("DELETE", f"/queues/{path_segment(name)}")

    def place(self, job_id: str) -> Place:
        """Return a waiting job's position, and the reason for its wait. Raises NotFound."""
        return Place.of(self._call("GET", f"/jobs/{path_segment(job_id)}/place"))

    def paused(self) -> tuple[Pause, ...]:
        """Return the paused job types and queues."""
        pauses = self._call("GET", "/paused")["paused"]
        return tuple(Pause.of(pause) for pause in pauses)

    def pause(self, kind: str, name: str) -> Pause:
        """Pause a `job_type` or a `queue` for every organization."""
        return Pause.of(self._call("PUT", f"/paused/{path_segment(kind)}/{path_segment(name)}"))

    def resume(self, kind: str, name: str) -> None:
        """Resume a `job_type` or a `queue`."""
        self._api.call("DELETE", f"/paused/{path_segment(kind)}/{path_segment(name)}")
