"""Assign contacts in two passes: count the contacts of each texter, then deal out the unassigned
contacts.

Both passes read the contacts in the order of their phone numbers, so the cursor is the last phone
number and some counts. A run (one job, over all of its invocations) writes its name into its
assignments. A later invocation of the same run ignores these in the first pass, and counts them as
its own in the second. So it counts and deals exactly as the earlier invocation did, no matter where
the earlier one ended, and even if the earlier one is still running.
"""

import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

from job_runners.shipped.campaigns import assignment, contact_queries
from job_runners.shipped.campaigns.assigning.texter_quotas import TexterQuotas
from job_runners.shipped.campaigns.assignment import Assignment
from job_runners.shipped.campaigns.bucket_keys import campaign_of
from job_runners.shipped.campaigns.contact import organization_campaign
from job_runners.shipped.campaigns.throttled_writer import ThrottledWriter
from job_runners.work.running_job import RunningJob

# Number of contacts in memory at a time. After an interruption, the work on them may be repeated.
CHUNK = 1000
# Each assignment is a conditional write, which a batch can't contain. This number of threads keeps
# one processor busy, and stays below a DynamoDB partition's 1,000 writes per second.
_THREADS = 8
_COUNTING_SHARE = 20  # the first pass's share of the progress, in percent


class _Choice(NamedTuple):
    cell: str
    texter_index: int  # in the list of texters


class Assigning:
    """A run that continues at the job's cursor.

    `texters` has each texter's maximum number of contacts by id, or None if there is no maximum.
    """

    def __init__(self, job: RunningJob, texters: Mapping[str, int | None]) -> None:
        self._job = job
        self._campaign = organization_campaign(job.organization_id, campaign_of(job))
        self._ids = list(texters)
        self._index_of = {texter: index for index, texter in enumerate(self._ids)}
        zeros = [0] * len(texters)
        cursor = job.cursor or {"run": uuid.uuid4().hex, "kept": zeros, "dealt": zeros}
        self._run = cursor["run"]
        self._quotas = TexterQuotas(list(texters.values()), cursor["kept"], cursor["dealt"])
        self._last_cell: str | None = cursor.get("last")
        self._read_count, self._unassigned_count = cursor.get("counts", (0, 0))
        # The number of contacts, or None until the first pass has ended.
        self._contacts: int | None = cursor.get("contacts")

    def run(self) -> dict[str, Any]:
        """Do the remaining work, and return the job's result."""
        self._checkpoint(durable=True)  # the run's name must be saved before it assigns anything
        if self._contacts is None:
            self._count()
        with ThrottledWriter(_THREADS, self._job.time_left) as writer:
            self._deal(writer)
        assigned = sum(self._quotas.dealt)
        counts = zip(self._ids, self._quotas.kept, self._quotas.dealt, strict=True)
        return {
            "contacts": self._read_count,
            "assigned": assigned,
            "kept": self._read_count - assigned - self._unassigned_count,
            "unassigned": self._unassigned_count,
            "texters": {
                texter: {"kept": kept, "assigned": dealt} for texter, kept, dealt in counts
            },
        }

    def _count(self) -> None:
        for cell, found in contact_queries.assignments(self._campaign, self._last_cell):
            if found is not None and found.run != self._run:
                self._count_kept(found)
            self._advance(cell)
            if self._read_count % CHUNK == 0:
                self._checkpoint()
        self._contacts, self._read_count, self._last_cell = self._read_count, 0, None
        self._checkpoint()

    def _deal(self, writer: ThrottledWriter) -> None:
        choices: list[_Choice] = []
        for cell, found in contact_queries.assignments(self._campaign, self._last_cell):
            if found is None:
                index = self._quotas.deal()
                if index is None:
                    self._unassigned_count += 1
                else:
                    choices.append(_Choice(cell, index))
            elif found.run == self._run:
                self._quotas.dealt[self._index_of[found.texter]] += 1
            self._advance(cell)
            if self._read_count % CHUNK == 0:
                self._assign(choices, writer)
                self._checkpoint()
                choices = []
        self._assign(choices, writer)
        if choices:
            self._checkpoint()

    def _assign(self, choices: list[_Choice], writer: ThrottledWriter) -> None:
        already_assigned: list[tuple[_Choice, Assignment]] = []

        def write(choice: _Choice) -> None:
            texter = self._ids[choice.texter_index]
            found = assignment.assign(self._campaign, choice.cell, texter, self._run)
            if found is not None:
                already_assigned.append((choice, found))

        writer.each(write, choices)
        for choice, found in already_assigned:
            self._quotas.take_back(choice.texter_index)
            if found.run == self._run:
                self._quotas.dealt[self._index_of[found.texter]] += 1
            else:
                self._count_kept(found)

    def _count_kept(self, found: Assignment) -> None:
        index = self._index_of.get(found.texter)
        if index is not None:
            self._quotas.kept[index] += 1

    def _advance(self, cell: str) -> None:
        self._last_cell = cell
        self._read_count += 1

    def _checkpoint(self, *, durable: bool = False) -> None:
        cursor = {
            "run": self._run,
            "kept": self._quotas.kept,
            "dealt": self._quotas.dealt,
            "last": self._last_cell,
            "counts": [self._read_count, self._unassigned_count],
            "contacts": self._contacts,
        }
        if self._contacts is None:
            message, progress = f"{self._read_count:,} contacts counted", 0.0
        else:
            done = self._read_count / max(1, self._contacts)
            progress = _COUNTING_SHARE + (100 - _COUNTING_SHARE) * min(1.0, done)
            message = f"{sum(self._quotas.dealt):,} of {self._contacts:,} contacts assigned"
        self._job.checkpoint(cursor, progress=progress, message=message, durable=durable)
