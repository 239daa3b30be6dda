"""Check that each end of a job has exactly one follow-up of each kind that fits it."""

import json
from collections.abc import Callable, Iterator

from job_runners import clock
from job_runners.store import blobs
from job_runners.testing import moto_direct
from job_runners.testing.moto_direct import Row, plain
from job_runners.testing.simulation.simulated_lambda import SimulatedLambda
from job_runners.work.job_ended import JobEnded

_FINISHED = ("succeeded", "failed", "cancelled")


class FollowUpChecker:
    """The follow-ups of each end, according to the writes that have landed."""

    def __init__(self, world: SimulatedLambda, report: Callable[[str], None]) -> None:
        self._world = world
        self._report = report
        self._rows: dict[str, Row] = {}
        self._saved: dict[str, Row] = {}  # each follow-up as it was saved

    def note_landed(self, operation: str, call: Row) -> None:
        """Check a write, or a transaction, that has landed."""
        changes = [(self._rows.get(row["id"], {}), row) for row in _written(operation, call)]
        # The deliveries of an announcement are its children.
        saved = [row for _, row in changes if row.get("follow_up_of") and "parent_id" not in row]
        new = [row for row in saved if self._is_new(row)]
        for before, after in changes:
            self._rows[after["id"]] = after
            if _is_end(before, after):
                its = [row for row in new if row["follow_up_of"] == after["id"]]
                new = [row for row in new if row not in its]
                self._check_end(after, its)
        for row in new:
            self._report(f"follow-up {row['id']} was saved without an end of {row['follow_up_of']}")

    def check_told(self, job_id: str, payload: JobEnded) -> None:
        """Check that a follow-up that starts has the payload with which it was saved."""
        if payload != _payload(self._saved[job_id]):
            self._report(f"the payload of follow-up {job_id} has changed")

    def check_posted(self, event_id: str, event: Row) -> None:
        """Check that the event that a receiver gets is the end that an announcement was told."""
        told = _payload(self._saved[event_id])
        if event["data"] != told.model_dump(mode="json"):
            self._report(f"the event {event_id} isn't the end that was announced")
        self._world.figures["events posted"] += 1

    def _is_new(self, row: Row) -> bool:
        """Return whether this is the first write of a follow-up. Note how it was saved."""
        return self._saved.setdefault(row["id"], row) is row

    def _check_end(self, job: Row, saved: list[Row]) -> None:
        """Check the follow-ups that were saved in the transaction of an end."""
        kinds = ("on_end", "on_failure") if job["status"] == "failed" else ("on_end",)
        wanted = [json.loads(job[kind])["job_type"] for kind in kinds if job.get(kind)]
        if wanted and job.get("follow_up_of"):
            self._report(f"follow-up {job['id']} has follow-ups itself")
        self._world.figures["follow-ups"] += len(saved)
        types = sorted(row["job_type"] for row in saved)
        if types != sorted(wanted):
            self._report(f"job {job['id']} ended {job['status']} with {types}, not {wanted}")
        for row in saved:
            told = _payload(row)
            end = (job["id"], job["status"], clock.iso(job["finished_at"]))
            finished_at = clock.iso(round(told.finished_at.timestamp() * clock.SECOND))
            if (told.job_id, told.status, finished_at) != end:
                self._report(f"job {job['id']} ended as {end}, and {row['id']} is told {told}")
            if (told.error is None) != (job.get("error") is None):
                self._report(f"follow-up {row['id']} is not told the error of {job['id']}")


def _payload(follow_up: Row) -> JobEnded:
    return JobEnded.model_validate(blobs.get(follow_up["payload"], None))


def _is_end(before: Row, after: Row) -> bool:
    is_same_job = before.get("created_key") == after["created_key"]
    return is_same_job and before["status"] not in _FINISHED and after["status"] in _FINISHED


def _written(operation: str, call: Row) -> Iterator[Row]:
    """Yield each job's row that a call has written, as it is now."""
    writes = [(operation.removesuffix("Item"), call)]
    if operation == "TransactWriteItems":
        writes = [pair for each in call["TransactItems"] for pair in each.items()]
    for kind, write in writes:
        if kind in ("Put", "Update") and write["TableName"] == "jobs":
            key = write.get("Key") or {"id": write["Item"]["id"]}
            yield plain(moto_direct.stored("jobs", key))
