"""Count the failures of a group whose job stops its members after some of them.

The items of the failures are exact: each member has one, however often it is recorded. But to count
them at each failure would read all of them again and again. So an item has an estimate, which each
failure raises. It may be wrong if an answer is lost or a process dies. The items are counted only
once the estimate has reached the limit, and each time that the timer looks at the group.
"""

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from job_runners.aws.errors import retry_on_conflict, try_write
from job_runners.store import groups
from job_runners.store.conditional_write import same
from job_runners.store.groups import Group, GroupItem, expiry

_NAME = "failures"
_TRIES = 5  # how often the failures are counted if the estimate changes in the meantime


def add_failure(group: Group) -> int:
    """Raise the estimate after a failure, and return it. Return 0 if the limit was reached."""
    item = _update(group, GroupItem.number.add(1))
    return 0 if item.stopped else item.number or 0


def is_limit_reached(group: Group, limit: int) -> bool:
    """Count the failures unless the limit was reached before. Return whether it is reached.

    If it isn't, the estimate is corrected.
    """
    for _ in range(_TRIES):
        seen = _read(group)
        if seen is not None and seen.stopped:
            return True
        count = groups.count_failed(group, limit)
        if count >= limit:
            _update(group, GroupItem.stopped.set(True))
            return True
        if _correct_estimate(group, None if seen is None else seen.number, count):
            return False
    return False


def _correct_estimate(group: Group, estimate: int | None, count: int) -> bool:
    """Set the estimate to the count, unless it has changed. Return whether it is the count now."""
    if count == (estimate or 0):
        return True
    unchanged = same(GroupItem.number, estimate)
    return try_write(lambda: _update(group, GroupItem.number.set(count), condition=unchanged))


def _update(group: Group, action: Action, condition: Condition | None = None) -> GroupItem:
    item = GroupItem(_partition(group), _NAME)
    actions: list[Action] = [action, GroupItem.expires_at.set(expiry())]
    retry_on_conflict(lambda: item.update(actions, condition))
    return item


def _read(group: Group) -> GroupItem | None:
    # A read that misses a recent write only costs another count: the failures are counted exactly,
    # and the estimate is corrected on condition that it is as read.
    try:
        return GroupItem.get(_partition(group), _NAME)
    except GroupItem.DoesNotExist:
        return None


def _partition(group: Group) -> str:
    return f"group#{group.id}"
