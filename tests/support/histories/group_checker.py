"""Check the promises of groups: a job continues once all its members have ended, and lists each."""

import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from job_runners import clock
from job_runners.store import groups
from job_runners.store.groups import Group
from job_runners.store.job_fields import GROUP_PREFIX
from job_runners.testing import moto_direct
from job_runners.testing.moto_direct import Row
from job_runners.testing.simulation.simulated_lambda import SimulatedLambda
from job_runners.work.gathering import GroupResults
from job_runners.work.running_job import RunningJob

_FINISHED = ("succeeded", "failed", "cancelled")
# After the end of its last member, an owner continues at the latest with the timer's next look (see
# job_runners.engine.groups.looking), with a minute for the timer itself.
_GAP = 11 * clock.MINUTE
_GAP_AFTER_A_DAY = clock.HOUR + clock.MINUTE
_Item = tuple[str, str]  # the partition and the sort key of an item


class GroupChecker:
    """The groups of a history, according to what is stored after each write."""

    def __init__(self, world: SimulatedLambda, report: Callable[[str], None]) -> None:
        self._world = world
        self._report = report
        self._continued: dict[str, str] = {}  # by the created_key of an owner: its last group
        self._canceled: dict[str, int] = {}  # by the created_key of an owner: its `finished_at`
        self._members: dict[str, str] = {}  # by id: the last status of each member
        self._counts: dict[str, tuple[int, int]] = {}  # by group: what the first leg got
        self._peace_since: int | None = None  # when the faults stopped
        self._waits_since: dict[str, int] = {}  # by owner: when its latest wait began

    def note_landed(self, operation: str, call: Row) -> None:
        """Check what is stored after a write that belongs to a group."""
        if self._world.is_harmless and self._peace_since is None:
            self._peace_since = self._world.time
        if not any(map(_belongs_to_group, _writes(operation, call))):
            return
        rows = moto_direct.rows("jobs")
        items = {(row["pk"], row["sk"]): row for row in moto_direct.rows("coordination")}
        members = [row for row in rows if row.get("member_of")]
        owners = {row["gathers"]: row for row in rows if row.get("gathers")}
        for row in members:
            owner = owners.get(row["member_of"].rpartition("#")[0])
            if owner is not None:
                self._check_member(row, owner, items)
            self._members[row["id"]] = row["status"]
        for group_id, owner in owners.items():
            if awaits_group(owner):
                self._waits_since[owner["id"]] = owner["waiting_since"]
            self._check_owner(owner, group_id, members, items)
            self._check_canceled(owner, group_id, members)

    def got(self, job: RunningJob, name: str, keys: list[str], results: GroupResults) -> None:
        """Check the results of a group, which are the same in each leg."""
        found = list(results)
        if [each.key for each in found] != keys:
            self._report(f"job {job.id} got the results of {[each.key for each in found]}")
        group = groups.new_group(job._row, name, is_large=False)
        counts = (results.total, results.failed)
        if self._counts.setdefault(group.id, counts) != counts:
            self._report(f"job {job.id} got {counts}, and {self._counts[group.id]} before")
        for each in found:
            self._world.figures[f"members {each.status}"] += 1

    def owner_canceled(self, owner_id: str) -> None:
        """Check that the members of an owner were canceled by a request that met no fault."""
        rows = moto_direct.rows("jobs")
        owner = next(row for row in rows if row["id"] == owner_id)
        if not (awaits_group(owner) and owner.get("cancel_members")):
            return
        for row in rows:
            is_own = row.get("member_of", "").rpartition("#")[0] == owner["gathers"]
            if is_own and row["status"] not in _FINISHED and not row.get("cancel_requested"):
                self._report(f"job {owner_id} is being canceled, but its member {row['id']} is not")

    def _check_member(self, row: Row, owner: Row, items: dict[_Item, Row]) -> None:
        """Check that a member that may be unfinished has a marker until its owner continues."""
        member = f"member {row['id']} of {owner['id']}"
        is_continued = owner.get("gathered") == owner["gathers"]
        is_live = row["status"] not in _FINISHED
        marker = (f"group#{row['member_of']}", f"open#{row['id']}")
        if is_live and not is_continued and marker not in items:
            self._report(f"{member} is {row['status']} without a marker")
        is_new = row["id"] not in self._members
        if is_new and is_continued and self._has_claim(owner):
            self._report(f"{member} was saved after its owner continued")

    def _check_canceled(self, owner: Row, group_id: str, members: list[Row]) -> None:
        """Check the moment in which an owner is canceled after its members."""
        is_canceled = owner["status"] == "cancelled" and owner.get("cancel_members")
        key = owner["created_key"]
        if not is_canceled or self._canceled.get(key) == owner["finished_at"]:
            return
        self._canceled[key] = owner["finished_at"]
        self._world.figures["owners canceled with their members"] += 1
        for row in members:
            is_own = row["member_of"].rpartition("#")[0] == group_id
            if is_own and row["status"] not in _FINISHED and not owner.get("cancel_requested"):
                self._report(f"job {owner['id']} was canceled while {row['id']} is {row['status']}")

    def _check_owner(
        self, owner: Row, group_id: str, members: list[Row], items: dict[_Item, Row]
    ) -> None:
        """Check the moment in which an owner continues."""
        if owner.get("gathered") != group_id:
            return
        if self._continued.get(owner["created_key"]) == group_id:
            return
        self._continued[owner["created_key"]] = group_id
        self._world.figures["groups complete"] += 1
        own = [row for row in members if row["member_of"].rpartition("#")[0] == group_id]
        self._check_in_time(owner, own)
        for row in own:
            flag = (f"group#{row['member_of']}", f"failed#{row['id']}")
            if row["status"] not in _FINISHED:
                self._report(f"job {owner['id']} continued while {row['id']} is {row['status']}")
            elif row["status"] != "succeeded" and flag not in items:
                self._report(f"job {owner['id']} continued without the failure of {row['id']}")
        for member_id in _ids_of_chunks(group_id, items):
            answers = [
                item
                for pk, item in items
                if pk.startswith(f"group#{group_id}#")
                if member_id in item
            ]
            if member_id not in self._members and not answers:
                self._report(f"job {owner['id']} continued without its member {member_id}")

    def _check_in_time(self, owner: Row, members: list[Row]) -> None:
        """Check that an owner continues soon after its last member has ended, without faults.

        An owner that died may begin to wait only later.
        """
        ends = [row["finished_at"] for row in members if "finished_at" in row]
        if self._peace_since is None or not ends:
            return
        since = self._waits_since.get(owner["id"], 0)
        waited = self._world.time - since
        gap = _GAP_AFTER_A_DAY if since and waited >= clock.DAY else _GAP
        late = self._world.time - max(self._peace_since, since, *ends)
        if late > gap:
            self._report(f"job {owner['id']} continued {late} ms after its last member's end")
        self._world.figures["continued in time"] += 1

    def _has_claim(self, owner: Row) -> bool:
        stack = self._world.stack
        return bool(stack) and stack[-1].claim == owner.get("claim_token")


def awaits_group(row: Row) -> bool:
    """Return whether a job waits for its group."""
    return row["status"] == "waiting" and str(row.get("held_by")).startswith(GROUP_PREFIX)


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
