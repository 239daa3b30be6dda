"""Claim a job: make sure that no other invocation runs it at the same time.

A *claim* is a conditional write that stores a token in the job's row. To *release* a job is to undo
its claim, because its function wasn't called. *Gates* are what may keep a job from starting now: a
pause, or the limits of its queue. To *hold* a job is to make it wait until its gates let it start.
To *settle* a change of a row is to do everything that follows from it, such as to send messages.
"""

from functools import partial
from typing import NamedTuple

from job_runners import clock
from job_runners.aws.errors import AWS_ERRORS, retry_until
from job_runners.engine.lines.limits import limits_of
from job_runners.engine.registry.registry import registry
from job_runners.engine.settling.settle import settle, settle_unknown
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.messages import JobMessage
from job_runners.engine.wire.sending import Send, send_or_leave_due
from job_runners.errors import PreconditionFailed, UnknownJobType
from job_runners.store import pauses, transitions
from job_runners.store.job_request import JobRequest, new_id
from job_runners.store.queries import read
from job_runners.store.transactions import RaceLost
from job_runners.work.errors import FunctionNotLoaded

# Roughly how long a hanging AWS call takes until its last retry has failed, in milliseconds.
_MAX_CALL_TIME = 25 * clock.SECOND


class Invocation(NamedTuple):
    """The times of this Lambda invocation, in milliseconds since 1970."""

    began: int
    deadline: int  # Lambda ends it at this time

    @property
    def may_begin_until(self) -> int:
        """Return the last time at which the invocation may try to begin work.

        If it tried later, Lambda might kill it during the try, and write a failure record as if the
        work had failed. A short invocation may use half of its time for tries.
        """
        return self.deadline - min(2 * _MAX_CALL_TIME, self._length // 2)

    @property
    def may_release_until(self) -> int:
        """Return the last time at which the invocation may try to release its job."""
        return self.deadline - min(_MAX_CALL_TIME, self._length // 4)

    @property
    def has_time_to_start(self) -> bool:
        """Return whether at least half of the invocation is left for the job's function."""
        return self.deadline - clock.now() >= self._length // 2

    @property
    def _length(self) -> int:
        return self.deadline - self.began


def claim(message: JobMessage, invocation: Invocation, send: Send) -> JobRequest | None:
    """Claim the message's job for this invocation. Return None if the job must not run now.

    If AWS fails, also return None, because the timer sends the job again when its row is due.

    This never raises an error, because Lambda would then write a failure record about the message.
    The record would fail the job even if another delivery of the same message had claimed it.
    """
    # All tries use the same token, so that a later try recognizes a claim whose response was lost.
    token = new_id()
    try:
        if not _load_function(message):
            return None
        return retry_until(
            invocation.may_begin_until, lambda: _claim_or_hold(message, invocation, token, send)
        )
    except UnknownJobType as unknown:
        # The job isn't claimed, so the timer sends it again. A newer deploy may know the job type.
        telemetry.left_for_later(unknown)
    except PreconditionFailed as refused:
        telemetry.not_claimed(refused)
        row = refused.row
        # If the message came before the job's start time, send it again with the remaining delay.
        # After any other refusal, the timer sends the job when its row is due.
        if row is not None and row.starts_in:
            send_or_leave_due(row, send, row.starts_in / clock.SECOND)
        # An earlier try may have held the job, and failed before it settled this change.
        settle_unknown(message, row, send)
    except Exception as error:  # noqa: BLE001 - no work has started, and the job stays due
        telemetry.crashed(error)
        if isinstance(error, AWS_ERRORS):
            _release_if_claimed(message, token, invocation, send)
            settle_unknown(message, None, send)
    return None


def _load_function(message: JobMessage) -> bool:
    """Try to load the function of the message's job. Return whether the job may be claimed now.

    Call this before the claim, so that an import that hangs or kills this process doesn't use up an
    attempt. If the function can't be loaded, return False, so that the job waits for a newer
    deploy. Once the job has waited longer than its `start_within`, return True anyway. The job is
    then claimed, and fails with the error of the import.
    """
    job = registry().job(message.job_type)
    try:
        registry().load(job)
    except FunctionNotLoaded as error:
        row = read(message.id)
        if row is not None and clock.now() - row.could_run_at > job.start_within * clock.SECOND:
            return True
        telemetry.left_for_later(error)
        return False
    return True


def _claim_or_hold(
    message: JobMessage, invocation: Invocation, token: str, send: Send
) -> JobRequest | None:
    """Claim the job if it may start now, and return its row. Otherwise hold it, and return None.

    If another job takes the capacity before this one, decide again.

    Raises PreconditionFailed.
    """
    write_claim = partial(
        transitions.claim,
        message.id,
        job_type=message.job_type,
        send_id=message.send_id,
        deadline=invocation.deadline,
        token=token,
    )
    if not _may_have_gates(message):
        return write_claim().after
    # Imported here because most jobs have no gates.
    from job_runners.engine.running import gates

    wait_until = clock.now() + gates.MAX_START_WAIT
    while True:
        try:
            match gates.decide(message, token, send, wait_until=wait_until):
                case gates.StartNow(entrance):
                    return write_claim(entrance=entrance).after
                case gates.AlreadyStarted(row):
                    return row
                case gates.Wait(hold):
                    settle(hold(), send)
                    return None
        except RaceLost as lost:  # another job took the capacity: decide again
            telemetry.race_lost(lost)


def _may_have_gates(message: JobMessage) -> bool:
    """Return whether `gates.decide` is needed, judged without a read of the job's row.

    It is needed if the job may have gates, or gives up its unique key when it starts.
    """
    unique = registry().job(message.job_type).unique
    return (
        pauses.current().may_hold(message.job_type)
        or limits_of(message.queue_name) is not None
        or (unique is not None and unique.until == "started")
    )


def _release_if_claimed(
    message: JobMessage, token: str, invocation: Invocation, send: Send
) -> None:
    """Release the job if the failed call has written its claim after all.

    Without the release, the row would say that the job is running, although no worker runs it. When
    the claim expires, the attempt would then fail as interrupted.
    """

    def release() -> None:
        row = read(message.id)
        if row is not None and row.claim_token == token:
            change = transitions.release(row)
            telemetry.released(change.after)
            settle(change, send)

    try:
        retry_until(invocation.may_release_until, release)
    except (PreconditionFailed, *AWS_ERRORS) as error:
        telemetry.crashed(error)
