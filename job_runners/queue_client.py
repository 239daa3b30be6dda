"""What a client does with queues: how they are used, what limits them, what is paused."""

from collections.abc import Iterator

from job_runners.base_client import PAGE, BaseClient, part
from job_runners.models import Pause
from job_runners.queue_models import Place, Queue, QueueKey, Rate


class QueueClient(BaseClient):
    """The calls about queues. See Client, which everybody uses."""

    def queues(self, *, page_size: int = PAGE) -> Iterator[Queue]:
        """Yield the queues by name, each with its limits and the first of its keys in use. To a
        caller of one organisation they are this stack's own, with its own jobs and keys alone."""
        return self._pages("/queues", "queues", {"limit": page_size}, Queue.of)

    def queue(self, name: str) -> Queue:
        """Return a queue with its first keys in use; `queue_keys` has all. Raises QueueNotFound."""
        return Queue.of(self._object(self._api.read(f"/queues/{part(name)}")))

    def queue_keys(self, name: str, *, page_size: int = PAGE) -> Iterator[QueueKey]:
        """Yield the keys of a queue that are in use: who has their slots, and how many wait."""
        path = f"/queues/{part(name)}"
        asked = {"limit": page_size}
        return self._pages(path, "keys", asked, QueueKey.of, cursor_name="keys_cursor")

    def limit_queue(
        self,
        name: str,
        *,
        slots: int | None = None,
        rate: Rate | None = None,
        max_waiting: int | None = None,
    ) -> Queue:
        """Limit a queue, whether the code declares it or not; return it with the limits that are in
        force within 10 seconds, without its use. What is not given is as the code has it. For
        services."""
        rated = rate and {"count": rate.count, "seconds": rate.seconds, "burst": rate.burst}
        asked = {"slots": slots, "rate": rated, "max_waiting": max_waiting}
        body = {key: value for key, value in asked.items() if value is not None}
        answer = self._api.call("PUT", f"/queues/{part(name)}", body)
        return Queue.of(self._object(answer))

    def reset_queue(self, name: str) -> None:
        """Have the limits of a queue that its code declares again. For services."""
        self._api.call("DELETE", f"/queues/{part(name)}")

    def place(self, job_id: str) -> Place:
        """Return what a waiting job waits for, and how many come before it. Raises JobNotFound."""
        return Place.of(self._object(self._api.read(f"/jobs/{part(job_id)}/place")))

    def paused(self) -> tuple[Pause, ...]:
        """Return which job types and queues are paused."""
        listed = self._object(self._api.read("/paused"))["paused"]
        return tuple(Pause.of(each) for each in listed)

    def pause(self, kind: str, name: str) -> Pause:
        """Hold back a `job_type` or a `queue`, of every organisation."""
        answer = self._api.call("PUT", f"/paused/{part(kind)}/{part(name)}")
        return Pause.of(self._object(answer))

    def resume(self, kind: str, name: str) -> None:
        """Let a `job_type` or a `queue` go on."""
        self._api.call("DELETE", f"/paused/{part(kind)}/{part(name)}")
