"""Find and erase all data of one organization in a stack.

A job's row is deleted last: after its files, its records and those of its line (its queue and key).
All of these are found through the row, so a run can continue an earlier one that was interrupted.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from itertools import islice
from pkgutil import walk_packages

from job_runners import clock, store
from job_runners.erasing import files
from job_runners.errors import PreconditionFailed
from job_runners.store import caller_transitions, line_erasing
from job_runners.store.job_request import JobRequest
from job_runners.store.table import CoordinationItem, Table
from job_runners.work.files import folders_of
from job_runners.work.queues import Queue

MAX_LISTED = 10  # unfinished jobs that a message lists
_THREADS = 10
_PAGE = 100  # rows that one call reads
_MAX_PASSES = 5  # the most passes over the index, which lags behind the rows
_LAG = 1.0  # seconds between two passes
_OF_JOBS = ("jobs", "steps", "signals", "file versions", "unfinished uploads", "group records")


def _partitions(organization_id: str) -> Iterator[tuple[type[Table], str]]:
    """Ask each module of the store for the partitions that hold only this organization's items.

    The records of its jobs are found through their rows.
    """
    for module in walk_packages(store.__path__, f"{store.__name__}."):
        import_module(module.name)
    for table in CoordinationItem.__subclasses__():
        if table.partition_of is not None:
            yield table, table.partition_of(organization_id)


class Organization:
    """One organization's data in a stack.

    `unfinished` has up to MAX_LISTED of the unfinished jobs, or one more if there are more.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.unfinished: list[str] = []
        # its key in a queue whose keys are organizations
        self._own_key = Queue(slots=1, per="organization_id").key_of(name, {})
        self._partitions = list(_partitions(name))
        kinds = (*_OF_JOBS, *(table.counted_as for table, _ in self._partitions))
        self._removed = Counter(dict.fromkeys(kinds, 0))

    def count_jobs(self) -> int:
        """Read all jobs, set `unfinished`, and return the number of jobs."""
        return sum(len(rows) for rows in self._pages())

    def erase(self, progress: Callable[[int], None]) -> Counter[str]:
        """Erase all data, including data that was added since. Return counts by kind.

        If an unfinished job is found, stop early and set `unfinished`.
        """
        self._erase_partitions("schedules")  # first, so that they dispatch no more jobs
        self._erase_jobs(progress)
        if self.unfinished:
            return self._removed
        for folder in folders_of(self.name):
            self._removed["file versions"] += files.delete_versions(folder)
            self._removed["unfinished uploads"] += files.abort_uploads(folder)
        # schedules again: a timer run may have written one in between
        self._erase_partitions(*(table.counted_as for table, _ in self._partitions))
        return self._removed

    def _erase_partitions(self, *kinds: str) -> None:
        for table, partition in self._partitions:
            if table.counted_as in kinds:
                self._removed[table.counted_as] += table.delete_partitions([partition])

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
        used = {
            (row.queue_name, row.concurrency_key) for row in rows if row.concurrency_key is not None
        }
        return used | {(queue_name, self._own_key) for queue_name, _ in used}

    def _erase_line(self, line: tuple[str, str]) -> int:
        return line_erasing.erase(self.name, *line, self._own_key)

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
