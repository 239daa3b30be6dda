"""How a leg of a job ends, and how each ending is recorded.

`job_runners.engine.running.execution` decides how a leg ended, and `record` writes that. Each
kind of ending is a subclass of `Ending`.
"""

from typing import Any

from job_runners.aws.errors import AWS_ERRORS, retry_until
from job_runners.engine.groups.after_end import after_end
from job_runners.engine.lines import admission, pausing
from job_runners.engine.lines.limits import LimitedLine
from job_runners.engine.running import gates
from job_runners.engine.running.claiming import Invocation
from job_runners.engine.running.retrying import count_failure, record_failed_attempt
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.sending import Send, send_or_leave_due
from job_runners.errors import LegsSpent, PreconditionFailed
from job_runners.store import verbs
from job_runners.store.job_request import JobRequest
from job_runners.store.pauses import Pause
from job_runners.values import Value
from job_runners.work.definitions import Job
from job_runners.work.interrupts import ClaimLost
from job_runners.work.running_job import RunningJob
from job_runners.work.time_budget import TimeBudget


class Leg(Value):
    """One leg of a claimed job, with everything that the leg needs."""

    job: Job
    row: JobRequest
    invocation: Invocation
    budget: TimeBudget
    running: RunningJob
    send: Send


class Ending(Value):
    """How a leg ended."""

    def write(self, leg: Leg) -> JobRequest | None:
        """Write and log the ending, and send the job's message if it continues now.

        Return the job's row, or None if nothing is to be written. Raises PreconditionFailed.
        """
        raise NotImplementedError

    def admit_waiting(self, leg: Leg) -> None:
        """Let waiting jobs have the capacity that the job has freed."""
        admission.admit_waiting_after(leg.row, leg.send)


class Succeeded(Ending):
    """The job's function returned this result."""

    result: Any

    def write(self, leg: Leg) -> JobRequest:
        ended = verbs.succeed(leg.row, self.result, message=leg.running.message)
        telemetry.succeeded(ended)
        return ended


class AttemptFailed(Ending):
    """The attempt failed. The job has another one if its retry policy allows that."""

    error: BaseException

    def write(self, leg: Leg) -> JobRequest:
        ended = record_failed_attempt(
            leg.row, self.error, leg.send, reached=leg.running.last_checkpoint
        )
        telemetry.attempt_failed(ended, self.error)
        return ended


class Stopped(Ending):
    """The job stopped, because its owner had asked for that."""

    def write(self, leg: Leg) -> JobRequest:
        ended = verbs.stop(leg.row, reached=leg.running.last_checkpoint)
        telemetry.cancelled(ended)
        return ended


class LegEnded(Ending):
    """The invocation is nearly over. The job continues in another leg."""

    def write(self, leg: Leg) -> JobRequest:
        ended = verbs.end_leg(leg.row, leg.running.last_checkpoint)
        telemetry.leg_over(ended)
        _send_unless_finished(ended, leg.send)
        return ended


class SlotYielded(Ending):
    """The job lets the other jobs of its line run first. It waits at the end of the line."""

    line: LimitedLine

    def write(self, leg: Leg) -> JobRequest:
        return gates.park_in_line(
            leg.row, self.line.key, self.line.limits, leg.running.last_checkpoint
        )

    def admit_waiting(self, leg: Leg) -> None:
        """Admit the next job of the line, which may be this one."""
        admission.admit_waiting(leg.row.queue_name, self.line.key, leg.send)


class Parked(Ending):
    """The job's type or queue is paused. The job continues after the pause."""

    pause: Pause

    def write(self, leg: Leg) -> JobRequest | None:
        try:
            return pausing.write_parked(self.pause, leg.row, leg.running.last_checkpoint)
        except AWS_ERRORS as error:  # end the leg instead: the job then parks before its next leg
            telemetry.crashed(error)
            return continued(leg, LegEnded()).write(leg)


class Released(Ending):
    """The job's function was not called. The timer sends the job again, unless it is sent now."""

    is_sent_now: bool = False

    def write(self, leg: Leg) -> JobRequest:
        released = verbs.release(leg.row)
        telemetry.released(released)
        if self.is_sent_now:
            _send_unless_finished(released, leg.send)
        return released


class ClaimGone(Ending):
    """Another process has changed the row, so this invocation has nothing to write."""

    error: ClaimLost

    def write(self, leg: Leg) -> None:  # noqa: ARG002 - every ending takes the leg
        telemetry.claim_lost(self.error)


def continued(leg: Leg, ending: Ending) -> Ending:
    """Return `ending`, or a failed attempt if the job has used all its legs.

    Call this for an ending after which the job needs another leg.
    """
    if leg.row.counted_legs >= leg.job.max_legs:
        return AttemptFailed(LegsSpent(leg.row.counted_legs))
    return ending


def record(leg: Leg, ending: Ending) -> None:
    """Write how a leg ended, and retry for as long as the invocation lasts.

    If the job no longer has its slot, admit the next job of its line. If another process has
    changed the row, drop the outcome. A recorded Ctrl-C is raised again.
    """
    try:
        row = retry_until(leg.invocation.deadline, lambda: ending.write(leg))
    except PreconditionFailed as refused:
        # The write of an earlier try may have succeeded, and the row may have changed since.
        telemetry.claim_lost(refused)
        ending.admit_waiting(leg)
    else:
        if row is not None:
            after_end(row, leg.send)
            if row.slot is None:
                ending.admit_waiting(leg)
            count_failure(row)
    if isinstance(ending, AttemptFailed):
        reraise_interrupt(ending.error)


def reraise_interrupt(error: BaseException) -> None:
    """Raise a recorded Ctrl-C again, because the user wants to stop the process too."""
    if isinstance(error, KeyboardInterrupt):
        raise error


def _send_unless_finished(row: JobRequest, send: Send) -> None:
    """Send the job's message, unless the job was canceled because its owner had asked for that."""
    if not row.status.finished:
        send_or_leave_due(row, send)
