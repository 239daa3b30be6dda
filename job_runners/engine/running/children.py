"""Dispatch the work that a running job asks for: children, members of its group, and tasks.

A *child* is a job that another job, its *parent*, dispatches. The children whose ends a parent
waits for are the *members* of a *group*.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from job_runners import clock
from job_runners.engine.telemetry import tracing
from job_runners.engine.wire.sending import Send, require_sender, send_if_unclaimed
from job_runners.errors import ChildExpired, JobNotFound, NotReached
from job_runners.names import check_signal_name
from job_runners.settings import settings
from job_runners.shipped.jobs.names import Jobs
from job_runners.store.job_request import JobRequest, derived_id

if TYPE_CHECKING:
    from job_runners.store.groups import Group

# A parent no longer dispatches a child whose row, if it exists, may expire within this time.
_EXPIRY_MARGIN = clock.HOUR


class Children:
    """Dispatches the children and tasks of a running job, for its RunningJob."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def job(
        self,
        parent: JobRequest,
        job_type: str,
        payload: Any,
        key: str,
        follow_ups: Mapping[str, Any],
    ) -> str:
        """Save and send a child, and return its id.

        The id is derived from the parent and the key, so that retries of the parent don't dispatch
        the child again. If the child's job type is unique, the id may be that of an existing job.
        Raises ChildExpired if an earlier attempt may have dispatched the child so long ago that its
        row may be gone.
        """
        # Imported here because most jobs dispatch nothing. So are the modules of other methods.
        from job_runners.engine.dispatch import checking, dispatch

        send = self._sender(job_type)
        _refuse_if_row_may_be_gone(parent)
        organization_id = parent.organization_id
        data = checking.new_job_data(job_type, payload, organization_id, follow_ups)
        child_id = self._child_id(parent, key)
        with tracing.dispatching(job_type, is_of_child=True):
            child = dispatch.accept_job(
                data,
                send=send,
                job_id=child_id,
                parent_id=parent.id,
                follow_up_of=_announced_job(parent),
                dispatched_by=parent.job_type,
            )
            send_if_unclaimed(child, send)
        return child.row.id

    def jobs(
        self,
        parent: JobRequest,
        job_type: str,
        payloads: Mapping[str, Any],
        until: int,
        follow_ups: Mapping[str, Any],
    ) -> dict[str, str]:
        """Save and send children, and return their ids by key.

        Children that aren't saved before `until` are left out. If a child is refused, this raises
        its error after the others are saved and recorded.
        """
        from job_runners.engine.dispatch import bulk, checking

        send = self._sender(job_type)
        ids = _recorded_ids(parent, payloads)
        new_keys = [key for key in payloads if key not in ids]
        if new_keys:
            _refuse_if_row_may_be_gone(parent)
        organization_id = parent.organization_id
        jobs = [
            checking.check_new_job(
                checking.new_job_data(job_type, payloads[key], organization_id, follow_ups),
                send,
                job_id=self._child_id(parent, key),
                parent_id=parent.id,
                idempotency_key=None,
                dispatched_by=parent.job_type,
            )
            for key in new_keys
        ]
        began_at = clock.now()
        results = bulk.dispatch_jobs(jobs, send, until=until)
        results_by_key = zip(new_keys, results, strict=True)
        saved_ids = {key: result.row.id for key, result in results_by_key if result.row}
        ids |= _record_ids(parent, saved_ids, began_at)
        for result in results:
            if result.error is not None and not isinstance(result.error, NotReached):
                raise result.error
        return ids

    def check_members(
        self, parent: JobRequest, group: "Group", name: str, members: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the jobs to save for members of a group, by key. Raises InvalidPayload."""
        from job_runners.engine.dispatch import members as group_members

        return group_members.check(parent, group, name, members, self._send)

    def already_dispatched(self, jobs: Mapping[str, Any]) -> set[str]:
        """Return the keys of the checked members that are already dispatched."""
        from job_runners.engine.dispatch import members

        return members.already_dispatched(jobs)

    def add_members(self, jobs: Mapping[str, Any], until: int) -> set[str]:
        """Save and send checked members. Return the keys of those dispatched before `until`."""
        from job_runners.engine.dispatch import members

        return members.dispatch(jobs, self._sender("a member of a group"), until=until)

    def task(self, task_name: str, payload: Any) -> None:
        """Send a task. Raises SendFailed if it was not sent."""
        from job_runners.engine.dispatch import dispatch

        dispatch.dispatch_task(task_name, payload, self._sender(task_name))

    @staticmethod
    def _child_id(parent: JobRequest, key: str) -> str:
        return derived_id("child", parent.organization_id, parent.work_id, str(parent.salt), key)

    def signal(self, sender: JobRequest, job_id: str, name: str, value: Any) -> None:
        """Send a signal to another job of the sender's organization."""
        from job_runners.engine.control import signaling
        from job_runners.store import queries

        check_signal_name(name)
        row = queries.read(job_id)
        if row is None or row.organization_id != sender.organization_id:
            raise JobNotFound(job_id)
        from job_runners.work.payloads import as_json

        signaling.signal(row, name, as_json(value), self._send)

    def _sender(self, name: str) -> Send:
        return require_sender(self._send, name, "is dispatched by a job")


def _recorded_ids(parent: JobRequest, keys: Iterable[str]) -> dict[str, str]:
    """Return the ids of the children that an earlier invocation recorded as steps, by key."""
    from job_runners.engine.dispatch import bulk
    from job_runners.store import steps
    from job_runners.store.children import step_name

    def find(key: str) -> Any:
        return steps.find(parent, step_name(key))

    found_steps = zip(keys, bulk.in_threads(find, keys), strict=True)
    return {key: str(step.result) for key, step in found_steps if step is not None}


def _record_ids(parent: JobRequest, ids: Mapping[str, str], began_at: int) -> dict[str, str]:
    """Record the ids of children as steps. Return the ids that are recorded, by key."""
    from job_runners.engine.dispatch import bulk
    from job_runners.store import steps
    from job_runners.store.children import step_name

    def record(key: str) -> str:
        return str(steps.record(parent, step_name(key), ids[key], began_at).result)

    return dict(zip(ids, bulk.in_threads(record, ids), strict=True))


def _refuse_if_row_may_be_gone(parent: JobRequest) -> None:
    """Raise ChildExpired if a child may have run before, so long ago that its row may be gone.

    If no step records the child, only its row can show that it was dispatched. A job's
    `unrecorded_since` is when it may first have dispatched a child without a step.
    """
    since = parent.unrecorded_since
    if since is None:
        return
    age = clock.now() - since
    if age >= settings().retention_days * clock.DAY - _EXPIRY_MARGIN:
        raise ChildExpired(age // clock.DAY)


def _announced_job(parent: JobRequest) -> str | None:
    """Return the id of the job whose end the children of `parent` deliver, if it is an `announce`.

    A child of the built-in job `announce` delivers the end of another job to a webhook, so it
    counts as a follow-up of that job. A follow-up has no follow-ups of its own, so the end of the
    delivery isn't announced. Return None for other parents.
    """
    return parent.follow_up_of if parent.job_type == Jobs.ANNOUNCE else None
