"""Count the jobs that wait in a line or under a pause, up to a bound, for display.

No decision depends on it, because it may be a second old.
"""

from collections.abc import Iterable
from typing import Any

from pynamodb.expressions.condition import Condition

from frozen_values import Value
from store.job_request import JobRequest
from store.lines import WAITING, LineItem
from store.pauses import Parked

COUNTED = 1000  # the most entries that are read, of any number


class Waiting(Value):
    """A number of waiting jobs, counted up to COUNTED. `more` is True if there are more.

    `oldest` is when the first of the counted jobs began to wait, in milliseconds since 1970, or
    None.
    """

    count: int = 0
    more: bool = False
    oldest: int | None = None


def in_line(place: str, organization_id: str | None = None, group: str | None = None) -> Waiting:
    """Count the jobs that wait in a line.

    With `organization_id`, only its jobs are counted, among the first COUNTED of all jobs. Pass
    `group` if the line has a group for the organization: they are then the first COUNTED of that
    group.
    """
    found = _first(
        LineItem,
        place,
        LineItem.sk.startswith(f"{WAITING}{group}#" if group else WAITING),
        ["sk", "organization_id"],
    )
    since = [
        entry.waiting_since
        for entry in found[:COUNTED]
        if organization_id in (None, entry.organization_id)
    ]
    return _waiting(since, len(found) > COUNTED)


def under_pause(pause: str) -> Waiting:
    """Count the jobs that a pause has parked. `pause` is their `held_by`."""
    found = _first(Parked, f"held#{pause}", None, ["since"])
    return _waiting([entry.since for entry in found[:COUNTED]], len(found) > COUNTED)


def ahead_of(job: JobRequest, organization_id: str | None = None) -> Waiting:
    """Count the jobs ahead of a waiting job in its line or under its pause.

    A follower has none. In a line whose groups take turns, only jobs of its own group are counted.
    With `organization_id`, only its jobs are counted, among the first COUNTED of all.
    """
    if job.follows is not None:
        return Waiting()
    model: Any = Parked
    up_to_it: Condition
    place, up_to_it = f"held#{job.held_by}", Parked.sk <= job.created_key
    if job.wait_key is not None:
        first = f"{job.wait_key.rpartition('#')[0]}#"
        model, place, up_to_it = (
            LineItem,
            str(job.held_by),
            LineItem.sk.between(first, job.wait_key),
        )
    most = COUNTED + 2  # the last one is the job itself, if it is listed
    if organization_id is None:
        ahead = model.count_up_to(most, place, up_to_it) - 1
        return Waiting(max(0, min(ahead, COUNTED)), ahead > COUNTED)
    found = list(model.query(place, up_to_it, limit=most, attributes_to_get=["organization_id"]))
    own = [each.organization_id == organization_id for each in found[:-1][:COUNTED]]
    return Waiting(sum(own), len(found) == most)


def _first(model: Any, place: str, condition: Any, attributes: list[str]) -> list[Any]:
    return list(model.query(place, condition, limit=COUNTED + 1, attributes_to_get=attributes))


def _waiting(since: Iterable[int], more: bool) -> Waiting:
    times = list(since)
    return Waiting(len(times), more, min(times, default=None))
