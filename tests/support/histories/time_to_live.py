"""Delete expired items as DynamoDB does, and check that none expires while a job relies on it."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import moto_items
from histories.failure_checker import group_key
from histories.hostile_lambda import HostileLambda
from job_runners import clock
from job_runners.store.job_request import job_id_of
from job_runners.testing import moto_direct
from job_runners.testing.moto_direct import Row
from job_runners.work.definitions import MAX_WAIT

_FINISHED = ("succeeded", "failed", "canceled")
_NEVER = 10**12  # seconds
_DELETED_LATE = 3 * clock.DAY  # how long after its expiry an item may still be there
# How long a job may rely on an item of each kind, in milliseconds.
_LONGEST_WAIT = int(MAX_WAIT * clock.SECOND)
_HOLDS_SLOT = 40 * clock.DAY  # see docs/build/queues.md
_LIFETIME = 300 * clock.DAY  # see docs/reference/limits.md
_FOREVER = _NEVER * clock.SECOND


class _Use(NamedTuple):
    """A job's use of an item: `what` describes the use, and `since` is its start.

    `promised` says how long the item must last, in milliseconds.
    """

    what: str
    since: int = 0
    promised: int = _FOREVER


class TimeToLive:
    """Deletes the expired items of a world's tables.

    It deletes them at random times, also while an invocation runs, and at the latest days later.
    """

    def __init__(self, world: HostileLambda, report: Callable[[str], None]) -> None:
        self._world = world
        self._report = report

    def sweep(self) -> Iterator[tuple[str, Row]]:
        """Delete items that have expired by now. Yield the table and the key of each, in DynamoDB's
        form."""
        jobs = {row["id"]: row for row in moto_direct.rows("jobs")}
        for table, names in moto_items.KEYS.items():
            for item in moto_direct.rows(table):
                expired_for = self._world.time - item.get("expires_at", _NEVER) * clock.SECOND
                key = {name: {"S": str(item[name])} for name in names}
                if self._is_deleted(item, key, expired_for, jobs):
                    moto_items.delete(table, key)
                    self._world.figures["expired"] += 1
                    yield table, key

    def _is_deleted(self, item: Row, key: Row, expired_for: int, jobs: dict[str, Row]) -> bool:
        if expired_for < 0:
            return False
        use = _use(item, jobs, self._world.time)
        if use is not None and self._world.time - use.since < use.promised:
            self._report(f"{[*key.values()]} has expired, and {use.what}")
            return True
        if use is not None:
            # A job uses it for longer than promised. Histories don't simulate what happens then.
            return False
        return expired_for > _DELETED_LATE or self._world.pick("an item is deleted", 3) == 2


def _use(item: Row, jobs: dict[str, Row], now: int) -> _Use | None:
    """Return a job's use of an item, or None if no job uses it."""
    if "pk" not in item:
        return None if item["status"] in _FINISHED else _Use(f"the job is {item['status']}")
    kind, _, name = item["pk"].partition("#")
    match kind:
        case "line":
            return _use_in_line(item, jobs, now)
        case "held":
            return _use_by_waiting([jobs.get(job_id_of(item["sk"]), {})], name)
        case "keys":
            return _use_by_waiting(_held_while_listed(item, jobs), f"line#{name}#{item['sk']}")
        case "keys_of":
            return _use_by_waiting(_held_while_listed(item, jobs), f"line#{item['sk']}", name)
        case "unique":
            return _use_by_unfinished(row for row in jobs.values() if row.get("unique_key") == name)
        case "step" | "signal" | "group" | "link":
            attribute = "last_group_id" if kind == "group" else "created_key"
            used_by = item["job"] if kind == "link" else name.replace("#", "/").partition("/")[0]
            return _use_by_unfinished(row for row in jobs.values() if row.get(attribute) == used_by)
        case "failures":
            return _use_of_failures(item, name, jobs, now)
        case "answer":
            return _use_of_answer(item, jobs, now)
    may_expire = kind == "failed_tasks" or "deleted_at" in item
    return None if may_expire else _Use("it isn't marked as deleted")


def _use_of_failures(
    group: Row, organization_id: str, jobs: dict[str, Row], now: int
) -> _Use | None:
    """Return the use of an error group: it lists the failed jobs that it has counted.

    It may not have counted a job that failed after its last write.
    """
    for row in jobs.values():
        is_failed = row["status"] == "failed" and row["organization_id"] == organization_id
        is_listed = is_failed and row["expires_at"] * clock.SECOND > now
        is_counted = is_listed and row["finished_at"] <= group["last_seen_at"]
        if is_counted and group_key(row) == group["sk"]:
            return _Use(f"the failed job {row['id']} is in it")
    return None


def _held_while_listed(key: Row, jobs: dict[str, Row]) -> list[Row]:
    """Return the waiting jobs that were held before this key in a list expired.

    For jobs that were held later, the list may lack the key. The write that notes a key isn't
    repeated, and the timer holds jobs without that write (see `job_runners.store.used_keys`).
    """
    expires_at = key["expires_at"] * clock.SECOND
    return [row for row in jobs.values() if row.get("waiting_since", expires_at) < expires_at]


def _use_in_line(item: Row, jobs: dict[str, Row], now: int) -> _Use | None:
    sk = item["sk"]
    if sk.startswith("wait#"):
        row = jobs.get(sk[-32:], {})
        return _use_by_waiting([row] if row.get("wait_key") == sk else [], item["pk"])
    used_until = max(item.get("tat", 0), item.get("started_tat", 0)) // 1000
    if used_until > now:
        return _Use("its rate is used up beyond now")
    holder = jobs.get(item.get("holder", ""), {})
    if holder.get("slot") is None:
        return None
    return _Use(f"job {holder['id']} has the slot", item["since"], _HOLDS_SLOT)


def _use_by_waiting(
    rows: Iterable[Row], held_by: str, organization_id: str | None = None
) -> _Use | None:
    waits = (
        row
        for row in rows
        if row.get("held_by") == held_by and organization_id in (None, row["organization_id"])
    )
    last = max(waits, key=lambda row: int(row["waiting_since"]), default=None)
    if last is None:
        return None
    return _Use(f"job {last['id']} waits there", last["waiting_since"], _LONGEST_WAIT)


def _use_by_unfinished(rows: Iterable[Row]) -> _Use | None:
    for row in rows:
        if row["status"] not in _FINISHED:
            return _Use(f"job {row['id']} is {row['status']}", row["created_at"], _LIFETIME)
    return None


def _use_of_answer(answer: Row, jobs: dict[str, Row], now: int) -> _Use | None:
    row = jobs.get(job_id_of(answer["job"]), {})
    is_there = row.get("created_key") == answer["job"]
    if not is_there or row.get("expires_at", _NEVER) * clock.SECOND <= now:
        return None
    return _Use(f"job {row['id']} exists", row["created_at"], _LIFETIME)
