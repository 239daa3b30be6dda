"""Count the failed members of a group that is to be stopped after a number of failures.

Each failed member has one item, even if its failure is recorded repeatedly. So the number of items
is exact, but to count them after each failure would take too many reads. Therefore, another item
has an *estimate*, and each failure raises it by one. The estimate becomes wrong if a response is
lost or a process is killed. So the failed members' items are counted when the estimate reaches the
limit, and whenever the timer function checks the group.
"""

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from job_runners.aws.errors import retry_on_conflict, try_write
from job_runners.store import groups
from job_runners.store.conditional_write import same
from job_runners.store.groups import Group, GroupItem, expiry

_SORT_KEY = "failures"
_MAX_TRIES = 5  # to count the failures while other processes change the estimate


def add_failure(group: Group) -> int:
    """Raise the estimate by one, and return it. Return 0 if the group has already been stopped."""
    item = _update(group, GroupItem.number.add(1))
    return 0 if item.stopped else item.number or 0


def is_limit_reached(group: Group, limit: int) -> bool:
    """Return whether `limit` members have failed. Record that the group is stopped if so.

    Otherwise, correct the estimate. For a group that has already been stopped, return True.
    """
    for _ in range(_MAX_TRIES):
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
    """Set the estimate to the count. Return False if another process has changed the estimate."""
    if count == (estimate or 0):
        return True
    is_unchanged = same(GroupItem.number, estimate)
    return try_write(lambda: _update(group, GroupItem.number.set(count), condition=is_unchanged))


def _update(group: Group, action: Action, condition: Condition | None = None) -> GroupItem:
    item = GroupItem(_partition(group), _SORT_KEY)
    actions: list[Action] = [action, GroupItem.expires_at.set(expiry())]
    retry_on_conflict(lambda: item.update(actions, condition))
    return item


def _partition(group: Group) -> str:
    return f"group#{group.id}"
