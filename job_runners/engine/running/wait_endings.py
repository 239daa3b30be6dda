"""How an invocation ends when its job waits inside its function.

This module is imported only where it is needed, because most jobs don't wait.
"""

from job_runners.engine.running.ending import ClaimedJob, Ending, FailureEnding
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.sending import next_due_at
from job_runners.store.conditional_write import Change
from job_runners.store.transactions import RaceLost
from job_runners.store.transitions import group_waits, waits
from job_runners.work.errors import WaitsSpent
from job_runners.work.interrupts import WaitInterrupt
from job_runners.work.waiting import GroupWaitInterrupt, SignalWaitInterrupt, SleepInterrupt

MOST_WAITS = 10_000  # of one job, since it was saved or last retried manually


class SleepEnding(Ending):
    """The job waits until a time."""

    name: str
    until: int

    def write(self, claimed: ClaimedJob) -> Change:
        change = waits.sleep(
            claimed.row,
            self.name,
            until=self.until,
            due_at=next_due_at(self.until, claimed.send),
            checkpoint=claimed.running.last_checkpoint,
        )
        telemetry.waits(change.after)
        return change


class SignalWaitEnding(Ending):
    """The job waits for a signal."""

    name: str
    names: list[str]
    until: int

    def write(self, claimed: ClaimedJob) -> Change:
        checkpoint = claimed.running.last_checkpoint
        try:
            change = waits.wait(
                claimed.row, self.name, self.names, until=self.until, checkpoint=checkpoint
            )
            telemetry.waits(change.after)
        except RaceLost:  # a signal has just come
            change = waits.continue_at_once(claimed.row, checkpoint)
            telemetry.invocation_over(change.after)
        return change


class GroupWaitEnding(Ending):
    """The job has dispatched a group, and waits for its members."""

    signal: GroupWaitInterrupt

    def write(self, claimed: ClaimedJob) -> Change:
        gather = self.signal
        change = group_waits.gather(
            claimed.row,
            gather.name,
            gather.group,
            since=gather.since,
            stop_after=gather.stop_after,
            until=gather.until,
            checkpoint=claimed.running.last_checkpoint,
        )
        telemetry.waits(change.after)
        return change


def ending_of(claimed: ClaimedJob, signal: WaitInterrupt) -> Ending:
    """Return the ending of an invocation whose job waits."""
    if (claimed.row.wait_count or 0) >= MOST_WAITS:
        return FailureEnding(WaitsSpent(MOST_WAITS))
    if isinstance(signal, SleepInterrupt):
        return SleepEnding(signal.name, signal.until)
    if isinstance(signal, SignalWaitInterrupt):
        return SignalWaitEnding(signal.name, signal.names, signal.until)
    if isinstance(signal, GroupWaitInterrupt):
        return GroupWaitEnding(signal)
    raise AssertionError(f"unknown wait: {signal!r}")
