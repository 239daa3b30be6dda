"""Check that each end of a job has exactly one follow-up of each kind that fits it."""

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import moto_items
from histories.faults import Fault
from histories.hostile_lambda import HostileLambda
from job_runners import clock
from job_runners.settings import settings
from job_runners.store import blobs, webhooks
from job_runners.testing.moto_direct import Row
from job_runners.work.job_ended import JobEnded
from moto_items import plain

_FINISHED = ("succeeded", "failed", "canceled")
_ORGANIZATIONS = ("default", "acme", "umbrella")
# The webhooks of each organization, and which ends each gets.
_WEBHOOKS: dict[str, dict[str, Any]] = {
    "failures": {"statuses": ["failed"]},
    "once": {"job_types": ["hostile_once"]},
}


@contextmanager
def subscribed() -> Iterator[None]:
    """Let each organization have its webhooks in this block."""
    try:
        with patch.dict(os.environ, WEBHOOK_SUBSCRIPTIONS="true"):
            settings.cache_clear()
            for organization in _ORGANIZATIONS:
                for name, ends in _WEBHOOKS.items():
                    url, secret = f"https://{name}.example.com", f"{organization}/main"
                    webhooks.put(organization, name, by=None, url=url, secret=secret, **ends)
            yield
    finally:
        settings.cache_clear()


def _receivers(job_type: str, status: str) -> set[str]:
    """Return the webhooks that get such an end of a job of this type."""
    by_status = {"failures"} if status == "failed" else set()
    return by_status | ({"once"} if job_type == "hostile_once" else set())


class FollowUpChecker:
    """The follow-ups of each end, according to the writes that have landed."""

    def __init__(self, world: HostileLambda, report: Callable[[str], None]) -> None:
        self._world = world
        self._report = report
        self._rows: dict[str, Row] = {}
        self._saved: dict[str, Row] = {}  # each follow-up as it was saved
        self._has_subscriptions = Fault.SUBSCRIPTIONS in world.faults
        # By announcement: the receivers of its deliveries, by the ids of these.
        self._deliveries: defaultdict[str, dict[str, str]] = defaultdict(dict)

    def note_landed(self, operation: str, call: Row) -> None:
        """Check a write, or a transaction, that has landed."""
        changes = [(self._rows.get(row["id"], {}), row) for row in _written(operation, call)]
        # The deliveries of an announcement are its children.
        saved = [row for _, row in changes if row.get("follow_up_of") and "parent_id" not in row]
        new = [row for row in saved if self._is_new(row)]
        for before, after in changes:
            self._rows[after["id"]] = after
            if after["job_type"] == "deliver_webhook":
                self._note_delivery(after)
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

    def check_ended(self, rows: list[Row]) -> None:
        """Check at the end that each announced end was delivered once to each of its receivers."""
        for row in rows:
            if row["job_type"] != "announce" or row["status"] != "succeeded":
                continue
            payload = blobs.get(self._saved[row["id"]]["payload"], None)
            if payload.get("webhook") is None:
                receivers = sorted(self._deliveries[row["id"]].values())
                wanted = sorted(_receivers(payload["job_type"], payload["status"]))
                self._world.figures["deliveries"] += len(receivers)
                if receivers != wanted:
                    self._report(f"{row['id']} was delivered to {receivers}, not {wanted}")

    def _note_delivery(self, row: Row) -> None:
        receiver = blobs.get(row["payload"], None)["webhook"]
        self._deliveries[row["parent_id"]][row["id"]] = receiver
        if row.get("follow_up_of") is None:
            self._report(f"delivery {row['id']} is told as the end of no job")

    def _is_new(self, row: Row) -> bool:
        """Return whether this is the first write of a follow-up. Note how it was saved."""
        return self._saved.setdefault(row["id"], row) is row

    def _check_end(self, job: Row, saved: list[Row]) -> None:
        """Check the follow-ups that were saved in the transaction of an end."""
        kinds = ("on_end", "on_failure") if job["status"] == "failed" else ("on_end",)
        wanted = [json.loads(job[kind])["job_type"] for kind in kinds if job.get(kind)]
        if wanted and job.get("follow_up_of"):
            self._report(f"follow-up {job['id']} has follow-ups itself")
        if self._has_subscriptions and not job.get("follow_up_of"):
            wanted += ["announce"] if _receivers(job["job_type"], job["status"]) else []
        self._world.figures["follow-ups"] += len(saved)
        if saved and self._world.stack:
            self._world.figures[f"ends with follow-ups in the {self._world.stack[-1].name}"] += 1
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
            yield plain(moto_items.stored("jobs", key))
