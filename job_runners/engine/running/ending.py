"""How a leg of a job ends, and how each ending is recorded.

`job_runners.engine.running.execution` decides how a leg ended, and `record` writes that. Each
kind of ending is a subclass of `Ending`.
"""

from typing import TYPE_CHECKING, Any

from job_runners.aws.errors import AWS_ERRORS, retry_until
from job_runners.engine.running.claiming import Invocation
from job_runners.engine.running.retrying import record_failed_attempt
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.sending import Send
from job_runners.errors import LegsSpent, PreconditionFailed
from job_runners.store import transitions
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import JobRequest
from job_runners.store.pauses import Pause
from job_runners.values import Value
from job_runners.work.definitions import Job
from job_runners.work.interrupts import ClaimLost
from job_runners.work.running_job import RunningJob
from job_runners.work.time_budget import TimeBudget

if TYPE_CHECKING:
    from job_runners.engine.lines.limits import LimitedLine


class Leg(Value):
    """One leg of a claimed job, with everything that the leg needs."""

    job: Job
    invocation: Invocation
    budget: TimeBudget
    running: RunningJob
    send: Send

    @property
    def row(self) -> JobRequest:
        """Return the job's row, as this leg has last written it."""
        return self.running._row


class Ending(Value):
    """How a leg ended."""

    def write(self, leg: Leg) -> Change:
        """Write and log the ending. Raises PreconditionFailed."""
        raise NotImplementedError


class Succeeded(Ending):
    """The job's function returned this result."""

    result: Any

    def write(self, leg: Leg) -> Change:
        change = transitions.succeed(leg.row, self.result, reached=leg.running.last_checkpoint)
        telemetry.succeeded(change.after)
        return change


class AttemptFailed(Ending):
    """The attempt failed. The job has another one if its retry policy allows that."""

    error: BaseException

    def write(self, leg: Leg) -> Change:
        change = record_failed_attempt(
            leg.row, self.error, leg.send, reached=leg.running.last_checkpoint
        )
        telemetry.attempt_failed(change.after, self.error)
        return change


class Stopped(Ending):
    """The job stopped, because its owner had asked for that."""

    def write(self, leg: Leg) -> Change:
        change = transitions.stop(leg.row, reached=leg.running.last_checkpoint)
        telemetry.canceled(change.after)
        return change


class LegEnded(Ending):
    """The invocation is nearly over. The job continues in another leg."""

    def write(self, leg: Leg) -> Change:
        change = transitions.end_leg(leg.row, leg.running.last_checkpoint)
        telemetry.leg_over(change.after)
        return change


class SlotYielded(Ending):
    """The job lets the other jobs of its line run first. It waits at the end of the line.

    The next job of the line is admitted, which may be this one.
    """

    line: "LimitedLine"

    def write(self, leg: Leg) -> Change:
        from job_runners.engine.running import gates  # imported here because most jobs don't yield

        return gates.park_in_line(
            leg.row, self.line.key, self.line.limits, leg.running.last_checkpoint
        )


class Parked(Ending):
    """The job's type or queue is paused. The job continues after the pause."""

    pause: Pause

    def write(self, leg: Leg) -> Change:
        from job_runners.engine.lines import pausing  # imported here because pauses are rare

        try:
            return pausing.write_parked(self.pause, leg.row, leg.running.last_checkpoint)
        except AWS_ERRORS as error:  # end the leg instead: the job then parks before its next leg
            telemetry.crashed(error)
            return continued(leg, LegEnded()).write(leg)


class Released(Ending):
    """The job's function was not called. The timer sends the job again, unless it is sent now."""

    is_sent_now: bool = False

    def write(self, leg: Leg) -> Change:
        change = transitions.release(
            leg.row, reached=leg.running.last_checkpoint, resumes=self.is_sent_now
        )
        telemetry.released(change.after)
        return change


class ClaimGone(Ending):
    """Another process has changed the row, so this invocation has nothing to write."""

    error: ClaimLost

    def write(self, leg: Leg) -> Change:
        telemetry.claim_lost(self.error)
        return Change(leg.row, leg.row)


def continued(leg: Leg, ending: Ending) -> Ending:
    """Return `ending`, or a failed attempt if the job has used all its legs.

    Call this for an ending after which the job needs another leg.
    """
    if leg.row.counted_legs >= leg.job.max_legs:
        return AttemptFailed(LegsSpent(leg.row.counted_legs))
    return ending


def record(leg: Leg, ending: Ending) -> Change:
    """Write how a leg ended, and retry for as long as the invocation lasts.

    If another process has changed the row, drop the outcome.
    """
    try:
        return retry_until(leg.invocation.deadline, lambda: ending.write(leg))
    except PreconditionFailed as refused:
        # The write of an earlier try may have succeeded, and the row may have changed since.
        telemetry.claim_lost(refused)
        return Change.unknown(leg.row)
