"""Lists of the concurrency keys that jobs have used in queues with limits.

| partition | sort key | content |
|---|---|---|
| `keys#<queue>` | the key | every key of the queue, for services and for sweeps |
| `keys_of#<organization>` | `<queue>#<key>` | the keys that jobs of one organization have used |

A caller of one organization sees only that organization's list. So no order, count or cursor
depends on the keys of other organizations.

The first job that starts under a key on each day adds the key to the lists. Each key's days begin
at a different time. A failed write isn't repeated, so that the job's start neither waits nor fails.
A later start, usually on the next day, then adds the key.
"""

from typing import Any

from pynamodb.attributes import UnicodeAttribute

from job_runners import caches, clock
from job_runners.aws import clients
from job_runners.aws.errors import AWS_ERRORS
from job_runners.store import lines
from job_runners.store.line_items import LIFETIME
from job_runners.store.lines import Line
from job_runners.store.table import CoordinationItem, Integer

_AFTER_ALL = "\U0010ffff"  # sorts after every character of a key
_MAX_CACHED = 10_000  # items
# The day on which this process last wrote each item, by its partition and sort key.
_last_days: dict[tuple[str, str], int] = {}
caches.register(_last_days.clear)


def partition_of_organization(organization_id: str) -> str:
    """Return the DynamoDB partition of the keys that an organization's jobs have used."""
    return f"keys_of#{organization_id}"


class UsedKey(CoordinationItem):
    """A key that jobs have used in a queue."""

    counted_as = "queue records"
    partition_of = staticmethod(partition_of_organization)

    pk = UnicodeAttribute(hash_key=True)  # the queue or the organization
    sk = UnicodeAttribute(range_key=True)  # the key, or "<queue>#<key>" in an organization's list
    expires_at = Integer()  # in seconds, for TTL


def note_use(line: Line, organization_id: str) -> None:
    """Record that a job of this organization starts in a line.

    This adds the line's key to each list in which it hasn't been used today. The organization's
    list leaves out keys that are known anyway: the only key of a queue, and the organization's own
    id.
    """
    # The partition key is "line#<queue>#<key>", and neither a name nor a key contains "#".
    _, queue_name, concurrency_key = line.partition_key.split("#")
    today = lines.day_of(line.partition_key, clock.now())
    organizations_today = line.organizations_on(today)
    if not organizations_today:
        _add(partition_of_queue(queue_name), concurrency_key, today)
    is_known_anyway = line.limits.per in (None, "organization_id")
    if organization_id not in organizations_today and not is_known_anyway:
        _add(partition_of_organization(organization_id), f"{queue_name}#{concurrency_key}", today)


def used_in_queue(queue_name: str, limit: int, last_seen: str = "") -> list[str]:
    """Return up to `limit` keys that jobs have used in a queue, sorted.

    Only keys that sort after `last_seen` are returned.
    """
    return _list_keys(partition_of_queue(queue_name), "", limit, last_seen)


def used_by_organization(
    organization_id: str, queue_name: str, limit: int, last_seen: str = ""
) -> list[str]:
    """Return up to `limit` keys that an organization's jobs have used in a queue, sorted.

    Only keys that sort after `last_seen` are returned.
    """
    partition = partition_of_organization(organization_id)
    return _list_keys(partition, f"{queue_name}#", limit, last_seen)


def partition_of_queue(queue_name: str) -> str:
    """Return the DynamoDB partition of the keys that jobs have used in a queue."""
    return f"keys#{queue_name}"


def _add(partition: str, sort_key: str, today: int) -> None:
    if _last_days.get((partition, sort_key)) == today:
        return
    try:
        with clients.without_retries():
            UsedKey(partition, sort_key, expires_at=clock.expiry(LIFETIME)).save()
    except AWS_ERRORS:
        return  # a later start adds it, usually the next day
    if len(_last_days) >= _MAX_CACHED:
        _last_days.clear()
    _last_days[partition, sort_key] = today


def _list_keys(partition: str, queue_prefix: str, limit: int, last_seen: str) -> list[str]:
    # A range includes both of its ends. Keys have no control characters, so "\0" makes the range
    # begin just after `last_seen`.
    first = f"{last_seen}\0"
    if first > _AFTER_ALL:
        return []  # DynamoDB refuses such a range
    key_range: Any = UsedKey.sk.between(queue_prefix + first, queue_prefix + _AFTER_ALL)
    items = UsedKey.query(partition, key_range, consistent_read=True, limit=limit)
    return [item.sk.removeprefix(queue_prefix) for item in items]
