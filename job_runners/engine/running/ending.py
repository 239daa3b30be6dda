"""The ways in which an invocation of a job can end, and how each is recorded.

Each way is a subclass of `Ending`. `job_runners.engine.running.execution` chooses the ending, and
`record` writes it to the job's row. A *claim* is the right of one invocation to run the job. In a
queue with limits, each running job has a *slot*. A job for which no slot is free waits in a *line*.
"""

from typing import TYPE_CHECKING, Any

from job_runners.aws.errors import AWS_ERRORS, retry_until
from job_runners.engine.running.claiming import Invocation
from job_runners.engine.running.retrying import record_failed_attempt
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.sending import Send
from job_runners.errors import InvocationsSpent, PreconditionFailed
from job_runners.store import transitions
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import JobRequest
from job_runners.store.pauses import Pause
from job_runners.values import Value
from job_runners.work.definitions import Job
from job_runners.work.interrupts import ClaimLostInterrupt
from job_runners.work.running_job import RunningJob
from job_runners.work.time_budget import TimeBudget

if TYPE_CHECKING:
    from job_runners.engine.lines.limits import LimitedLine


class ClaimedJob(Value):
    """A job that this invocation has claimed, with everything that is needed to run it."""

    job: Job
    invocation: Invocation
    budget: TimeBudget
    running: RunningJob
    send: Send

    @property
    def row(self) -> JobRequest:
        """Return the job's row as this invocation last wrote it."""
        return self.running._row

    @property
    def last_checkpoint(self) -> transitions.Checkpoint:
        """Return the last checkpoint that the job's function reached."""
        return self.running.last_checkpoint


class Ending(Value):
    """How an invocation ended."""

    def write(self, claimed: ClaimedJob) -> Change:
        """Write and log the ending. Raises PreconditionFailed."""
        raise NotImplementedError


class SuccessEnding(Ending):
    """The job's function returned this result."""

    result: Any

    def write(self, claimed: ClaimedJob) -> Change:
        change = transitions.succeed(claimed.row, self.result, checkpoint=claimed.last_checkpoint)
        telemetry.succeeded(change.after)
        return change


class FailureEnding(Ending):
    """The attempt failed. If the job's retry policy allows it, another attempt follows."""

    error: BaseException

    def write(self, claimed: ClaimedJob) -> Change:
        change = record_failed_attempt(
            claimed.row, self.error, claimed.send, checkpoint=claimed.last_checkpoint
        )
        telemetry.attempt_failed(change.after, self.error)
        return change


class CancelEnding(Ending):
    """The job stopped because a caller had canceled it."""

    def write(self, claimed: ClaimedJob) -> Change:
        change = transitions.stop(claimed.row, checkpoint=claimed.last_checkpoint)
        telemetry.canceled(change.after)
        return change


class InvocationOverEnding(Ending):
    """The invocation is nearly over. The job continues in another invocation."""

    def write(self, claimed: ClaimedJob) -> Change:
        change = transitions.end_invocation(claimed.row, claimed.last_checkpoint)
        telemetry.invocation_over(change.after)
        return change


class YieldEnding(Ending):
    """The job yielded its slot to the first job in its line, and goes to the end of the line.

    If no other job waits there, it gets the slot again.
    """

    line: "LimitedLine"

    def write(self, claimed: ClaimedJob) -> Change:
        from job_runners.engine.running import gates  # imported here because most jobs don't yield

        return gates.hold_in_line(claimed.row, self.line, claimed.last_checkpoint)


class PauseEnding(Ending):
    """The job's type or queue is paused. The job continues after the pause."""

    pause: Pause

    def write(self, claimed: ClaimedJob) -> Change:
        from job_runners.engine.lines import pausing  # imported here because pauses are rare

        try:
            return pausing.hold_under_pause(self.pause, claimed.row, claimed.last_checkpoint)
        except AWS_ERRORS as error:
            # Only end the invocation. The next invocation will hold the job under the pause.
            telemetry.crashed(error)
            return fail_if_last(claimed, InvocationOverEnding()).write(claimed)


class ReleaseEnding(Ending):
    """The job's function was not called, so the job is released."""

    sends_now: bool = False  # otherwise, the timer sends the job later

    def write(self, claimed: ClaimedJob) -> Change:
        change = transitions.release(
            claimed.row, checkpoint=claimed.last_checkpoint, needs_message=self.sends_now
        )
        telemetry.released(change.after)
        return change


class ClaimLostEnding(Ending):
    """Another process has changed the row, so this invocation must not write anything."""

    error: ClaimLostInterrupt

    def write(self, claimed: ClaimedJob) -> Change:
        telemetry.claim_lost(self.error)
        return Change(claimed.row, claimed.row)


def fail_if_last(claimed: ClaimedJob, ending: Ending) -> Ending:
    """Return `ending` if the job may have another invocation. Otherwise return a failure.

    Call this for an ending after which the job has to continue in another invocation.
    """
    if claimed.row.counted_invocations >= claimed.job.max_invocations:
        return FailureEnding(InvocationsSpent(claimed.row.counted_invocations))
    return ending


def record(claimed: ClaimedJob, ending: Ending) -> Change:
    """Write how an invocation ended. If AWS fails, retry until the invocation's deadline.

    If another process has changed the row, drop the ending.
    """
    try:
        return retry_until(claimed.invocation.deadline, lambda: ending.write(claimed))
    except PreconditionFailed as refused:
        # An earlier try may have written the ending although its response was lost. So it isn't
        # known what the row contains now.
        telemetry.claim_lost(refused)
        return Change.unknown(claimed.row)
