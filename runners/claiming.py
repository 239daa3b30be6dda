"""Claim a job for one invocation. At most one invocation has a job at a time."""

from typing import NamedTuple

import clock
from aws.errors import AWS_ERRORS, retry_until
from errors import PreconditionFailed, UnknownJobType
from runners import admission, gates, telemetry
from runners.messages import JobMessage
from runners.registry import registry
from runners.sending import Send, send_or_leave_due
from store import verbs
from store.job_request import JobRequest, new_id
from store.queries import read
from work.errors import EntryNotLoaded

# About how long a call to AWS that hangs takes with all its tries, in milliseconds.
_TIME_TO_RETURN = 25 * clock.SECOND


class Invocation(NamedTuple):
    """The times at which this invocation began and certainly ends, in milliseconds since 1970."""

    began: int
    deadline: int

    @property
    def may_begin_until(self) -> int:
        """Return the time until which the invocation may try to begin work.

        An invocation that is killed during such a try would leave a failure record, as if the work
        had failed.
        """
        return self.deadline - min(2 * _TIME_TO_RETURN, self._length // 2)

    @property
    def may_give_back_until(self) -> int:
        """Return the time until which the invocation may try to release unbegun work."""
        return self.deadline - min(_TIME_TO_RETURN, self._length // 4)

    @property
    def has_time_to_start(self) -> bool:
        """Return whether half of the time is left. With less, no function is called."""
        return self.deadline - clock.now() >= self._length // 2

    @property
    def _length(self) -> int:
        return self.deadline - self.began


def claim(message: JobMessage, invocation: Invocation, send: Send | None) -> JobRequest | None:
    """Claim the message's job for this invocation alone. Return None if it must not run now.

    The function also returns None if an error prevents the claim, because the job stays due. If the
    event failed here, it would leave a failure record. That record could be mistaken for one about
    another delivery of this message, which may have claimed the job.
    """
    token = new_id()  # the same for each try, so that a claim whose response was lost is recognized

    def claim_once(entrance: verbs.Entrance | None) -> JobRequest:
        return verbs.claim(
            message.id,
            job_type=message.job_type,
            send_id=message.send_id,
            deadline=invocation.deadline,
            token=token,
            entrance=entrance,
        )

    def try_once() -> JobRequest | None:
        return gates.enter(message, claim_once, token, send)

    try:
        if not _may_claim(message):
            return None
        return retry_until(invocation.may_begin_until, try_once)
    except UnknownJobType as unknown:
        telemetry.left_for_later(unknown)  # the unclaimed job stays due for a newer deploy
    except PreconditionFailed as refused:
        telemetry.not_claimed(refused)
        _delay_again(refused.row, send)
        # An earlier try may have parked the job.
        admission.admit_waiting_for_message(message, refused.row, send)
    except Exception as error:  # noqa: BLE001 - no work has started, and the job stays due
        telemetry.crashed(error)
        if isinstance(error, AWS_ERRORS):
            _give_back(message, token, invocation)
            admission.admit_waiting_for_message(message, None, send)
    return None


def _may_claim(message: JobMessage) -> bool:
    """Return whether the message's job may be claimed.

    It may if its function is loaded. If the function can't be loaded for longer than the job may
    wait to start, the job is claimed too, and then fails for that reason.

    The function is loaded before the claim, so that an import that kills this process, or never
    ends, costs no attempt.
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


def _give_back(message: JobMessage, token: str, invocation: Invocation) -> None:
    """Release a job if its claim was written although the call failed.

    Otherwise the job would count as running with no worker, and fail as interrupted when its lease
    ends.
    """

    def release() -> None:
        row = read(message.id)
        if row is not None and row.claim_token == token:
            telemetry.released(verbs.release(row))

    try:
        retry_until(invocation.may_give_back_until, release)
    except (PreconditionFailed, *AWS_ERRORS) as error:
        telemetry.crashed(error)


def _delay_again(row: JobRequest | None, send: Send | None) -> None:
    """If the message came before its job's start time, send it again with the remaining delay.

    A message that was refused for another reason isn't sent again, because its job is due.
    """
    if row is not None and row.starts_in:
        send_or_leave_due(row, send, row.starts_in / clock.SECOND)
