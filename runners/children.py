"""Work that a job dispatches while it runs: children that a retry does not add again, and tasks."""

from typing import Any

from errors import RunnerCannotResend
from runners.base import JobData, Send
from runners.dispatch import accept_job, accept_task, send_if_unclaimed
from store.job_request import JobRequest, derived_id


class Children:
    """What a RunningJob dispatches through."""

    def __init__(self, send: Send | None) -> None:
        self._send = send

    def job(self, parent: JobRequest, job_type: str, payload: Any, key: str) -> str:
        """Save and send a child. Its id follows from its parent's and the key, so that there is
        one, however often it is dispatched."""
        send = self._sender(job_type)
        data = JobData(
            job_type=job_type,
            payload=payload,
            organization_id=parent.organization_id,
            campaign_id=parent.campaign_id,
        )
        child_id = derived_id("child", parent.organization_id, parent.beginning, key)
        send_if_unclaimed(accept_job(data, send=send, job_id=child_id, parent_id=parent.id), send)
        return child_id

    def task(self, task_name: str, payload: Any) -> None:
        """Send a task; raises SendFailed if it did not leave."""
        self._sender(task_name)(accept_task(task_name, payload))

    def _sender(self, name: str) -> Send:
        if self._send is None:
            raise RunnerCannotResend(name, "is dispatched by a job")
        return self._send
