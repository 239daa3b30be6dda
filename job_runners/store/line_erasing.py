"""Erase an organization from the line of a queue and key, for `job-runners erase`."""

from pynamodb.expressions.update import Action

from job_runners.aws.errors import try_write
from job_runners.store.line_items import WAITING, LineItem
from job_runners.store.lines import partition_key_of
from job_runners.store.used_keys import UsedKey, partition_of_queue


def erase(organization_id: str, queue_name: str, key: str, own: str) -> int:
    """Erase the organization's name from a line, or the whole line if it is the organization's own.

    `own` is the key of the organization in a queue whose keys are organizations. Return the number
    of records changed.
    """
    items = list(LineItem.query(partition_key_of(queue_name, key), consistent_read=True))
    # The key is the organization's, or begins with it: Queue(per=("organization_id", …)).
    is_own = key == own or key.startswith(f"{own}:")
    if is_own and not any(map(_is_in_use, items)):
        changed = sum(_clear_unless_held(item, delete=True) for item in items)
        UsedKey(partition_of_queue(queue_name), key).delete()
        return changed
    named = (item for item in items if organization_id in (item.organization_id, item.group))
    return sum(_clear_unless_held(item, delete=False) for item in named)


def _is_in_use(item: LineItem) -> bool:
    return item.holder is not None or item.sk.startswith(WAITING)


def _clear_unless_held(item: LineItem, *, delete: bool) -> bool:
    """Delete a free slot or rate record, or only the organization's name in it.

    Return False if a job has taken the slot in the meantime.
    """
    free = LineItem.pk.exists() & LineItem.holder.does_not_exist()
    if delete:
        return try_write(lambda: item.delete(free))
    names: list[Action] = [LineItem.organization_id.remove(), LineItem.group.remove()]
    return try_write(lambda: item.update(names, free))
