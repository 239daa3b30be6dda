"""Erase what a line, the waiting jobs of one queue and concurrency key, has of an organization.

`job-runners erase` does this for each line of the organization's jobs.
"""

from pynamodb.expressions.update import Action

from job_runners.aws.errors import try_write
from job_runners.store.line_items import WAITING, LineItem
from job_runners.store.lines import partition_key_of
from job_runners.store.used_keys import UsedKey, partition_of_queue


def erase(organization_id: str, queue_name: str, key: str, organization_key: str) -> int:
    """Erase the organization's name from a line, or the whole line if only its jobs use it.

    `key` is the line's concurrency key. `organization_key` is the organization's concurrency key in
    queues that have one for each organization. Return the number of changed items.
    """
    items = list(LineItem.query(partition_key_of(queue_name, key), consistent_read=True))
    # With Queue(per=("organization_id", …)), a key begins with the organization's key.
    belongs_to_organization = key == organization_key or key.startswith(f"{organization_key}:")
    if belongs_to_organization and not any(_is_in_use(item) for item in items):
        deleted_count = sum(_clear_unless_held(item, delete=True) for item in items)
        UsedKey(partition_of_queue(queue_name), key).delete()
        return deleted_count
    items_with_name = [item for item in items if item.organization_id == organization_id]
    return sum(_clear_unless_held(item, delete=False) for item in items_with_name)


def _is_in_use(item: LineItem) -> bool:
    return item.holder is not None or item.sk.startswith(WAITING)


def _clear_unless_held(item: LineItem, *, delete: bool) -> bool:
    """Remove the organization's name from a free slot or the rate, or `delete` the item.

    Return False if a job has taken the slot in the meantime.
    """
    is_free = LineItem.pk.exists() & LineItem.holder.does_not_exist()
    if delete:
        return try_write(lambda: item.delete(is_free))
    actions: list[Action] = [LineItem.organization_id.remove(), LineItem.group.remove()]
    return try_write(lambda: item.update(actions, is_free))
