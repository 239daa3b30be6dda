"""Find and erase all data of one organization in a stack.

A job's row is deleted last: after its files, its records and those of its line (its queue and key).
All of these are found through the row, so a run can continue an earlier one that was interrupted.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from job_runners import clock
from job_runners.erasing import files, lines
from job_runners.errors import PreconditionFailed
from job_runners.store import caller_transitions, error_groups, used_keys, webhooks
from job_runners.store.error_groups import ErrorGroup
from job_runners.store.job_request import JobRequest
from job_runners.store.schedules import schedule
from job_runners.store.schedules.schedule import Schedule
from job_runners.store.table import Table
from job_runners.store.used_keys import UsedKey
from job_runners.store.webhooks import Webhook
from job_runners.work.files import folders_of

MAX_LISTED = 10  # unfinished jobs that a message lists
_THREADS = 10
_PAGE = 100  # rows that one call reads
_MAX_PASSES = 5  # the most passes over the index, which lags behind the rows
_LAG = 1.0  # seconds between two passes
# The partitions of an organization, by kind. The records of its jobs are found through their rows.
_PARTITIONS: Mapping[str, tuple[type[Table], Callable[[str], str]]] = {
    "schedules": (Schedule, schedule.partition_of),
    "queue records": (UsedKey, used_keys.partition_of_organization),
    "failures": (ErrorGroup, error_groups.partition_of),
    "webhooks": (Webhook, webhooks.partition_of),
}
_KINDS = (
    *("schedules", "jobs", "steps", "signals", "file versions", "unfinished uploads"),
    *("queue records", "group records", "failures", "webhooks"),
)


class Organization:
    """One organization's data in a stack.

    `unfinished` has up to MAX_LISTED of the unfinished jobs, or one more if there are more.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.unfinished: list[str] = []
        self._removed = Counter(dict.fromkeys(_KINDS, 0))

    def count_jobs(self) -> int:
        """Read all jobs, set `unfinished`, and return the number of jobs."""
        return sum(len(rows) for rows in self._pages())

    def erase(self, progress: Callable[[int], None]) -> Counter[str]:
        """Erase all data, including data that was added since. Return counts by kind.

        If an unfinished job is found, stop early and set `unfinished`.
        """
        self._erase_partition("schedules")  # first, so that they dispatch no more jobs
        self._erase_jobs(progress)
        if self.unfinished:
            return self._removed
        for folder in folders_of(self.name):
            self._removed["file versions"] += files.delete_versions(folder)
            self._removed["unfinished uploads"] += files.abort_uploads(folder)
        for kind in _PARTITIONS:  # schedules again: a timer run may have written one in between
            self._erase_partition(kind)
        return self._removed

    def _erase_partition(self, kind: str) -> None:
        table, partition_of = _PARTITIONS[kind]
        self._removed[kind] += table.delete_partitions([partition_of(self.name)])

    def _erase_jobs(self, progress: Callable[[int], None]) -> None:
        """Erase all jobs. Repeat until none are left, because the index lags behind."""
        for _ in range(_MAX_PASSES):
            row_count = 0
            with ThreadPoolExecutor(_THREADS) as pool:
                for rows in self._pages():
                    if self.unfinished:
                        return
                    row_count += len(rows)
                    # before the rows, through which the lines are found
                    erased = pool.map(self._erase_line, self._lines(rows))
                    self._removed["queue records"] += sum(erased)
                    for removed in pool.map(self._erase_job, rows):
                        self._removed.update(removed)
                    progress(self._removed["jobs"])
            if not row_count:
                return
            clock.sleep(_LAG)

    def _lines(self, rows: list[JobRequest]) -> set[tuple[str, str]]:
        """Return the lines of these rows, and the organization's own lines of their queues, each as
        a queue and a key."""
        own_key = lines.own_key(self.name)
        used = {
            (row.queue_name, row.concurrency_key) for row in rows if row.concurrency_key is not None
        }
        return used | {(queue_name, own_key) for queue_name, _ in used}

    def _erase_line(self, line: tuple[str, str]) -> int:
        return lines.erase(self.name, *line)

    def _erase_job(self, row: JobRequest) -> Counter[str]:
        """Erase a finished job. Return how many records of each kind were deleted.

        If the job was retried in the meantime, the row stays, and the next pass finds the job.
        """
        removed = Counter(caller_transitions.delete_records(row))
        removed["file versions"] += sum(map(files.delete_versions, row.data_folders))
        try:
            caller_transitions.delete_row(row)
        except PreconditionFailed:
            return removed
        return removed + Counter(jobs=1)

    def _pages(self) -> Iterator[list[JobRequest]]:
        """Yield the organization's rows in pages, read consistently. Add to `unfinished`."""
        keys = iter(JobRequest.by_organization.query(self.name, page_size=_PAGE))
        while ids := [key.id for key in islice(keys, _PAGE)]:
            found = JobRequest.batch_get(ids, consistent_read=True)
            # The id of an expired job may now belong to a job of another organization.
            rows = [row for row in found if row.organization_id == self.name]
            unfinished = (row for row in rows if not row.status.finished)
            for row in islice(unfinished, MAX_LISTED + 1 - len(self.unfinished)):
                self.unfinished.append(f"{row.id} {row.job_type} {row.status}")
            yield rows
