"""Claim a job for one invocation. At most one invocation has a claim on a job at a time."""

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
from job_runners.work.errors import EntryNotLoaded

# Roughly how long a hanging AWS call takes until its last retry gives up, in milliseconds.
_TIME_TO_RETURN = 25 * clock.SECOND


class Invocation(NamedTuple):
    """When this invocation began, and by when it will have ended, in milliseconds since 1970."""

    began: int
    deadline: int

    @property
    def may_begin_until(self) -> int:
        """Return the time until which the invocation may try to begin work.

        If Lambda kills the invocation during such a try, it writes a failure record, as if the work
        had failed.
        """
        return self.deadline - min(2 * _TIME_TO_RETURN, self._length // 2)

    @property
    def may_give_back_until(self) -> int:
        """Return the time until which it may try to release a job whose function wasn't called."""
        return self.deadline - min(_TIME_TO_RETURN, self._length // 4)

    @property
    def has_time_to_start(self) -> bool:
        """Return whether at least half of the time is left. With less, no function is called."""
        return self.deadline - clock.now() >= self._length // 2

    @property
    def _length(self) -> int:
        return self.deadline - self.began


def claim(message: JobMessage, invocation: Invocation, send: Send) -> JobRequest | None:
    """Claim the message's job for this invocation alone. Return None if it must not run now.

    The function also returns None if an error prevents the claim, because the job stays due. If it
    raised, Lambda would write a failure record. That record would look like one for another
    delivery of the same message, which may have claimed the job.
    """
    # Each try uses the same token. A later try then recognizes a claim whose response was lost.
    token = new_id()
    try:
        if not _load_function(message):
            return None
        return retry_until(
            invocation.may_begin_until, lambda: _try_once(message, invocation, token, send)
        )
    except UnknownJobType as unknown:
        telemetry.left_for_later(unknown)  # the unclaimed job stays due for a newer deploy
    except PreconditionFailed as refused:
        telemetry.not_claimed(refused)
        _send_again_if_early(refused.row, send)
        # An earlier try may have held the job, and then failed before it settled that.
        settle_unknown(message, refused.row, send)
    except Exception as error:  # noqa: BLE001 - no work has started, and the job stays due
        telemetry.crashed(error)
        if isinstance(error, AWS_ERRORS):
            _release_if_claimed(message, token, invocation, send)
            settle_unknown(message, None, send)
    return None


def _try_once(
    message: JobMessage, invocation: Invocation, token: str, send: Send
) -> JobRequest | None:
    """Claim the job if it may start now. Otherwise hold it. Raises PreconditionFailed."""
    if not _may_have_gates(message):
        return _enter(message, invocation, token)
    # Imported here because most jobs have no gates.
    from job_runners.engine.running import gates

    wait_until = clock.now() + gates.LONGEST_WAIT
    while True:
        try:
            match gates.decide(message, token, send, wait_until=wait_until):
                case gates.Start(entrance):
                    return _enter(message, invocation, token, entrance)
                case gates.Started(row):
                    return row
                case waits:
                    settle(waits.hold(), send)
                    return None
        except RaceLost as lost:  # another job took the slot or the start: read the line again
            telemetry.race_lost(lost)


def _may_have_gates(message: JobMessage) -> bool:
    """Return whether a pause or a limit may keep the message's job from starting, or whether it
    gives up its unique key when it starts.

    A message that names no queue is from an older deploy. Only the row then names the queue.
    """
    unique = registry().job(message.job_type).unique
    return (
        pauses.current().may_hold(message.job_type)
        or message.queue_name is None
        or limits_of(message.queue_name) is not None
        or (unique is not None and unique.until == "started")
    )


def _enter(
    message: JobMessage,
    invocation: Invocation,
    token: str,
    entrance: transitions.Entrance | None = None,
) -> JobRequest:
    """Claim the job, with the capacity that the entrance grants it. Raises PreconditionFailed."""
    return transitions.claim(
        message.id,
        job_type=message.job_type,
        send_id=message.send_id,
        deadline=invocation.deadline,
        token=token,
        entrance=entrance,
    ).after


def _load_function(message: JobMessage) -> bool:
    """Load the function of the message's job. Return whether the job may be claimed.

    This comes before the claim, so that an import that kills this process, or never ends, costs no
    attempt. If the function can't be loaded for longer than the job may wait to start, the job may
    be claimed anyway, and then fails for that reason.
    """
    job = registry().job(message.job_type)
    try:
        registry().load(job)
    except EntryNotLoaded as error:
        row = read(message.id)
        if row is not None and clock.now() - row.could_run_at > job.start_within * clock.SECOND:
            return True
        telemetry.left_for_later(error)  # the unclaimed job stays due for the next deploy
        return False
    return True


def _release_if_claimed(
    message: JobMessage, token: str, invocation: Invocation, send: Send
) -> None:
    """Release a job if its claim was written although the call failed.

    Otherwise the job would count as running without a worker. Its attempt would fail as interrupted
    when the lease ends.
    """

    def release() -> None:
        row = read(message.id)
        if row is not None and row.claim_token == token:
            change = transitions.release(row)
            telemetry.released(change.after)
            settle(change, send)

    try:
        retry_until(invocation.may_give_back_until, release)
    except (PreconditionFailed, *AWS_ERRORS) as error:
        telemetry.crashed(error)


def _send_again_if_early(row: JobRequest | None, send: Send) -> None:
    """If the message came before its job's start time, send it again with the remaining delay.

    A message that was refused for another reason isn't sent again: the timer sends the job when its
    row is due.
    """
    if row is not None and row.starts_in:
        send_or_leave_due(row, send, row.starts_in / clock.SECOND)
