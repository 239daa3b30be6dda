"""The entries of the jobs that wait in a line.

A *line* consists of the waiting jobs of a queue that share a concurrency key. Each of them has an
*entry*, an item that sorts by the job's position. An entry and its job's row change in one
transaction. The entries may be in *groups*, one for each organization, which take turns.
"""

from job_runners import clock
from job_runners.aws.errors import try_write
from job_runners.store.job_request import JobRequest, new_id, sort_key
from job_runners.store.line_items import LIFETIME, WAITING, LineItem
from job_runners.store.lines import Line, partition_key_of


def next_entry(line: Line) -> LineItem | None:
    """Return the entry of the next job to admit, or None if no job waits.

    The next group is the one that sorts after the group that was served last, or the first one if
    that was the last. Within a group, jobs are in the order in which they were held.
    """
    if line.first is None:
        return None
    # The sort key of an entry is f"{WAITING}{group}#...", and WAITING ends in "#". "$" comes right
    # after "#", so these keys sort right after all entries of the group, and of the line.
    after_group = f"{WAITING}{line.last_served}$"
    after_all = f"{WAITING.removesuffix('#')}$"
    later = LineItem.query(
        line.partition_key,
        LineItem.sk.between(after_group, after_all),
        consistent_read=True,
        limit=1,
    )
    return next(iter(later), line.first)


def new_entry(partition_key: str, group: str, job: JobRequest, since: int) -> LineItem:
    """Return an entry for a job that is about to be held.

    The entries of a group are sorted by `since`, the time at which the job is held.
    """
    return _entry(partition_key, f"{WAITING}{group}#{sort_key(since, job.id)}", job)


def entry_from_row(job: JobRequest) -> LineItem:
    """Return a new copy of the entry that a waiting job's row names, to restore the entry."""
    return _entry(str(job.held_by), str(job.wait_key), job)


def _entry(partition_key: str, sk: str, job: JobRequest) -> LineItem:
    return LineItem(
        partition_key,
        sk,
        expires_at=clock.expiry(LIFETIME),
        organization_id=job.organization_id,
        version=new_id(),
    )


def has_entry(job: JobRequest) -> bool:
    """Return whether the entry that a waiting job's row names exists."""
    entries = LineItem.query(
        str(job.held_by), LineItem.sk == job.wait_key, consistent_read=True, limit=1
    )
    return next(iter(entries), None) is not None


def count_waiting(queue_name: str, concurrency_key: str, limit: int) -> int:
    """Count the jobs that wait in a line, up to `limit`.

    The read isn't consistent, so the latest changes may be missing. It costs one read unit for each
    40 to 80 entries.
    """
    partition_key = partition_key_of(queue_name, concurrency_key)
    return LineItem.count_up_to(limit, partition_key, LineItem.sk.startswith(WAITING))


def drop_entry(entry: LineItem) -> None:
    """Delete an entry whose job no longer waits, unless a newer entry has replaced it."""
    try_write(lambda: entry.delete(LineItem.version == entry.version))
