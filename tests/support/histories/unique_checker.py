"""Watch unique work, and report violations.

For example, it reports two jobs with one key, a key without a job, and an accepted request that no
job received.
"""

from collections.abc import Callable, Iterator, Mapping

import moto_items
from histories.hostile_lambda import HostileLambda
from job_runners.store import blobs
from job_runners.testing.aws import ENVIRONMENT
from job_runners.testing.moto_direct import Row
from job_runners.work import Job

_FINISHED = ("succeeded", "failed", "canceled")
_PREFIX = "unique#"


class UniqueChecker:
    """The holder, follower and requests of each key, according to the writes that have landed."""

    def __init__(
        self, world: HostileLambda, report: Callable[[str], None], jobs: Mapping[str, Job]
    ) -> None:
        self._world = world
        self._report = report
        self._until = {name: job.unique.until for name, job in jobs.items() if job.unique}
        self._rows: dict[str, Row] = {}
        self._records: dict[str, Row] = {}  # by key
        # By job: the requests whose payload it got.
        self._requests: dict[str, list[str]] = {}

    def note_landed(self, operation: str, call: Row) -> None:
        """Check a write, or a transaction, that has landed."""
        keys: set[str] = set()
        for table, key in _written(operation, call):
            if table == "jobs":
                keys |= self._note_row(key["id"]["S"])
            elif key["pk"]["S"].startswith(_PREFIX):
                name = key["pk"]["S"].removeprefix(_PREFIX)
                self._records[name] = _item("coordination", key)
                keys.add(name)
        for key_name in keys:
            self._check_key(key_name)

    def accepted(self, job_id: str, request: str) -> None:
        """Check that the job of an accepted request has, or once had, that request's payload."""
        if request not in self._requests.get(job_id, []):
            self._report(f"the request {request} was accepted, and job {job_id} never got it")

    def begins(self, job_id: str, request: str) -> None:
        """Check that a starting job works on the last request that it received."""
        requests = self._requests.get(job_id)
        if requests and request != requests[-1]:
            last = requests[-1]
            self._report(f"job {job_id} does {request}, but the last request was {last}")

    def check_ended(self) -> None:
        """Check at the end that each key is free."""
        for key, record in self._records.items():
            if record:
                self._report(f"{record['holder']} still has the key {key}, but all jobs have ended")

    def _note_row(self, job_id: str) -> set[str]:
        """Note the current row of a job. Return the keys that it had before or has now."""
        before = self._rows.get(job_id, {})
        after = self._rows[job_id] = _item("jobs", {"id": {"S": job_id}})
        if after.get("job_type") not in self._until:  # another job may get the same id
            self._requests.pop(job_id, None)
            return set()
        is_new = before.get("created_key") != after["created_key"]
        request = request_of(after)
        if is_new or request_of(before) != request:
            if not is_new and before["invocations"] > 0:
                self._report(f"job {job_id} had started, and was given another payload")
            earlier = [] if is_new else self._requests[job_id]
            self._requests[job_id] = [*earlier, request]
            self._world.figures["unique jobs replaced"] += not is_new
        if before.get("held_by", "").startswith(_PREFIX) and after["status"] != "waiting":
            self._world.figures["unique jobs that followed"] += after["status"] != "canceled"
        self._check_row(after)
        return {row["unique_key"] for row in (before, after) if row.get("unique_key")}

    def _check_row(self, row: Row) -> None:
        job = f"job {row['id']} ({row['status']})"
        has_key = row.get("unique_key") is not None
        if row["status"] in _FINISHED:
            if has_key:
                self._report(f"{job} is finished, but has a key")
            return
        was_claimed = row["invocations"] > 0 or row.get("claim_token") is not None
        if not has_key and not (self._until[row["job_type"]] == "started" and was_claimed):
            self._report(f"{job} has no key")
        if row.get("held_by", "").startswith(_PREFIX) and row["status"] != "waiting":
            self._report(f"{job} follows another job, but does not wait")

    def _check_key(self, key: str) -> None:
        rows_with_key = [row for row in self._rows.values() if row.get("unique_key") == key]
        followers = [row for row in rows_with_key if row.get("held_by", "").startswith(_PREFIX)]
        holders = [row for row in rows_with_key if row not in followers]
        record = self._records.get(key) or {}
        if len(holders) > 1:
            ids = " and ".join(row["id"] for row in holders)
            self._report(f"the key {key} has two holders: {ids}")
        if len(followers) > 1:
            self._report(f"{len(followers)} jobs follow the one that has the key {key}")
        holder = holders[0]["created_key"] if holders else None
        if record.get("holder") != holder:
            self._report(f"the key {key} is {record.get('holder')}'s by its record, not {holder}'s")
        follower = followers[0]["created_key"] if followers else None
        if record.get("follower") != follower:
            self._report(
                f"the record of {key} names {record.get('follower')} as follower, not {follower}"
            )


def request_of(row: Row) -> str:
    """Return the request whose payload a row has, or "" if it has none."""
    packed = row.get("payload")
    if "payload_key" in row:
        packed = moto_items.content(ENVIRONMENT["BUCKET_NAME"], row["payload_key"])
    payload = blobs.get(packed, None)
    return str(payload.get("request", "")) if isinstance(payload, dict) else ""


def _item(table: str, key: dict[str, dict[str, str]]) -> Row:
    return moto_items.plain(moto_items.stored(table, key))


def _written(operation: str, call: Row) -> Iterator[tuple[str, dict[str, dict[str, str]]]]:
    """Yield the table and key of each item that a call writes."""
    writes = [(operation.removesuffix("Item"), call)]
    if operation == "TransactWriteItems":
        writes = [pair for each in call["TransactItems"] for pair in each.items()]
    for kind, write in writes:
        if kind in ("Put", "Update", "Delete"):
            item = write.get("Key") or write["Item"]
            names = ("id",) if write["TableName"] == "jobs" else ("pk", "sk")
            yield write["TableName"], {name: item[name] for name in names}
