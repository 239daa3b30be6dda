"""What limits a queue now: what the code declares, and what was changed since."""

from typing import NamedTuple

from aws.errors import AWS_ERRORS
from runners.registry import registry
from store import limits
from store.limits import Changed, Limits
from work.queues import WHOLE_QUEUE


def limits_of(queue_name: str, *, fresh: bool = False) -> Limits | None:
    """Return what limits a queue, as it was at most 10 s ago, or is now if `fresh`; None if nothing
    does."""
    return merged(queue_name, limits.current(fresh=fresh).get(queue_name))


class LimitedLine(NamedTuple):
    """The line of a job whose queue has limits."""

    key: str
    limits: Limits


def line_of(
    queue_name: str, organization_id: str, campaign_id: str | None, payload: object
) -> LimitedLine | None:
    """Return the line of a job that is not saved yet, whose payload is its model; None if its queue
    has no limits, or if that can't be read: then its first claim finds out."""
    try:
        found = limits_of(queue_name)
    except AWS_ERRORS:
        return None
    if found is None:
        return None
    return LimitedLine(key_of(queue_name, organization_id, campaign_id, payload), found)


def current_key(
    had: str | None,
    queue_name: str,
    organization_id: str,
    campaign_id: str | None,
    payload: object,
) -> str | None:
    """Return the key of the line of a saved job that is given another payload, which is its model;
    None if its queue has no limits. If that can't be read, it has some if the job `had` a key."""
    try:
        has_limits = limits_of(queue_name) is not None
    except AWS_ERRORS:
        has_limits = had is not None
    return key_of(queue_name, organization_id, campaign_id, payload) if has_limits else None


def merged(queue_name: str, changed: Changed | None) -> Limits | None:
    """Return what limits a queue when this is changed about what the code declares."""
    declared = declared_limits(queue_name)
    if changed is None:
        return declared
    base = declared or Limits()
    found = base._replace(
        slots=changed.slots or base.slots,
        rate=changed.rate or base.rate,
        max_waiting=changed.max_waiting or base.max_waiting,
    )
    return found if found.slots or found.rate else None


def declared_limits(queue_name: str) -> Limits | None:
    """Return what limits a queue by the code alone; None for a queue that it does not declare."""
    queue = registry().queues.get(queue_name)
    if queue is None:
        return None
    return Limits(
        slots=queue.slots,
        rate=queue.rate,
        per=queue.per,
        order=queue.order,
        max_waiting=queue.max_waiting,
    )


def key_of(queue_name: str, organization_id: str, campaign_id: str | None, payload: object) -> str:
    """Return which of a queue's lines a job is in: "*" if the code does not declare the queue."""
    queue = registry().queues.get(queue_name)
    return queue.key_of(organization_id, campaign_id, payload) if queue else WHOLE_QUEUE
