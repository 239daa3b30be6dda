"""How a leg ends when its job waits inside its function.

This module is imported only where it is needed, because most jobs don't wait.
"""

from job_runners.engine.running.ending import AttemptFailed, Ending, Leg
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.sending import next_due_at
from job_runners.store.conditional_write import Change
from job_runners.store.transactions import RaceLost
from job_runners.store.transitions import group_waits, waits
from job_runners.work.errors import WaitsSpent
from job_runners.work.interrupts import Waits
from job_runners.work.waiting import Asleep, AwaitsGroup, AwaitsSignal

MOST_WAITS = 10_000  # of one job, since it was saved or last retried manually


class Slept(Ending):
    """The job waits until a time."""

    name: str
    until: int

    def write(self, leg: Leg) -> Change:
        change = waits.sleep(
            leg.row,
            self.name,
            until=self.until,
            due_at=next_due_at(self.until, leg.send),
            reached=leg.running.last_checkpoint,
        )
        telemetry.waits(change.after)
        return change


class Waited(Ending):
    """The job waits for a signal."""

    name: str
    names: list[str]
    until: int

    def write(self, leg: Leg) -> Change:
        reached = leg.running.last_checkpoint
        try:
            change = waits.wait(leg.row, self.name, self.names, until=self.until, reached=reached)
            telemetry.waits(change.after)
        except RaceLost:  # a signal has just come
            change = waits.continue_at_once(leg.row, reached)
            telemetry.leg_over(change.after)
        return change


class Gathered(Ending):
    """The job has dispatched a group, and waits for its members."""

    signal: AwaitsGroup

    def write(self, leg: Leg) -> Change:
        gather = self.signal
        change = group_waits.gather(
            leg.row,
            gather.name,
            gather.group,
            since=gather.since,
            stop_after=gather.stop_after,
            until=gather.until,
            reached=leg.running.last_checkpoint,
        )
        telemetry.waits(change.after)
        return change


def ending_of(leg: Leg, signal: Waits) -> Ending:
    """Return the ending of a leg whose job waits."""
    if (leg.row.waits or 0) >= MOST_WAITS:
        return AttemptFailed(WaitsSpent(MOST_WAITS))
    if isinstance(signal, Asleep):
        return Slept(signal.name, signal.until)
    if isinstance(signal, AwaitsSignal):
        return Waited(signal.name, signal.names, signal.until)
    if isinstance(signal, AwaitsGroup):
        return Gathered(signal)
    raise AssertionError(f"unknown wait: {signal!r}")
