"""The methods of Client for tasks. Unlike jobs, tasks aren't tracked."""

from collections.abc import Iterator, Mapping
from typing import Any

from job_runners.client.base_client import PAGE_SIZE, BaseClient, path_segment, trace_headers
from job_runners.client.errors import NotFound
from job_runners.client.models import FailedTask

_NOT_SENT_SLUGS = frozenset({"not-sent", "unavailable"})  # they prove that nothing was sent


class TaskClient(BaseClient):
    """The methods of Client for tasks. Programs use Client."""

    def dispatch_task(
        self,
        task_name: str,
        payload: Mapping[str, Any] | None = None,
        *,
        traceparent: str | None = None,
    ) -> str | None:
        """Send a task and return its id. The task's log lines have the id, too.

        A task may be lost or delivered twice. If that matters, dispatch a job. The call is repeated
        only if the task was certainly not sent. If that is unknown, this raises OutcomeUnknown: if
        you send the task again, it may run twice. The result is None if the stack has a custom
        runner that gives tasks no id.
        """
        body = {"task_name": task_name, "payload": dict(payload or {})}
        response = self._api.call_once(
            "POST",
            "/tasks",
            body,
            headers=trace_headers(traceparent),
            not_processed_slugs=_NOT_SENT_SLUGS,
        )
        task_id: str | None = self._json_object(response).get("id")
        return task_id

    def failed_tasks(self, *, page_size: int = PAGE_SIZE) -> Iterator[FailedTask]:
        """Yield the tasks that failed permanently in the last week, latest dispatch first.

        Only services may call this.
        """
        return self._list("/tasks/failed", "tasks", {"limit": page_size}, FailedTask.of)

    def redrive_task(self, task_id: str) -> str | None:
        """Resend a failed task with its payload, and return its new id.

        The failed task stays in `failed_tasks` until the resent one starts. The resent one starts
        only once, even if you call this several times. Return None if the client had to repeat the
        request, and the task that the first request resent has already started.

        Raises NotFound, and Conflict if the task's payload wasn't kept. Only services may
        call this.
        """
        try:
            response = self._api.call("POST", f"/tasks/failed/{path_segment(task_id)}/redrive")
        except NotFound as error:
            if not error.repeated:  # otherwise, an earlier attempt of this call resent the task
                raise
            return None
        new_id: str = self._json_object(response)["id"]
        return new_id
