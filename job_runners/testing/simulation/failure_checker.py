"""Check that failure groups count only jobs that have failed, each in the group of its failure."""

import json
from collections import Counter
from collections.abc import Callable, Mapping

from job_runners.store.failure_groups import Fingerprint
from job_runners.testing import moto_direct
from job_runners.testing.moto_direct import Row, plain
from job_runners.testing.simulation.simulated_lambda import SimulatedLambda

_PREFIX = "failures#"


class FailureChecker:
    """The failure groups, according to the writes that have landed."""

    def __init__(self, world: SimulatedLambda, broken: Callable[[str], None]) -> None:
        self._world = world
        self._broken = broken
        self._ends: Counter[tuple[str, str]] = Counter()  # failures by organization and group
        self._writes: Counter[tuple[str, str]] = Counter()

    def failed(self, row: Row) -> None:
        """Note that a job has failed."""
        self._ends[row["organization_id"], group_key(row)] += 1

    def landed(self, operation: str, call: Row, jobs: Mapping[str, Row]) -> None:
        """Check a write of a group that has landed."""
        if operation != "UpdateItem" or call["TableName"] != "coordination":
            return
        if not call["Key"]["pk"]["S"].startswith(_PREFIX):
            return
        group = plain(moto_direct.stored("coordination", call["Key"]))
        name = f"failure group {group['sk']}"
        key = group["pk"].removeprefix(_PREFIX), group["sk"]
        self._writes[key] += 1
        self._world.figures["failures counted"] += 1
        if not self._ends[key]:
            self._broken(f"{name} counts a failure that no job has had")
        # A write whose answer was lost is repeated, and counts its failures again.
        if group["failures"] > self._ends[key] * self._writes[key]:
            self._broken(f"{name} counts {group['failures']} of {self._ends[key]} failures")
        job = jobs.get(group["sample_job_id"])
        if job is not None and job["job_type"] != group["job_type"]:
            self._broken(f"{name} is of {group['job_type']}, and its sample of {job['job_type']}")


def group_key(row: Row) -> str:
    """Return the key of the group of a failed job, from its row as it is stored."""
    error = row["error"]
    error = json.loads(error) if isinstance(error, str) else error
    return Fingerprint(row["job_type"], error["kind"], error.get("frame")).key
