"""Check the promises of groups: a job continues once all its members have ended, and lists each."""

import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from histories.hostile_lambda import HostileLambda
from job_runners import clock
from job_runners.store import groups
from job_runners.store.groups import Group
from job_runners.store.job_fields import GROUP_PREFIX
from job_runners.testing import moto_direct
from job_runners.testing.moto_direct import Row
from job_runners.work.gathering import GroupResults
from job_runners.work.running_job import RunningJob

_FINISHED = ("succeeded", "failed", "canceled")
_STOPPING = ("running", "waiting")  # what a job may be until its members have ended
# How long after the end of its last member a parent continues, in milliseconds. If no process died
# in between, the process that records the end continues the parent. Otherwise the timer does so at
# its next look: see docs/build/fan_out.md.
_AT_ONCE = 10 * clock.SECOND
_GAP = 10 * clock.MINUTE
_GAP_AFTER_A_DAY = clock.HOUR
_TIMER = 30 * clock.SECOND  # until the timer runs, once a row is due
# The timer keeps a marker without a row for so long, because an invocation may be about to save the
# row.
_KEPT_WITHOUT_ROW = 35 * clock.MINUTE
_Item = tuple[str, str]  # the partition and the sort key of an item


class GroupChecker:
    """The groups of a history, according to what is stored after each write."""

    def __init__(self, world: HostileLambda, report: Callable[[str], None]) -> None:
        self._world = world
        self._report = report
        self._continued: dict[str, str] = {}  # by the created_key of a parent: its last group
        self._canceled: dict[str, int] = {}  # by the created_key of a parent: its `finished_at`
        # By id: the last status of each member, and its mark.
        self._members: dict[str, tuple[str, str]] = {}
        self._last_end: dict[str, int] = {}  # by group: when a member ended last
        self._canceled_at: dict[str, int] = {}  # by parent: when it was canceled with its members
        # By group: how often its parent may have to wait for the timer's next look.
        self._late: Counter[str] = Counter()
        self._without_row: set[str] = set()  # groups that had a marker of a member without a row
        # Owners that were asked to stop, with members, before they had any.
        self._stopped: set[str] = set()
        self.asked_to_stop: set[str] = set()  # jobs that people have canceled
        self._counts: dict[str, tuple[int, int]] = {}  # by group: what the first invocation got
        self._peace_since: int | None = None  # when the faults stopped
        self._waits_since: dict[str, int] = {}  # by parent: when its latest wait began
        self._due: dict[str, int] = {}  # by group: when the timer looks next
        self._overdue: Counter[str] = Counter()  # by group: how late the timer's looks were

    def note_landed(self, operation: str, call: Row) -> None:
        """Check what is stored after a write that belongs to a group."""
        if not any(map(_belongs_to_group, _writes(operation, call))):
            return
        rows = moto_direct.rows("jobs")
        items = {(row["pk"], row["sk"]): row for row in moto_direct.rows("coordination")}
        self._stopped -= {row["id"] for row in rows if row["status"] in _FINISHED}
        members = [row for row in rows if row.get("member_of")]
        parents = {row["last_group_id"]: row for row in rows if row.get("last_group_id")}
        for row in members:
            parent = parents.get(row["member_of"].rpartition("#")[0])
            if parent is not None:
                self._check_member(row, parent, items)
            if row["status"] in _FINISHED:
                group_id, before = _group_of(row), self._last_end.get(_group_of(row), 0)
                self._last_end[group_id] = max(before, row["finished_at"])
            self._members[row["id"]] = (row["status"], row.get("member_mark", ""))
        for group_id, parent in parents.items():
            if awaits_group(parent):
                self._note_wait(parent, group_id, members, items)
            self._check_parent(parent, group_id, members, items)
            self._check_canceled(parent, group_id, members)

    def begin_peace(self, *, all_late: bool = False) -> None:
        """Note that all faults have stopped, and which parents will have to wait for the timer.

        With `all_late`, these are all parents, because days have passed.
        """
        self._peace_since = self._world.time
        rows = {row["id"]: row for row in moto_direct.rows("jobs")}
        marked = set()
        for item in moto_direct.rows("coordination"):
            group_id = group_of_item(item["pk"])
            if group_id is None or not item["sk"].startswith("open#"):
                continue
            marked.add(group_id)
            member = rows.get(item["sk"].partition("#")[2])
            if member is None or member["status"] in _FINISHED:
                self._late[group_id] += 1
        for row in rows.values():
            if row.get("last_group_id") and (all_late or row["last_group_id"] not in marked):
                self._late[row["last_group_id"]] += 1

    def may_be_late(self, group_id: str) -> None:
        """Note that a process died which may have been about to continue the group's parent."""
        self._late[group_id] += 1

    def was_retried(self, member_id: str) -> None:
        """Check that a request to retry a member, which met no fault, has queued it again."""
        rows = {row["id"]: row for row in moto_direct.rows("jobs")}
        member = rows.get(member_id)
        if member is None or member["job_type"] == "hostile_unique" or self._world.stack:
            return
        is_old = self._world.time - member["created_at"] > clock.DAY
        parent = rows.get(member["parent_id"])
        is_given_up = member["status"] in ("failed", "canceled")
        if is_given_up and parent and not is_old and _group_of(member) not in self._late:
            self._report(f"member {member_id} could not be retried")

    def cancel_accepted(self, parent_id: str) -> None:
        """Check that a job stops whose cancel with members was accepted, if no fault happens."""
        if not self._world.is_harmless or parent_id not in self.asked_to_stop:
            return  # in the second case, a person has retried it since
        rows = [row for row in moto_direct.rows("jobs") if row["id"] == parent_id]
        for row in rows:
            if row["status"] in _FINISHED:
                return
            has_open_group = row.get("last_group_id") != row.get("last_finished_group_id")
            stops = "cancel_members" if has_open_group else "cancel_requested"
            if not row.get(stops):
                self._report(f"job {parent_id} goes on although its cancel was accepted")
            if not has_open_group:
                self._stopped.add(parent_id)

    def got(self, job: RunningJob, name: str, keys: list[str], results: GroupResults) -> None:
        """Check the results of a group, which are the same in each invocation."""
        found = list(results)
        if [each.key for each in found] != keys:
            self._report(f"job {job.id} got the results of {[each.key for each in found]}")
        group = groups.new_group(job._row, name, is_large=False)
        counts = (results.total, results.failed)
        if self._counts.setdefault(group.id, counts) != counts:
            self._report(f"job {job.id} got {counts}, and {self._counts[group.id]} before")
        for each in found:
            self._world.figures[f"members {each.status}"] += 1

    def parent_canceled(self, parent_id: str) -> None:
        """Check that the members of a parent were canceled by a request that met no fault."""
        rows = moto_direct.rows("jobs")
        parent = next(row for row in rows if row["id"] == parent_id)
        if not (awaits_group(parent) and parent.get("cancel_members")):
            return
        for row in rows:
            is_own = row.get("member_of", "").rpartition("#")[0] == parent["last_group_id"]
            if is_own and row["status"] not in _FINISHED and not row.get("cancel_requested"):
                self._report(
                    f"job {parent_id} is being canceled, but its member {row['id']} is not"
                )

    def _check_member(self, row: Row, parent: Row, items: dict[_Item, Row]) -> None:
        """Check that a member that may be unfinished has a marker until its parent continues."""
        member = f"member {row['id']} of {parent['id']}"
        is_continued = parent.get("last_finished_group_id") == parent["last_group_id"]
        is_live = row["status"] not in _FINISHED
        marker = (f"group#{row['member_of']}", f"open#{row['id']}")
        if is_live and not is_continued and marker not in items:
            self._report(f"{member} is {row['status']} without a marker")
        is_new = row["id"] not in self._members
        status, mark = self._members.get(row["id"], ("", ""))
        is_canceled = row["status"] == "canceled" and status not in ("", *_FINISHED)
        by_parent = parent.get("cancel_members") or row["id"] in self.asked_to_stop
        if is_canceled and mark.startswith("retried-") and not by_parent:
            self._report(f"{member} was canceled after a person had retried it")
        if is_new and parent["id"] in self._stopped:
            self._report(f"{member} was saved after its parent was canceled")
        if is_new and is_continued and self._has_claim(parent):
            self._report(f"{member} was saved after its parent continued")

    def _check_canceled(self, parent: Row, group_id: str, members: list[Row]) -> None:
        """Check that a parent that is to be canceled after its members doesn't go on. Check also
        the moment in which it is canceled."""
        if parent.get("cancel_members") and parent["status"] not in (*_STOPPING, "canceled"):
            self._report(
                f"job {parent['id']} is {parent['status']} although it is canceled with its members"
            )
        is_canceled = parent["status"] == "canceled" and parent.get("cancel_members")
        key = parent["created_key"]
        if not is_canceled or self._canceled.get(key) == parent["finished_at"]:
            return
        self._canceled[key] = parent["finished_at"]
        self._world.figures["parents canceled with their members"] += 1
        self._check_in_time(parent, group_id)
        for row in members:
            is_own = row["member_of"].rpartition("#")[0] == group_id
            if is_own and row["status"] not in _FINISHED:
                self._report(
                    f"job {parent['id']} was canceled while {row['id']} is {row['status']}"
                )

    def _check_parent(
        self, parent: Row, group_id: str, members: list[Row], items: dict[_Item, Row]
    ) -> None:
        """Check the moment in which a parent continues."""
        if parent.get("last_finished_group_id") != group_id:
            return
        if self._continued.get(parent["created_key"]) == group_id:
            return
        self._continued[parent["created_key"]] = group_id
        self._world.figures["groups complete"] += 1
        own = [row for row in members if row["member_of"].rpartition("#")[0] == group_id]
        self._check_in_time(parent, group_id)
        for row in own:
            flag = (f"group#{row['member_of']}", f"failed#{row['id']}")
            if row["status"] not in _FINISHED:
                self._report(f"job {parent['id']} continued while {row['id']} is {row['status']}")
            elif row["status"] != "succeeded" and flag not in items:
                self._report(f"job {parent['id']} continued without the failure of {row['id']}")
        for member_id in _ids_of_chunks(group_id, items):
            answers = [
                item
                for pk, item in items
                if pk.startswith(f"group#{group_id}#")
                if member_id in item
            ]
            if member_id not in self._members and not answers:
                self._report(f"job {parent['id']} continued without its member {member_id}")

    def _note_wait(
        self, parent: Row, group_id: str, members: list[Row], items: dict[_Item, Row]
    ) -> None:
        """Note since when a parent waits. If the timer has just looked at its group, check that it
        has deleted the markers of all members that had ended before."""
        self._waits_since[parent["id"]] = parent["waiting_since"]
        if parent.get("cancel_members"):
            self._canceled_at.setdefault(parent["id"], self._world.time)
        saved = {row["id"] for row in members}
        for pk, sk in items:
            if group_of_item(pk) == group_id and sk.startswith("open#") and sk[5:] not in saved:
                self._without_row.add(group_id)
        if self._due.get(group_id) != parent["due_at"]:
            self._overdue[group_id] += self._timer_is_late(group_id)
        before, self._due[group_id] = self._due.get(group_id), parent["due_at"]
        timer = self._world.stack[-1] if self._world.stack else None
        if timer is None or timer.name != "timer" or self._peace_since is None:
            return
        if before is None or before == parent["due_at"] or len(self._world.stack) > 1:
            return
        for row in members:
            marker = (f"group#{row['member_of']}", f"open#{row['id']}")
            ended = row["status"] in _FINISHED and row["finished_at"] < timer.started
            if _group_of(row) == group_id and ended and marker in items:
                self._report(f"the timer left the marker of member {row['id']}")

    def _check_in_time(self, parent: Row, group_id: str) -> None:
        """Check that a parent stops waiting in time after its last member has ended, without
        faults."""
        since, end = self._waits_since.get(parent["id"], 0), self._last_end.get(group_id, 0)
        if self._peace_since is None or not end:
            return
        end = max(end, since, self._peace_since, self._canceled_at.pop(parent["id"], 0))
        longest = _AT_ONCE
        for _ in range(self._late[group_id]):
            longest += _TIMER + _gap(end + longest - since)
        if group_id in self._without_row:
            longest += _KEPT_WITHOUT_ROW  # and then until the next look
            longest += _TIMER + _gap(end + longest - since)
        if longest > _AT_ONCE:
            longest += self._overdue[group_id] + self._timer_is_late(group_id)
        if self._world.time - end > longest:
            late = f"{self._world.time - end} ms after its last member's end"
            self._report(f"job {parent['id']} continued {late}, not within {longest} ms")
        self._world.figures["continued in time"] += 1
        self._world.figures["continued at once"] += group_id not in self._late

    def _timer_is_late(self, group_id: str) -> int:
        """Return by how many milliseconds a timer that runs now comes too late for a group.

        After the faults, a history runs one invocation after another, and the timer after them.
        """
        timer = self._world.stack[-1] if self._world.stack else None
        if timer is None or timer.name != "timer" or self._peace_since is None:
            return 0
        due = max(self._due.get(group_id, timer.started), self._peace_since)
        return max(0, timer.started - due - _TIMER)

    def _has_claim(self, parent: Row) -> bool:
        stack = self._world.stack
        return bool(stack) and stack[-1].claim == parent.get("claim_token")


def awaits_group(row: Row) -> bool:
    """Return whether a job waits for its group."""
    return row["status"] == "waiting" and str(row.get("held_by")).startswith(GROUP_PREFIX)


def _gap(waited: int) -> int:
    """Return the longest gap between two looks of the timer, after a parent has waited so long."""
    return _GAP_AFTER_A_DAY if waited >= clock.DAY else min(max(waited, clock.MINUTE), _GAP)


def group_of_item(partition: str) -> str | None:
    """Return the id of the group whose items are in this partition, or None."""
    kind, _, name = partition.partition("#")
    return name.partition("#")[0] if kind == "group" else None


def _group_of(member: Row) -> str:
    return str(member["member_of"].rpartition("#")[0])


def _ids_of_chunks(group_id: str, items: dict[_Item, Row]) -> Iterator[str]:
    group = Group(group_id, 1)
    for (pk, sk), item in items.items():
        if pk == f"group#{group_id}" and sk.startswith("chunk#"):
            keys: list[str] = json.loads(zlib.decompress(item["member_keys"]))
            yield from map(group.member_id, keys)


def _writes(operation: str, call: Row) -> list[dict[str, Any]]:
    if operation == "TransactWriteItems":
        return [write for each in call["TransactItems"] for write in each.values()]
    return [call]


def _belongs_to_group(write: dict[str, Any]) -> bool:
    if write.get("TableName") == "jobs":
        return True
    key = write.get("Key") or write.get("Item") or {}
    return str(key.get("pk", {}).get("S", "")).startswith("group#")
