"""Lists of the concurrency keys that jobs have used in queues with limits.

| partition | sort key | content |
|---|---|---|
| `keys#<queue>` | the key | every key of the queue, for services and for sweeps |
| `keys_of#<organization>` | `<queue>#<key>` | the keys that jobs of one organization have used |

A caller of one organization sees only that organization's list. So no order, count or cursor can
depend on another organization's keys.

The first job that starts under a key on each day adds the key to the lists. Each key's day begins
at its own time. If the write fails, it isn't repeated, so that the job's start neither waits nor
fails. The list then lacks the key until a later start adds it, usually the next day.
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
# The day on which this process last put each item, by its partition and sort key.
_day_put: dict[tuple[str, str], int] = {}
caches.register(_day_put.clear)


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
    """Add a line's key to each list for which this is the key's first use today.

    The organization's list leaves out two kinds of keys, which need no list: the only key of a
    queue, and the organization's own id.
    """
    # The partition key is "line#<queue>#<key>", and neither a name nor a key contains "#".
    _, queue_name, concurrency_key = line.partition_key.split("#")
    today = lines.day_of(line.partition_key, clock.now())
    organizations_today = line.organizations_on(today)
    if not organizations_today:
        _add(partition_of_queue(queue_name), concurrency_key, today)
    needs_no_list = line.limits.per in (None, "organization_id")
    if organization_id not in organizations_today and not needs_no_list:
        _add(partition_of_organization(organization_id), f"{queue_name}#{concurrency_key}", today)


def used_in_queue(queue_name: str, limit: int, after: str = "") -> list[str]:
    """Return at most `limit` keys that jobs have used in a queue, sorted, and after `after`."""
    return _list_keys(partition_of_queue(queue_name), "", limit, after)


def used_by_organization(
    organization_id: str, queue_name: str, limit: int, after: str = ""
) -> list[str]:
    """Return at most `limit` keys that an organization's jobs have used in a queue.

    They are sorted, and come after `after`.
    """
    return _list_keys(partition_of_organization(organization_id), f"{queue_name}#", limit, after)


def partition_of_queue(queue_name: str) -> str:
    """Return the DynamoDB partition of the keys that jobs have used in a queue."""
    return f"keys#{queue_name}"


def _add(partition: str, sort_key: str, today: int) -> None:
    if _day_put.get((partition, sort_key)) == today:
        return
    try:
        with clients.without_retries():
            UsedKey(partition, sort_key, expires_at=clock.expiry(LIFETIME)).save()
    except AWS_ERRORS:
        return  # a later start adds it, usually the next day
    if len(_day_put) >= _MAX_CACHED:
        _day_put.clear()
    _day_put[partition, sort_key] = today


def _list_keys(partition: str, queue_prefix: str, limit: int, after: str) -> list[str]:
    # The range includes both ends. Keys have no control characters, so a range that begins with
    # `after` plus "\0" leaves out only `after`.
    first = f"{after}\0"
    if first > _AFTER_ALL:
        return []  # DynamoDB refuses such a range
    key_range: Any = UsedKey.sk.between(queue_prefix + first, queue_prefix + _AFTER_ALL)
    items = UsedKey.query(partition, key_range, consistent_read=True, limit=limit)
    return [item.sk.removeprefix(queue_prefix) for item in items]
