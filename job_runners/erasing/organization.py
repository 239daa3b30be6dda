"""Find and erase all data of one organization in a stack.

A job's row in the jobs table leads to the job's other data: its files, its records in the other
table, and the records of its *waiting line*, the waiting jobs of one queue and concurrency key. The
row is deleted last, so that a later run can continue an interrupted one.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
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

MAX_LISTED = 10  # a message lists at most this many unfinished jobs
_THREADS = 10
_PAGE_SIZE = 100  # rows per read
# DynamoDB updates the index of an organization's jobs a little later than the rows, so the index is
# read several times.
_MAX_PASSES = 5
_SECONDS_BETWEEN_PASSES = 1.0
# `erase` counts what it deletes by kind. These kinds belong to jobs; each other kind is a model.
_JOB_KINDS = ("jobs", "steps", "signals", "file versions", "unfinished uploads", "group records")


def _organization_partitions(organization_id: str) -> Iterator[tuple[type[Table], str]]:
    """Yield the DynamoDB partitions of this organization, each as a model and a partition key.

    They don't contain the items of jobs, which are found through the jobs' rows.
    """
    # The subclasses of CoordinationItem are the models of all imported modules, so import all.
    for module in walk_packages(store.__path__, f"{store.__name__}."):
        import_module(module.name)
    for model in CoordinationItem.__subclasses__():
        if model.partition_of is not None:
            yield model, model.partition_of(organization_id)


class Organization:
    """One organization's data in a stack.

    `unfinished` describes up to MAX_LISTED unfinished jobs, plus one if there are more.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.unfinished: list[str] = []
        # the concurrency key of its jobs in queues with limits per organization
        self._concurrency_key = Queue(slots=1, per="organization_id").key_of(name, {})
        self._partitions = list(_organization_partitions(name))
        self._partition_kinds = [model.counted_as for model, _ in self._partitions]
        self._counts = Counter(dict.fromkeys([*_JOB_KINDS, *self._partition_kinds], 0))

    def count_jobs(self) -> int:
        """Read all jobs, set `unfinished`, and return the number of jobs."""
        return sum(len(rows) for rows in self._pages())

    def erase(self, progress: Callable[[int], None]) -> Counter[str]:
        """Erase all data, including data added since `count_jobs`. Return counts by kind.

        `progress` is called with the number of erased jobs. If a job is unfinished, stop early and
        set `unfinished`.
        """
        self._erase_partitions(["schedules"])  # first, so that they dispatch no more jobs
        self._erase_jobs(progress)
        if self.unfinished:
            return self._counts
        for folder in folders_of(self.name):
            self._counts["file versions"] += files.delete_versions(folder)
            self._counts["unfinished uploads"] += files.abort_uploads(folder)
        # Erase schedules again, because a timer run may have written one in the meantime.
        self._erase_partitions(self._partition_kinds)
        return self._counts

    def _erase_partitions(self, kinds: Iterable[str]) -> None:
        for model, partition in self._partitions:
            if model.counted_as in kinds:
                self._counts[model.counted_as] += model.delete_partitions([partition])

    def _erase_jobs(self, progress: Callable[[int], None]) -> None:
        """Erase all jobs, in passes over the index, until it has none left."""
        for _ in range(_MAX_PASSES):
            row_count = 0
            with ThreadPoolExecutor(_THREADS) as pool:
                for rows in self._pages():
                    if self.unfinished:
                        return
                    row_count += len(rows)
                    # Erase lines before rows, because only the rows lead to their lines.
                    line_counts = pool.map(self._erase_line, self._lines_of(rows))
                    self._counts["queue records"] += sum(line_counts)
                    for job_counts in pool.map(self._erase_job, rows):
                        self._counts.update(job_counts)
                    progress(self._counts["jobs"])
            if row_count == 0:
                return
            clock.sleep(_SECONDS_BETWEEN_PASSES)

    def _lines_of(self, rows: list[JobRequest]) -> set[tuple[str, str]]:
        """Return the waiting lines in which these jobs may have left records.

        A line is a tuple of a queue's name and a concurrency key. For each queue, they include the
        line whose key stands for this organization.
        """
        lines = set()
        for row in rows:
            if row.concurrency_key is not None:
                lines.add((row.queue_name, row.concurrency_key))
                lines.add((row.queue_name, self._concurrency_key))
        return lines

    def _erase_line(self, line: tuple[str, str]) -> int:
        queue_name, concurrency_key = line
        return line_erasing.erase(self.name, queue_name, concurrency_key, self._concurrency_key)

    def _erase_job(self, row: JobRequest) -> Counter[str]:
        """Erase a finished job. Return the number of deleted records by kind.

        If the job was retried in the meantime, its row stays, so that the next pass finds it.
        """
        counts = Counter(caller_transitions.delete_records(row))
        counts["file versions"] += sum(map(files.delete_versions, row.data_folders))
        try:
            caller_transitions.delete_row(row)
        except PreconditionFailed:
            return counts
        counts["jobs"] = 1
        return counts

    def _pages(self) -> Iterator[list[JobRequest]]:
        """Yield pages of the organization's rows, and add unfinished jobs to `unfinished`."""
        index_rows = iter(JobRequest.by_organization.query(self.name, page_size=_PAGE_SIZE))
        while ids := [index_row.id for index_row in islice(index_rows, _PAGE_SIZE)]:
            current_rows = JobRequest.batch_get(ids, consistent_read=True)
            # An expired job's id may now belong to another organization's job.
            rows = [row for row in current_rows if row.organization_id == self.name]
            for row in rows:
                if not row.status.finished and len(self.unfinished) <= MAX_LISTED:
                    self.unfinished.append(f"{row.id} {row.job_type} {row.status}")
            yield rows
