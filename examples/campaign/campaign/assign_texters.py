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
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from heapq import heapify, heappop, heappush, heapreplace
from typing import Annotated, Any, NamedTuple

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


class _Choice(NamedTuple):
    cell: str
    texter_index: int  # in the list of texters


class _Assigning:
    """A run that continues at the job's cursor.

    `texters` has each texter's maximum number of contacts by id, or None if there is no maximum.
    """

    def __init__(self, job: RunningJob, campaign: str, texters: Mapping[str, int | None]) -> None:
        self._job = job
        self._campaign = campaign
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
        with ThreadPoolExecutor(_THREADS) as pool:
            self._deal(pool)
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
        for cell, found in assignments(self._campaign, self._last_cell):
            if found is not None and found.run != self._run:
                self._count_kept(found)
            self._advance(cell)
            if self._read_count % CHUNK == 0:
                self._checkpoint()
        self._contacts, self._read_count, self._last_cell = self._read_count, 0, None
        self._checkpoint()

    def _deal(self, pool: Executor) -> None:
        choices: list[_Choice] = []
        for cell, found in assignments(self._campaign, self._last_cell):
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
                self._assign(choices, pool)
                self._checkpoint()
                choices = []
        self._assign(choices, pool)
        if choices:
            self._checkpoint()

    def _assign(self, choices: list[_Choice], pool: Executor) -> None:
        def write(choice: _Choice) -> Assignment | None:
            return assign(self._campaign, choice.cell, self._ids[choice.texter_index], self._run)

        for choice, found in zip(choices, pool.map(write, choices), strict=True):
            if found is None:
                continue
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


class TexterQuotas:
    """The numbers of contacts that each texter has: `kept` from before, and `dealt` in this run.

    A texter is identified by its index in these lists. `limits` has the most contacts that each
    texter may have, `kept` and `dealt` together, or None for no limit.
    """

    def __init__(self, limits: Sequence[int | None], kept: list[int], dealt: list[int]) -> None:
        self._limits = [math.inf if each is None else each for each in limits]
        self.kept, self.dealt = list(kept), list(dealt)
        # A heap of counts and texters. A count may be outdated: `deal` corrects it when it comes
        # first.
        self._heap = [(self._count(index), index) for index in range(len(self._limits))]
        heapify(self._heap)

    def deal(self) -> int | None:
        """Give the next contact to the first texter with the fewest. Return the texter's index.

        Return None if all texters have their maximum.
        """
        while self._heap:
            old_count, index = self._heap[0]
            count = self._count(index)
            if count >= self._limits[index]:
                heappop(self._heap)
            elif count != old_count:
                heapreplace(self._heap, (count, index))
            else:
                self.dealt[index] += 1
                return index
        return None

    def take_back(self, index: int) -> None:
        """Undo the deal of a contact that already has a texter."""
        self.dealt[index] -= 1
        heappush(self._heap, (self._count(index), index))

    def _count(self, index: int) -> int:
        return self.kept[index] + self.dealt[index]
