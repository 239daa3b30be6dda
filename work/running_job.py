"""The job as the function that does it sees it: who it is for, where it left off, how to report."""

import json
from typing import Any

from errors import PreconditionFailed
from store import blobs, clock, verbs
from store.job_request import JobRequest
from work.alarm import held
from work.signals import ClaimLost, LegOver, TimeOver
from work.time_budget import TimeBudget

# Writes of a job that checkpoints all the time: soon at first, so that a short job is seen to
# move, then further apart, but never more than 5 s of work unsaved.
_FIRST_GAP = 500
_WIDEST_GAP = 5 * clock.SECOND


class RunningJob:
    """What a job function is handed.

    `cursor` is what the last written checkpoint of an earlier leg or attempt left (None at first).
    """

    def __init__(self, row: JobRequest, budget: TimeBudget, *, has_next_leg: bool = True) -> None:
        self._row = row
        self._budget = budget
        self._has_next_leg = has_next_leg
        self._gap = _FIRST_GAP
        self._written_at = 0
        self.cursor: Any = row.cursor
        self.progress: int = row.progress
        self.message: str | None = row.result_message

    @property
    def id(self) -> str:
        """The job's id, the same in every attempt."""
        return self._row.id

    @property
    def organization_id(self) -> str:
        """Whose job it is: everything it reads and writes belongs to this organisation."""
        return self._row.organization_id

    @property
    def campaign_id(self) -> str | None:
        """The campaign it was dispatched for, if any."""
        return self._row.campaign_id

    @property
    def attempt(self) -> int:
        """Which try this is, counted from 1."""
        return self._row.attempt

    @property
    def last_attempt(self) -> bool:
        """Whether no attempt is left after this one, so that failing now is final."""
        return self._row.attempt >= self._row.max_attempts

    @property
    def leg(self) -> int:
        """How often the job has been claimed so far, this time included."""
        return self._row.legs

    @property
    def reached(self) -> verbs.Reached:
        """What the last checkpoint said, written or not."""
        return verbs.Reached(self.cursor, self.progress, self.message)

    def time_left(self) -> float:
        """Seconds until the job is interrupted: by its timeout, or shortly before this invocation
        ends."""
        return self._budget.left()

    def checkpoint(
        self, cursor: Any = None, *, progress: float | None = None, message: str | None = None
    ) -> None:
        """Everything before `cursor` is done: resume from here if this leg or attempt ends.

        `cursor` is JSON and small, else TypeError or ValueError; `progress` is 0 to 100 and never
        goes back; `message` is for the person who waits. Call it as often as you like: writes are
        spaced out (at most 5 s apart), so work since the last written checkpoint may be repeated.
        When this invocation's time is nearly over it does not return: the job goes on from `cursor`
        in another (its next leg).
        """
        self._budget.step()
        if self._budget.left() == 0:
            raise TimeOver  # in a thread no alarm rings
        if cursor is not None:
            # As it will be read again, and apart from what the job does to its own copy.
            self.cursor = json.loads(blobs.canonical(cursor))
        if progress is not None:
            self.progress = max(self.progress, min(100, int(progress)))
        if message is not None:
            self.message = message
        if self._has_next_leg and self.cursor is not None and self._budget.leg_over():
            raise LegOver
        if clock.now() - self._written_at >= self._gap:
            self._write()

    def _write(self) -> None:
        try:
            with held():
                verbs.checkpoint(self._row, self.reached)
        except PreconditionFailed as refused:
            raise ClaimLost(str(refused)) from refused
        if self._written_at:
            self._gap = min(_WIDEST_GAP, self._gap * 2)
        self._written_at = clock.now()
