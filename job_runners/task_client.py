"""What a client does with tasks: small work that nothing tracks."""

from collections.abc import Iterator, Mapping
from typing import Any

from job_runners.base_client import PAGE, BaseClient, part, traced
from job_runners.errors import FailedTaskNotFound
from job_runners.models import FailedTask

_UNSENT = frozenset({"not-sent", "unavailable"})  # both are said before anything leaves


class TaskClient(BaseClient):
    """The calls about tasks. See Client, which everybody uses."""

    def dispatch_task(
        self,
        task_name: str,
        payload: Mapping[str, Any] | None = None,
        *,
        traceparent: str | None = None,
    ) -> str | None:
        """Have a task sent: small work that nothing tracks. Return its id, which its lines in the
        log have; None if the API is of a version that does not say it.

        It may be lost, and Lambda delivers one twice now and then: what must not be lost, or done
        twice, is a job. The call is repeated only if it certainly was not sent. Raises
        OutcomeUnknown where nobody knows: sent again, it may run twice.
        """
        body = {"task_name": task_name, "payload": dict(payload or {})}
        answer = self._api.call_once(
            "POST", "/tasks", body, headers=traced(traceparent), not_done=_UNSENT
        )
        task_id: str | None = self._object(answer).get("id")
        return task_id

    def failed_tasks(self, *, page_size: int = PAGE) -> Iterator[FailedTask]:
        """Yield the tasks of a week that failed for good, dispatched last first. For services."""
        return self._pages("/tasks/failed", "tasks", {"limit": page_size}, FailedTask.of)

    def redrive_task(self, task_id: str) -> str | None:
        """Have a failed task sent again with what it was given; return its new id, or None if only
        an earlier try of this call was answered by its beginning. For services.

        It stays among `failed_tasks` until it begins, and begins once, however often this is
        called. Raises FailedTaskNotFound, Conflict where its payload is not kept.
        """
        try:
            answer = self._api.call("POST", f"/tasks/failed/{part(task_id)}/redrive")
        except FailedTaskNotFound as gone:
            if not gone.repeated:  # else it was this call that sent it
                raise
            return None
        new_id: str = self._object(answer)["id"]
        return new_id
