"""Find the current limits of a queue: those in the code, with the callers' change applied.

A queue with limits has a *line* for each concurrency key. The jobs of a line share slots (how many
of them run at a time) and a rate (how fast they start).
"""

from job_runners.aws.errors import AWS_ERRORS
from job_runners.engine.registry.registry import registry
from job_runners.store import limits
from job_runners.store.limits import LimitChange, Limits
from job_runners.values import Value
from job_runners.work.queues import WHOLE_QUEUE


def limits_of(queue_name: str, *, fresh: bool = False) -> Limits | None:
    """Return the limits of a queue, or None if it has none.

    Pass `fresh=True` to read the callers' change now. Otherwise, it may be up to 10 seconds old.
    """
    return apply_change(queue_name, limits.current(fresh=fresh).get(queue_name))


class LimitedLine(Value):
    """The key of a job's line, and the limits of its queue."""

    key: str
    limits: Limits


def line_of(queue_name: str, organization_id: str, payload: object) -> LimitedLine | None:
    """Return the line of a job that isn't saved yet, or None if its queue has no limits.

    `payload` is an instance of the payload's model. If the limits can't be read now, also return
    None. The worker that first starts the job then finds the line.
    """
    try:
        queue_limits = limits_of(queue_name)
    except AWS_ERRORS:
        return None
    if queue_limits is None:
        return None
    return LimitedLine(key_of(queue_name, organization_id, payload), queue_limits)


def current_key(
    old_key: str | None,
    queue_name: str,
    organization_id: str,
    payload: object,
) -> str | None:
    """Return a saved job's key after its payload has changed, or None if its queue has no limits.

    `payload` is an instance of the payload's model. If the limits can't be read, assume that the
    queue has limits if the job had a key.
    """
    try:
        has_limits = limits_of(queue_name) is not None
    except AWS_ERRORS:
        has_limits = old_key is not None
    return key_of(queue_name, organization_id, payload) if has_limits else None


def apply_change(queue_name: str, change: LimitChange | None) -> Limits | None:
    """Return the limits that the code declares for a queue, with this change applied.

    Return None if the queue then has neither slots nor a rate.
    """
    declared = declared_limits(queue_name)
    if change is None:
        return declared
    if declared is None:
        declared = Limits()
    changed = declared._replace(
        slots=change.slots or declared.slots,
        rate=change.rate or declared.rate,
        max_waiting=change.max_waiting or declared.max_waiting,
    )
    return changed if changed.slots or changed.rate else None


def declared_limits(queue_name: str) -> Limits | None:
    """Return the limits that the code declares for a queue, or None if the queue isn't declared."""
    queue = registry().queues.get(queue_name)
    if queue is None:
        return None
    return Limits(
        slots=queue.slots,
        rate=queue.rate,
        per=", ".join(queue.per_fields) or None,
        order=queue.order,
        max_waiting=queue.max_waiting,
    )


def key_of(queue_name: str, organization_id: str, payload: object) -> str:
    """Return the concurrency key of a job. It is "*" if the code doesn't declare the queue."""
    queue = registry().queues.get(queue_name)
    return queue.key_of(organization_id, payload) if queue else WHOLE_QUEUE
