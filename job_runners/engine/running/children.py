"""Dispatch the work that a running job asks for: children, members of its group, and tasks.

A *child* is a job that another job, its *parent*, dispatches. The children whose ends a parent
waits for are the *members* of a *group*. When a child is dispatched, its id is recorded as a *step*
of the parent, so that later invocations of the parent don't dispatch the child again.

The modules that dispatch are imported inside functions, because most jobs dispatch nothing.
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

# A child's row counts as gone this long before it may expire.
_EXPIRY_MARGIN = clock.HOUR


class Children:
    """Dispatches children and tasks, and sends signals, for the job that is running.

    This implements `job_runners.work.running_job.Dispatch`.
    """

    def __init__(self, send: Send) -> None:
        self._send = send

    def dispatch_child(
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
        `follow_ups` are the child's `on_end` and `on_failure`.

        Raises ChildExpired if an earlier attempt may have dispatched the child, and its row may
        have expired since.
        """
        from job_runners.engine.dispatch import checking, dispatch

        send = self._require_sender(job_type)
        _refuse_if_row_may_be_gone(parent)
        data = checking.new_job_data(job_type, payload, parent.organization_id, follow_ups)
        child_id = _child_id(parent, key)
        with tracing.dispatching(job_type, is_of_child=True):
            child = dispatch.accept_job(
                data,
                send=send,
                job_id=child_id,
                parent_id=parent.id,
                follow_up_of=_announced_job_id(parent),
                dispatched_by=parent.job_type,
            )
            send_if_unclaimed(child, send)
        return child.row.id

    def dispatch_children(
        self,
        parent: JobRequest,
        job_type: str,
        payloads: Mapping[str, Any],
        until: int,
        follow_ups: Mapping[str, Any],
    ) -> dict[str, str]:
        """Save and send a child for each key and payload, and return the children's ids by key.

        First look up which children the parent's steps record. Then save and send the others, and
        record their ids as steps.

        Children that aren't saved before `until` are left out. If a child is refused, its error is
        raised after the other children are saved and recorded.
        """
        from job_runners.engine.dispatch import bulk, checking

        send = self._require_sender(job_type)
        recorded_ids = _recorded_ids(parent, payloads)
        new_keys = [key for key in payloads if key not in recorded_ids]
        if new_keys:
            _refuse_if_row_may_be_gone(parent)
        new_jobs = [
            checking.check_new_job(
                checking.new_job_data(job_type, payloads[key], parent.organization_id, follow_ups),
                send,
                job_id=_child_id(parent, key),
                parent_id=parent.id,
                idempotency_key=None,
                dispatched_by=parent.job_type,
            )
            for key in new_keys
        ]
        began_at = clock.now()
        results = bulk.dispatch_jobs(new_jobs, send, until=until)
        results_by_key = zip(new_keys, results, strict=True)
        saved_ids = {key: result.row.id for key, result in results_by_key if result.row}
        new_ids = _record_ids(parent, saved_ids, began_at)
        for result in results:
            # A child that wasn't reached in time is left out instead.
            if result.error is not None and not isinstance(result.error, NotReached):
                raise result.error
        return recorded_ids | new_ids

    def check_members(
        self, parent: JobRequest, group: "Group", name: str, members: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Check members of a group. Return the checked members by key. Raises InvalidPayload."""
        from job_runners.engine.dispatch import members as group_members

        return group_members.check(parent, group, name, members, self._send)

    def already_dispatched(self, checked_members: Mapping[str, Any]) -> set[str]:
        """Return the keys of the members that are already dispatched."""
        from job_runners.engine.dispatch import members as group_members

        return group_members.already_dispatched(checked_members)

    def dispatch_members(self, checked_members: Mapping[str, Any], until: int) -> set[str]:
        """Save and send members. Return the keys of those dispatched before `until`."""
        from job_runners.engine.dispatch import members as group_members

        send = self._require_sender("a member of a group")
        return group_members.dispatch(checked_members, send, until=until)

    def dispatch_task(self, task_name: str, payload: Any) -> None:
        """Send a task. Raises SendFailed if it was not sent."""
        from job_runners.engine.dispatch import dispatch

        dispatch.dispatch_task(task_name, payload, self._require_sender(task_name))

    def send_signal(self, sender: JobRequest, job_id: str, name: str, value: Any) -> None:
        """Send a signal to another job of the sender's organization."""
        from job_runners.engine.control import signaling
        from job_runners.store import queries
        from job_runners.work.payloads import as_json

        check_signal_name(name)
        row = queries.read(job_id)
        if row is None or row.organization_id != sender.organization_id:
            raise JobNotFound(job_id)
        signaling.signal(row, name, as_json(value), self._send)

    def _require_sender(self, name: str) -> Send:
        return require_sender(self._send, name, "is dispatched by a job")


def _child_id(parent: JobRequest, key: str) -> str:
    return derived_id("child", parent.organization_id, parent.work_id, str(parent.salt), key)


def _recorded_ids(parent: JobRequest, keys: Iterable[str]) -> dict[str, str]:
    """Return the ids of the children that steps of the parent record. Each is under its key."""
    from job_runners.engine.dispatch import bulk
    from job_runners.store import steps
    from job_runners.store.children import step_name

    def find(key: str) -> Any:
        return steps.find(parent, step_name(key))

    found_steps = zip(keys, bulk.in_threads(find, keys), strict=True)
    return {key: str(step.result) for key, step in found_steps if step is not None}


def _record_ids(parent: JobRequest, ids: Mapping[str, str], began_at: int) -> dict[str, str]:
    """Record each child's id as a step. Return the recorded ids by key.

    If another process has recorded an id for the same key first, return that id.
    """
    from job_runners.engine.dispatch import bulk
    from job_runners.store import steps
    from job_runners.store.children import step_name

    def record(key: str) -> str:
        return str(steps.record(parent, step_name(key), ids[key], began_at).result)

    recorded_ids = bulk.in_threads(record, ids)
    return dict(zip(ids, recorded_ids, strict=True))


def _refuse_if_row_may_be_gone(parent: JobRequest) -> None:
    """Raise ChildExpired if a child may have been dispatched, and its row may have expired since.

    If no step records a child, only the child's row shows that it was dispatched. The parent's
    `unrecorded_since` is the earliest time at which it may have dispatched such a child.
    """
    since = parent.unrecorded_since
    if since is None:
        return
    age = clock.now() - since
    if age >= settings().retention_days * clock.DAY - _EXPIRY_MARGIN:
        raise ChildExpired(age // clock.DAY)


def _announced_job_id(parent: JobRequest) -> str | None:
    """Return the id of the job whose end the parent announces, or None if it announces none.

    Only the built-in job `announce` announces the end of a job. It has a child for each webhook.
    Such a child counts as a follow-up of the announced job, so that its own end isn't announced.
    """
    return parent.follow_up_of if parent.job_type == Jobs.ANNOUNCE else None
