"""Trouble for groups after the other faults have stopped: one death or one request at a time.

While all faults happen at once, hardly any group gets as far as its rare moments, and its parent
may be late for many reasons. In peace, each delay has one cause.
"""

from collections.abc import Callable
from typing import Any

import moto_items
from histories.faults import Fault
from histories.group_checker import GroupChecker, awaits_group, group_of_item
from histories.hostile_lambda import HostileLambda
from histories.operators import TROUBLE, Operators
from job_runners.testing import moto_direct
from job_runners.testing.moto_direct import Row

_FINISHED = ("succeeded", "failed", "canceled")
_MOST_DEATHS = 4  # in a history
_MOST_REQUESTS = 10
_OWNERS = 2  # that begin in peace


class GroupTrouble:
    """Kills invocations between two writes of a group, and lets people act on its members."""

    def __init__(
        self,
        world: HostileLambda,
        checker: GroupChecker,
        operators: Operators,
        dispatch_parent: Callable[[], None],
    ) -> None:
        self._world = world
        self._checker = checker
        self._operators = operators
        self._dispatch_parent = dispatch_parent
        self._deaths = self._requests = 0
        operators.on_cancel_with_members = checker.cancel_accepted
        checker.asked_to_stop = operators.asked_to_stop

    def begin(self) -> None:
        """Begin the trouble. All faults have just stopped."""
        self._checker.begin_peace()
        self._world.before_landing = self._before
        self._world.after_landing = self._after
        for _ in range(_OWNERS):
            self._dispatch_parent()

    def act(self) -> None:
        """Perhaps let a person act between two invocations, or weeks pass."""
        halfway = self._is_halfway()
        if self._requests >= _MOST_REQUESTS or self._world.choose("trouble", 2 if halfway else 3):
            return
        self._requests += 1
        if halfway and self._world.choose("to members of half a group", 2):
            self._operators.delete_a_member()
        elif halfway and Fault.EXPIRY in self._world.faults and self._world.choose("weeks", 2):
            self._world.let_days_pass()
            self._world.expire_items()
            self._checker.begin_peace(all_late=True)
        else:
            self._request()

    def perhaps_cancel_parent(self, job_id: str) -> bool:
        """Perhaps cancel the job that runs now with its members. Return whether it was tried."""
        if not self._world.is_harmless or self._world.choose("a parent is canceled", 12) < 11:
            return False
        self._operators.cancel_parent(job_id)
        return True

    def _before(self, operation: str, call: Row) -> None:
        """Perhaps let a person act just before a call about a group."""
        if len(self._world.stack) != 1 or self._requests >= _MOST_REQUESTS:
            return
        odds = _odds_before(operation, call)
        if odds and self._world.choose("meanwhile", odds) == odds - 1:
            self._requests += 1
            self._request()

    def _after(self, operation: str, call: Row) -> None:
        """Perhaps kill the invocation just after a write of a group."""
        if len(self._world.stack) != 1 or self._deaths >= _MOST_DEATHS:
            return
        caller = self._world.stack[-1]
        for write in _writes(operation, call):
            group_id, is_parent = _group_of(write)
            if group_id is None:
                continue
            dispatches = is_parent and caller.name == "worker"
            if self._world.choose("a death", 12 if dispatches else 5) == 4:
                self._deaths += 1
                self._world.figures[TROUBLE] += 1
                self._world.figures["deaths in groups"] += 1
                if not dispatches:
                    self._checker.may_be_late(group_id)
                caller.is_reported = self._world.choose("its record", 2) == 0
                self._world.kill("after a write of a group")

    def _request(self) -> None:
        self._world.figures[TROUBLE] += 1
        match self._world.choose("what people do to a group", 8):
            case 0 | 1 | 2 | 3:
                job_id = self._operators.retry_a_member()
                if job_id is not None:
                    self._checker.was_retried(job_id)
            case 4 | 5:
                self._operators.delete_a_member()
            case 6:
                self._operators.cancel_a_group()

    def _is_halfway(self) -> bool:
        """Return whether a parent that isn't running has dispatched only a part of a group."""
        rows = moto_direct.rows("jobs")
        return any(
            row.get("last_group_id") != row.get("last_finished_group_id")
            and row["status"] in ("queued", "retryable")
            and not awaits_group(row)
            for row in rows
        )


def _odds_before(operation: str, call: Row) -> int:
    """Return 1 in how many calls like this a person acts before, or 0."""
    if operation == "UpdateItem" and call["TableName"] == "jobs":
        row = moto_items.stored("jobs", call["Key"])
        return 3 if "last_group_id" in row and row["status"]["S"] == "waiting" else 0
    if operation == "Query" and call["TableName"] == "coordination":
        partition = call["ExpressionAttributeValues"][":0"].get("S", "")
        return 0 if group_of_item(partition) is None else 12
    if operation == "TransactWriteItems":
        return 4 if any(_group_of(write)[0] for write in _writes(operation, call)) else 0
    return 0


def _writes(operation: str, call: Row) -> list[dict[str, Any]]:
    if operation == "TransactWriteItems":
        return [write for each in call["TransactItems"] for write in each.values()]
    return [call] if operation in ("PutItem", "UpdateItem", "DeleteItem") else []


def _group_of(write: dict[str, Any]) -> tuple[str | None, bool]:
    """Return the group whose member or item was just written, and whether its parent may have
    written it to dispatch the member."""
    key = write.get("Key") or write["Item"]
    if write["TableName"] == "jobs":
        row = moto_items.stored("jobs", key if "Key" in write else {"id": key["id"]})
        is_new = "Item" in write
        if "member_of" not in row or not (is_new or row["status"]["S"] in _FINISHED):
            return None, False
        return row["member_of"]["S"].rpartition("#")[0], is_new
    return group_of_item(key["pk"]["S"]), "Item" in write and key["sk"]["S"].startswith("open#")
