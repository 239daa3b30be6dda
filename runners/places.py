"""What a waiting job waits for, and its place among those that wait for the same."""

from typing import NamedTuple

from store import waiting
from store.job_request import JobRequest, job_id_of
from store.lines import WAITING
from store.pauses import Kind
from store.waiting import Waiting
from work.queues import WHOLE_QUEUE, Queue

LINE = "line"
JOB = "job"


class WaitsFor(NamedTuple):
    """What a waiting job waits for: a pause of its job type or queue, its turn in a line, or the
    end of another job that is the same work.

    `kind` is "job_type", "queue", "line" or "job", and `name` that of the job type or queue, or the
    id of the job; `key` says which line of the queue, and is None for the others.
    """

    kind: str
    name: str
    key: str | None = None


class Place(NamedTuple):
    """Where a job is among those that wait for the same. `ahead` is None if it does not wait.

    `of_organization` tells that only its organization's jobs are counted: organizations take turns
    there, or the caller may not count the others.
    """

    waits_for: WaitsFor | None = None
    ahead: Waiting | None = None
    of_organization: bool = False


def waits_for(row: JobRequest) -> WaitsFor | None:
    """Return what a row waits for; None for one that waits for nothing, or that only newer code
    knows what for."""
    if row.follows is not None:
        return WaitsFor(JOB, job_id_of(row.follows))
    kind, _, name = (row.held_by or "").partition("#")
    if kind in list(Kind):
        return WaitsFor(kind, name)
    if kind == LINE:
        name, _, key = name.partition("#")  # neither has a "#"
        return WaitsFor(kind, name, key)
    return None


def without_payload(found: WaitsFor | None, row: JobRequest) -> WaitsFor | None:
    """Return what a row waits for, without a key that may be a value of its payload: one that is
    neither the whole queue's nor its organisation's or campaign's."""
    if found is None or found.key in _keys_without_payload(row):
        return found
    return found._replace(key=None)


def _keys_without_payload(row: JobRequest) -> set[str]:
    asked = (row.organization_id, row.campaign_id, None)
    per = ("organization_id", "campaign_id")
    return {WHOLE_QUEUE} | {Queue(slots=1, per=each).key_of(*asked) for each in per}


def place_of(row: JobRequest, seen_by: str | None) -> Place:
    """Return where a job is among those that wait for the same, as far as a caller of the
    organization `seen_by` may know, or a service, for which it is None."""
    found = waits_for(row)
    if found is None:
        return Place()
    own_group = (row.wait_key or "").startswith(f"{WAITING}{row.organization_id}#")
    counts_own = own_group or (seen_by is not None and row.follows is None)
    return Place(found, waiting.ahead_of(row, seen_by), counts_own)
