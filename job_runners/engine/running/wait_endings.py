"""Record the end of an invocation whose job waits: for a time, a signal or a group of jobs.

Other modules import this one inside functions, because most jobs don't wait.
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

MAX_WAITS = 10_000  # per job, since it was saved or last retried manually


class SleepEnding(Ending):
    """The job waits until a time."""

    interrupt: SleepInterrupt

    def write(self, claimed: ClaimedJob) -> Change:
        wait = self.interrupt
        change = waits.sleep(
            claimed.row,
            wait.name,
            until=wait.until,
            due_at=next_due_at(wait.until, claimed.send),
            checkpoint=claimed.last_checkpoint,
        )
        telemetry.waits(change.after)
        return change


class SignalWaitEnding(Ending):
    """The job waits for a signal."""

    interrupt: SignalWaitInterrupt

    def write(self, claimed: ClaimedJob) -> Change:
        wait = self.interrupt
        checkpoint = claimed.last_checkpoint
        try:
            change = waits.wait(
                claimed.row, wait.name, wait.signal_names, until=wait.until, checkpoint=checkpoint
            )
            telemetry.waits(change.after)
        except RaceLost:  # a signal arrived just before the write, so the job continues
            change = waits.continue_at_once(claimed.row, checkpoint)
            telemetry.invocation_over(change.after)
        return change


class GroupWaitEnding(Ending):
    """The job waits for the members of a group that it has dispatched."""

    interrupt: GroupWaitInterrupt

    def write(self, claimed: ClaimedJob) -> Change:
        wait = self.interrupt
        change = group_waits.gather(
            claimed.row,
            wait.name,
            wait.group,
            since=wait.since,
            stop_after=wait.stop_after,
            until=wait.until,
            checkpoint=claimed.last_checkpoint,
        )
        telemetry.waits(change.after)
        return change


def ending_of(claimed: ClaimedJob, interrupt: WaitInterrupt) -> Ending:
    """Return the ending of an invocation whose job waits. If it has waited too often, it fails."""
    if (claimed.row.wait_count or 0) >= MAX_WAITS:
        return FailureEnding(WaitsSpent(MAX_WAITS))
    if isinstance(interrupt, SleepInterrupt):
        return SleepEnding(interrupt)
    if isinstance(interrupt, SignalWaitInterrupt):
        return SignalWaitEnding(interrupt)
    if isinstance(interrupt, GroupWaitInterrupt):
        return GroupWaitEnding(interrupt)
    raise AssertionError(f"unknown wait: {interrupt!r}")
