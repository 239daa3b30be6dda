"""The entries of jobs that wait in a line. An entry and its job's row change together."""

from pynamodb.exceptions import DeleteError

import clock
from aws.errors import condition_failed
from store.job_request import JobRequest, new_id, sort_key
from store.lines import LIFETIME, WAITING, Line, LineItem, place_of


def next_entry(line: Line) -> LineItem | None:
    """Return the entry of the next job to admit: the first of the group after the one served last.

    The groups take turns. Within a group, jobs are in the order in which they were parked.
    """
    if line.first is None:
        return None
    after = f"{WAITING}{line.last_served}$"  # "$" follows "#": beyond all entries of that group
    later = LineItem.query(
        line.place, LineItem.sk.between(after, f"{WAITING[:-1]}$"), consistent_read=True, limit=1
    )
    return next(iter(later), line.first)


def new_entry(place: str, group: str, job: JobRequest, since: int) -> LineItem:
    """Return the entry of a job that is being parked in a line."""
    return _entry(place, f"{WAITING}{group}#{sort_key(since, job.id)}", job)


def entry_again(job: JobRequest) -> LineItem:
    """Return the entry that a waiting job's row names, to put it back."""
    return _entry(str(job.held_by), str(job.wait_key), job)


def _entry(place: str, sk: str, job: JobRequest) -> LineItem:
    return LineItem(
        place,
        sk,
        expires_at=(clock.now() + LIFETIME) // clock.SECOND,
        organization_id=job.organization_id,
        version=new_id(),
    )


def is_listed(job: JobRequest) -> bool:
    """Return whether the entry exists that a waiting job's row names."""
    entry = LineItem.query(
        str(job.held_by), LineItem.sk == job.wait_key, consistent_read=True, limit=1
    )
    return next(iter(entry), None) is not None


def count_waiting(queue_name: str, queue_key: str, most: int) -> int:
    """Return how many jobs wait in a line, counted up to `most`.

    Each 40 to 80 entries cost one read unit. Entries of the last moment may be missing.
    """
    place = place_of(queue_name, queue_key)
    return LineItem.count_up_to(most, place, LineItem.sk.startswith(WAITING))


def drop_entry(entry: LineItem) -> None:
    """Delete an entry whose job doesn't wait under it, unless the job has been parked again
    since."""
    try:
        entry.delete(LineItem.version == entry.version)
    except DeleteError as error:
        if not condition_failed(error):
            raise
