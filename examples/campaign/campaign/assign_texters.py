"""Split a campaign's contacts evenly between its texters, and keep existing assignments.

First count the contacts of each texter, then deal out the unassigned contacts.

Both passes read the contacts in the order of their phone numbers, so the cursor is the last phone
number and some counts. A run (one job, over all of its invocations) writes its name into its
assignments. A later invocation of the same run ignores these in the first pass, and counts them as
its own in the second. So it counts and deals exactly as the earlier invocation did, no matter where
the earlier one ended, and even if the earlier one is still running.
"""

import math
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from heapq import heapify, heappop, heappush
from itertools import islice
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from campaign.contacts import (
    Assignment,
    CampaignId,
    assign,
    assignments,
    organization_campaign,
)
from job_runners.work import RunningJob

# Number of contacts in memory at a time. After an interruption, the work on them may be repeated.
CHUNK = 1000
# Each assignment is a conditional write, which a batch can't contain. This number of threads keeps
# one processor busy, and stays below a DynamoDB partition's 1,000 writes per second.
_THREADS = 8
_COUNTING_SHARE = 20  # the first pass's share of the progress, in percent

_Chunk = list[tuple[str, Assignment | None]]


class Texter(BaseModel):
    """A person who texts for the campaign."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, StringConstraints(pattern=r"^\S{1,100}$")] = Field(
        description="The texter's id in your own system, without spaces.", examples=["ada"]
    )
    max_contacts: Annotated[int, Field(ge=0, le=10_000_000)] | None = Field(
        default=None,
        description="The highest number of the campaign's contacts that the texter may have, "
        "including earlier ones. A texter who already has more keeps them, and gets no new ones.",
        examples=[500],
    )


class AssignTexters(BaseModel):
    """The texters of a campaign."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "campaign": "spring",
                    "texters": [{"id": "ada"}, {"id": "grace", "max_contacts": 500}],
                }
            ]
        },
    )

    campaign: CampaignId
    texters: Annotated[list[Texter], Field(min_length=1, max_length=1000)] = Field(
        description="The texters, each at most once.", examples=[[{"id": "ada"}]]
    )

    @field_validator("texters")
    @classmethod
    def _check_each_once(cls, texters: list[Texter]) -> list[Texter]:
        first: dict[str, int] = {}
        for number, texter in enumerate(texters, start=1):
            if first.setdefault(texter.id, number) != number:
                raise ValueError(f"number {number} has the id of number {first[texter.id]}")
        return texters


def assign_texters(job: RunningJob, payload: AssignTexters) -> dict[str, Any]:
    """Assign every contact without a texter to the texter with the fewest contacts.

    Earlier assignments stay, even those to texters who aren't listed. Interruptions don't change
    the result: contacts get the same texters as in an uninterrupted run.
    """
    texters = {texter.id: texter.max_contacts for texter in payload.texters}
    campaign = organization_campaign(job.organization_id, payload.campaign)
    return _Assigning(job, campaign, texters).run()


class _Assigning:
    """A run that continues at the job's cursor.

    `texters` has each texter's maximum number of contacts by id, or None if there is no maximum.
    `_kept` and `_dealt` have the number of each texter's contacts: those from before, and those
    that this run has dealt.
    """

    def __init__(self, job: RunningJob, campaign: str, texters: Mapping[str, int | None]) -> None:
        self._job = job
        self._campaign = campaign
        self._ids = list(texters)
        self._index_of = {texter: index for index, texter in enumerate(self._ids)}
        self._limits = [math.inf if limit is None else limit for limit in texters.values()]
        zeros = [0] * len(texters)
        cursor = job.cursor or {"run": uuid.uuid4().hex, "kept": zeros, "dealt": zeros}
        self._run = cursor["run"]
        self._kept, self._dealt = [*cursor["kept"]], [*cursor["dealt"]]
        self._last_cell: str | None = cursor.get("last")
        self._read_count, self._unassigned_count = cursor.get("counts", (0, 0))
        # The number of contacts, or None until the first pass has ended.
        self._contacts: int | None = cursor.get("contacts")

    def run(self) -> dict[str, Any]:
        """Do the remaining work, and return the job's result."""
        self._checkpoint(durable=True)  # the run's name must be saved before it assigns anything
        if self._contacts is None:
            self._count()
        with ThreadPoolExecutor(_THREADS) as pool:
            for chunk in self._chunks():
                self._deal(chunk, pool)
                self._advance(chunk)
        assigned = sum(self._dealt)
        counts = zip(self._ids, self._kept, self._dealt, strict=True)
        return {
            "contacts": self._read_count,
            "assigned": assigned,
            "kept": self._read_count - assigned - self._unassigned_count,
            "unassigned": self._unassigned_count,
            "texters": {
                texter: {"kept": kept, "assigned": dealt} for texter, kept, dealt in counts
            },
        }

    def _chunks(self) -> Iterator[_Chunk]:
        remaining = assignments(self._campaign, self._last_cell)
        return iter(lambda: list(islice(remaining, CHUNK)), [])

    def _count(self) -> None:
        for chunk in self._chunks():
            for _, found in chunk:
                if found is not None and found.run != self._run:
                    self._add(found)
            self._advance(chunk)
        self._contacts, self._read_count, self._last_cell = self._read_count, 0, None
        self._checkpoint()

    def _deal(self, chunk: _Chunk, pool: Executor) -> None:
        """Assign each contact of the chunk that has no texter to the texter with the fewest."""
        counts = map(sum, zip(self._kept, self._dealt, strict=True))
        heap = [(count, index) for index, count in enumerate(counts) if count < self._limits[index]]
        heapify(heap)
        choices: list[tuple[str, int]] = []  # contacts, and the indexes of their texters
        for cell, found in chunk:
            if found is not None and found.run != self._run:
                continue
            # If an earlier invocation of this run has assigned the contact, it chose the same
            # texter, who must count before the next contact is dealt.
            index = self._take_next(heap)
            if found is not None:
                self._add(found)
            elif index is None:
                self._unassigned_count += 1
            else:
                choices.append((cell, index))

        def write(choice: tuple[str, int]) -> Assignment | None:
            cell, index = choice
            return assign(self._campaign, cell, self._ids[index], self._run)

        for (_, index), found in zip(choices, pool.map(write, choices), strict=True):
            if found is None:
                self._dealt[index] += 1
            else:
                self._add(found)

    def _take_next(self, heap: list[tuple[int, int]]) -> int | None:
        """Return the first texter with the fewest contacts, and count one more contact in the heap.

        Return None if all texters have their maximum.
        """
        if not heap:
            return None
        count, index = heappop(heap)
        if count + 1 < self._limits[index]:
            heappush(heap, (count + 1, index))
        return index

    def _add(self, found: Assignment) -> None:
        """Count an assignment."""
        index = self._index_of.get(found.texter)
        if index is not None:
            counts = self._dealt if found.run == self._run else self._kept
            counts[index] += 1

    def _advance(self, chunk: _Chunk) -> None:
        self._last_cell, _ = chunk[-1]
        self._read_count += len(chunk)
        self._checkpoint()

    def _checkpoint(self, *, durable: bool = False) -> None:
        cursor = {
            "run": self._run,
            "kept": self._kept,
            "dealt": self._dealt,
            "last": self._last_cell,
            "counts": [self._read_count, self._unassigned_count],
            "contacts": self._contacts,
        }
        if self._contacts is None:
            message, progress = f"{self._read_count:,} contacts counted", 0.0
        else:
            done = self._read_count / max(1, self._contacts)
            progress = _COUNTING_SHARE + (100 - _COUNTING_SHARE) * min(1.0, done)
            message = f"{sum(self._dealt):,} of {self._contacts:,} contacts assigned"
        self._job.checkpoint(cursor, progress=progress, message=message, durable=durable)
