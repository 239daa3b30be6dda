"""How an invocation claims a job: at most one invocation has it at a time."""

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

# A call to AWS that hangs takes about this long with all its tries, in milliseconds.
_TIME_TO_RETURN = 25 * clock.SECOND


class Invocation(NamedTuple):
    """When this invocation began and ends for certain, in milliseconds since 1970."""

    began: int
    deadline: int

    @property
    def may_begin_until(self) -> int:
        """Return the end of the time for attempts to begin work. An invocation that is killed in
        such an attempt would leave a failure record, as if the work had failed."""
        return self.deadline - min(2 * _TIME_TO_RETURN, self._length // 2)

    @property
    def may_give_back_until(self) -> int:
        """Return the end of the time for attempts to give back work that was not begun."""
        return self.deadline - min(_TIME_TO_RETURN, self._length // 4)

    @property
    def has_time_to_start(self) -> bool:
        """Return whether half of the time is left: with less, a function is not called."""
        return self.deadline - clock.now() >= self._length // 2

    @property
    def _length(self) -> int:
        return self.deadline - self.began


def claim(message: JobMessage, invocation: Invocation, send: Send | None) -> JobRequest | None:
    """Claim the message's job for this invocation alone; return None if it is not to be run now.

    This returns whatever prevents the claim: the job is due. An event that failed here would leave
    a failure record, and that record could be about the claim of another delivery of this message.
    """
    token = new_id()  # the same for each try: a claim whose answer was lost is ours too

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
        if not _is_loaded(message):
            return None
        return retry_until(invocation.may_begin_until, try_once)
    except UnknownJobType as unknown:
        telemetry.left_for_later(unknown)  # unclaimed, it stays due: a newer deploy may know it
    except PreconditionFailed as refused:
        telemetry.not_claimed(refused)
        _delay_again(refused.row, send)
        admission.admit_waiting_for_message(
            message, refused.row, send
        )  # an earlier try may have parked it
    except Exception as error:  # noqa: BLE001 - nothing has run, and the job is due
        telemetry.crashed(error)
        if isinstance(error, AWS_ERRORS):
            _give_back(message, token, invocation)
            admission.admit_waiting_for_message(message, None, send)
    return None


def _is_loaded(message: JobMessage) -> bool:
    """Return whether the message's job may be claimed: its function is loaded, or it has waited for
    that as long as a job may, and fails of it once it is claimed.

    Loaded before the claim: an import that kills this process, or never ends, costs no attempt.
    """
    job = registry().job(message.job_type)
    try:
        registry().load(job)
    except EntryNotLoaded as error:
        row = read(message.id)
        if row is not None and clock.now() - row.could_run_at > job.start_within * clock.SECOND:
            return True
        telemetry.left_for_later(error)  # unclaimed, it stays due: the next deploy may have it
        return False
    return True


def _give_back(message: JobMessage, token: str, invocation: Invocation) -> None:
    """Release a job whose claim failed but was applied: it would be running under nobody,
    and fail as interrupted once its lease is over."""

    def release() -> None:
        row = read(message.id)
        if row is not None and row.claim_token == token:
            telemetry.released(verbs.release(row))

    try:
        retry_until(invocation.may_give_back_until, release)
    except (PreconditionFailed, *AWS_ERRORS) as error:
        telemetry.crashed(error)


def _delay_again(row: JobRequest | None, send: Send | None) -> None:
    """Send a message again that came before its job's time, for then. One that was refused for
    another reason is not sent again: its job is due."""
    if row is not None and row.starts_in:
        send_or_leave_due(row, send, row.starts_in / clock.SECOND)
