"""Count the failed members of a group that is stopped after a number of failures.

Each failed member has one item, even if its failure is recorded repeatedly, so the number of items
is exact. But to count the items, all of them must be read, which is too much after each failure. So
another item has an estimate, which each failure raises by one. The estimate is wrong if a response
is lost or a process dies. The items are counted only when the estimate has reached the limit, and
each time that the timer looks at the group.
"""

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from job_runners.aws.errors import retry_on_conflict, try_write
from job_runners.store import groups
from job_runners.store.conditional_write import same
from job_runners.store.groups import Group, GroupItem, expiry

_SORT_KEY = "failures"
_MAX_COUNTS = 5  # how often to count the failures if the estimate keeps changing


def add_failure(group: Group) -> int:
    """Raise the estimate after a failure, and return it. Return 0 if the group was stopped."""
    item = _update(group, GroupItem.number.add(1))
    return 0 if item.stopped else item.number or 0


def is_limit_reached(group: Group, limit: int) -> bool:
    """Count the failures, unless the group was stopped, and return whether the limit is reached.

    If it is, this records that the group is stopped. Otherwise, it corrects the estimate.
    """
    for _ in range(_MAX_COUNTS):
        item = GroupItem.find(_partition(group), _SORT_KEY)
        if item is not None and item.stopped:
            return True
        count = groups.count_failed(group, limit)
        if count >= limit:
            _update(group, GroupItem.stopped.set(True))
            return True
        estimate = None if item is None else item.number
        if _correct_estimate(group, estimate, count):
            return False
    return False


def _correct_estimate(group: Group, estimate: int | None, count: int) -> bool:
    """Set the estimate to the count, unless it has changed since. Return whether they now agree."""
    if count == (estimate or 0):
        return True
    unchanged = same(GroupItem.number, estimate)
    return try_write(lambda: _update(group, GroupItem.number.set(count), condition=unchanged))


def _update(group: Group, action: Action, condition: Condition | None = None) -> GroupItem:
    item = GroupItem(_partition(group), _SORT_KEY)
    actions: list[Action] = [action, GroupItem.expires_at.set(expiry())]
    retry_on_conflict(lambda: item.update(actions, condition))
    return item


def _partition(group: Group) -> str:
    return f"group#{group.id}"
