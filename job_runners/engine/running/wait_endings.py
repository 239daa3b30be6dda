"""How a leg ends when its job waits inside its function.

This module is imported only where it is needed, because most jobs don't wait.
"""

from job_runners import clock
from job_runners.engine.running.ending import AttemptFailed, Ending, Leg
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.sending import next_due_at, send_or_leave_due
from job_runners.store.job_request import JobRequest
from job_runners.store.transactions import RaceLost
from job_runners.store.verbs import group_waits, waits
from job_runners.work.errors import WaitsSpent
from job_runners.work.interrupts import Waits
from job_runners.work.waiting import Asleep, AwaitsGroup, AwaitsSignal

MOST_WAITS = 10_000  # of one job, since it was saved or last retried by hand


class Slept(Ending):
    """The job waits until a time."""

    name: str
    until: int

    def write(self, leg: Leg) -> JobRequest:
        row = waits.sleep(
            leg.row,
            self.name,
            until=self.until,
            due_at=next_due_at(self.until, leg.send),
            reached=leg.running.last_checkpoint,
        )
        telemetry.waits(row)
        if not row.status.finished:
            send_or_leave_due(row, leg.send, max(0, self.until - clock.now()) / clock.SECOND)
        return row


class Waited(Ending):
    """The job waits for a signal."""

    name: str
    names: list[str]
    until: int

    def write(self, leg: Leg) -> JobRequest:
        reached = leg.running.last_checkpoint
        try:
            row = waits.wait(leg.row, self.name, self.names, until=self.until, reached=reached)
            telemetry.waits(row)
        except RaceLost:  # a signal has just come
            row = waits.continue_at_once(leg.row, reached)
            telemetry.leg_over(row)
            if not row.status.finished:
                send_or_leave_due(row, leg.send)
        return row


class Gathered(Ending):
    """The job has dispatched a group, and waits for its members."""

    signal: AwaitsGroup

    def write(self, leg: Leg) -> JobRequest:
        # Imported here because jobs that only sleep need no group.
        from job_runners.engine.groups import finishing

        gather = self.signal
        row = group_waits.gather(
            leg.row,
            gather.name,
            gather.group,
            since=gather.since,
            stop_after=gather.stop_after,
            until=gather.until,
            reached=leg.running.last_checkpoint,
        )
        telemetry.waits(row)
        if not row.status.finished:
            finishing.owner_parked(row, leg.send)
        return row


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
