"""Check that error groups count only jobs that have failed, each in the group of its failure."""

import json
from collections.abc import Callable, Mapping

import moto_items
from histories.hostile_lambda import HostileLambda
from job_runners.store.error_groups import Fingerprint
from job_runners.testing.moto_direct import Row
from moto_items import plain

_PREFIX = "failures#"


class FailureChecker:
    """The error groups, according to the writes that have landed."""

    def __init__(self, world: HostileLambda, report: Callable[[str], None]) -> None:
        self._world = world
        self._report = report
        self._failed: set[tuple[str, str]] = set()  # organization and key of each group that failed

    def failed(self, row: Row) -> None:
        """Note that a job has failed."""
        self._failed.add((row["organization_id"], group_key(row)))

    def note_landed(self, operation: str, call: Row, jobs: Mapping[str, Row]) -> None:
        """Check a write of a group that has landed."""
        if operation != "UpdateItem" or call["TableName"] != "coordination":
            return
        if not call["Key"]["pk"]["S"].startswith(_PREFIX):
            return
        group = plain(moto_items.stored("coordination", call["Key"]))
        name = f"error group {group['sk']}"
        key = group["pk"].removeprefix(_PREFIX), group["sk"]
        self._world.figures["failures counted"] += 1
        if key not in self._failed:
            self._report(f"{name} counts a failure that no job has had")
        job = jobs.get(group["sample_job_id"])
        if job is not None and job["job_type"] != group["job_type"]:
            self._report(f"{name} is of {group['job_type']}, and its sample of {job['job_type']}")


def group_key(row: Row) -> str:
    """Return the key of the group of a failed job, from its row as it is stored."""
    error = row["error"]
    error = json.loads(error) if isinstance(error, str) else error
    return Fingerprint(row["job_type"], error["kind"], error.get("frame")).key
