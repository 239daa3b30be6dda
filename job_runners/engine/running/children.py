"""The work that a job dispatches while it runs."""

from typing import Any

from job_runners.engine.telemetry import tracing
from job_runners.engine.wire.sending import Send, require_sender, send_if_unclaimed
from job_runners.store.job_request import JobRequest, derived_id


class Children:
    """Dispatches the children and tasks of a running job, for its RunningJob."""

    def __init__(self, send: Send | None) -> None:
        self._send = send

    def job(self, parent: JobRequest, job_type: str, payload: Any, key: str) -> str:
        """Save and send a child, and return its id.

        The id is derived from the parent and the key, so that retries of the parent don't dispatch
        the child again. If the child's job type is unique, the id may be that of an existing job.
        """
        # Imported here because most jobs dispatch nothing.
        from job_runners.engine.dispatch import dispatch

        send = self._sender(job_type)
        data = dispatch.new_job_data(job_type, payload, parent.organization_id, parent.campaign_id)
        child_id = derived_id("child", parent.organization_id, parent.work_id, key)
        with tracing.dispatching(job_type, is_of_child=True):
            child = dispatch.accept_job(data, send=send, job_id=child_id, parent_id=parent.id)
            send_if_unclaimed(child, send)
        return child.id

    def task(self, task_name: str, payload: Any) -> None:
        """Send a task. Raises SendFailed if it was not sent."""
        from job_runners.engine.dispatch import dispatch

        dispatch.dispatch_task(task_name, payload, self._sender(task_name))

    def _sender(self, name: str) -> Send:
        return require_sender(self._send, name, "is dispatched by a job")
