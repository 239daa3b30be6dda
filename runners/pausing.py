"""Pause and resume a job type or a queue.

A paused job type or queue starts no jobs. The worker parks a job when its message arrives, and a
running job with a cursor parks at its next checkpoint. When the pause ends, its parked jobs are
admitted in the order of their creation, as fast as one invocation can send them. Jobs that are
dispatched in that time don't wait behind them.
"""

from pynamodb.exceptions import PynamoDBException

import clock
from aws.errors import conflicts
from errors import PreconditionFailed, SendFailed, TooManyPaused
from runners import sweeping, telemetry
from runners.admission import admit_waiting_after
from runners.limits import limits_of
from runners.messages import JobMessage
from runners.registry import registry
from runners.sending import Send, send_admitted_follower
from store import limits, pauses, verbs
from store.conditional_write import refused
from store.job_request import JobRequest, Lane, Status
from store.pauses import Kind, Parked, Pause
from store.queries import read
from work import context

# When the timer next checks a parked job: after as long again as the job has waited, within these
# two bounds. The pause lists the job and normally admits it, so this check is only a safeguard.
_SOONEST_CHECK = clock.HOUR
_LATEST_CHECK = clock.DAY
# How long an ended pause is kept. In that time, a worker may still park a job under it, because the
# worker has not read that it ended, or has a different clock.
_LINGER = verbs.SKEW + 6 * pauses.CACHED
_AT_ONCE = 25  # the number of jobs that a resume admits itself; the timer admits the rest
_RESUME_TIME = 10 * clock.SECOND  # the longest time for a request that resumes
_MOST_PAUSES = 100  # every worker reads all pauses


def pause(kind: Kind, name: str) -> Pause:
    """Stop a job type or a queue from starting jobs, until it is resumed.

    The pause takes effect within 10 seconds. Raises UnknownJobType, TooManyPaused.
    """
    if kind is Kind.JOB_TYPE:
        registry().job(name)
    known = pauses.current(fresh=True)
    paused = known.find(kind, name)
    if paused is not None:
        return paused
    if len(known.all) >= _MOST_PAUSES:
        raise TooManyPaused(_MOST_PAUSES)
    paused = pauses.pause(kind, name, by=context.recorded_author())
    telemetry.pause_changed(paused)
    return paused


def resume(kind: Kind, name: str, send: Send) -> None:
    """End a pause and begin to admit the jobs that it parked. Without such a pause, do nothing."""
    if pauses.current(fresh=True).find(kind, name):
        has_lines = kind is Kind.QUEUE and limits_of(name) is not None
        # Ask for the sweep before the pause ends. If this request is cut off after that, a second
        # one finds no pause and does nothing.
        if has_lines:
            limits.ask_for_sweep(name)
        telemetry.pause_changed(pauses.resume(kind, name, by=context.recorded_author()))
        until = clock.now() + _RESUME_TIME
        admit_parked(send, until=until, most=_AT_ONCE)
        if has_lines:
            sweeping.begin(name, send, until=until)


def park_if_paused(message: JobMessage, send: Send | None) -> bool:
    """Park the message's job if it is paused, and return whether it was parked.

    Raises PreconditionFailed, also for a job that may be paused but could not start anyway.
    """
    if not pauses.current().may_park(message.job_type):
        return False
    row = read(message.id)
    if row is None or row.status is Status.RUNNING:
        return False  # the claim is refused, unless an earlier try has made it
    if not could_start(row):
        # Don't leave this to the claim. Before the claim is written, another process may have made
        # the job startable.
        raise refused("claim", row.id, row)
    paused = pauses.pause_on(row)
    if paused is None:
        return False
    park(paused, row, send=send)
    return True


def park(
    paused: Pause,
    row: JobRequest,
    reached: verbs.Checkpoint | None = None,
    *,
    send: Send | None,
) -> None:
    """Park a job that could start now, or that runs under this invocation's claim.

    `reached` is the last checkpoint of a running job. The job's slot goes to the next job of its
    line.

    Raises PreconditionFailed.
    """
    try:
        parked = verbs.park(row, paused, due_at=next_check(row), reached=reached)
        telemetry.parked(parked, paused)
        send_admitted_follower(parked, send)  # the job has ended if its owner asked it to stop
    finally:  # the job may be parked even if the response was lost
        admit_waiting_after(row, send)


def admit_or_keep(row: JobRequest, send: Send) -> bool:
    """Queue and send a parked job, unless it is paused. Return whether it was sent.

    Raises PreconditionFailed. Raises SendFailed too, but then the job is queued, and due.
    """
    paused = pauses.current().on(row)
    if paused is None:
        send(JobMessage.about(verbs.admit(row)))
        return True
    if paused.sk == row.held_by:
        verbs.postpone(row, next_check(row), Lane.PARKED)
    else:
        park(paused, row, send=send)
    return False


def admit_parked(send: Send, *, until: int, most: int) -> int:
    """Admit the jobs that ended pauses have parked, oldest first. Return how many were admitted.

    Stop at `until` (milliseconds since 1970), or after `most` jobs.
    """
    admitted = 0
    for ended in pauses.current().resuming():
        if admitted >= most or clock.now() >= until:
            break
        try:
            admitted += _admit_parked_by(ended, send, until, most - admitted)
        except SendFailed as error:
            telemetry.not_sent(error)  # the worker can't be reached, so the rest must wait too
            break
        except Exception as error:  # noqa: BLE001 - a broken pause must not delay the others
            telemetry.crashed(error)
    return admitted


def _admit_parked_by(ended: Pause, send: Send, until: int, most: int) -> int:
    # Read several entries even if only one job may be admitted. An entry that can't be handled must
    # not delay the next ones.
    entries = list(pauses.parked_by(ended, max(most, _AT_ONCE)))
    admitted = 0
    for entry in entries:
        if clock.now() >= until or admitted >= most:
            return admitted
        try:
            if _admit(entry, ended, send):
                admitted += 1
            elif pauses.current().find(ended.kind, ended.name):
                return admitted  # it is paused again
        except PreconditionFailed as refused:
            telemetry.moved(refused)  # another process changed it: the next pass drops its entry
        except (TypeError, ValueError) as error:
            telemetry.crashed(error)  # unreadable, for example written by newer code
        except PynamoDBException as error:
            if not conflicts(error):
                raise
            telemetry.moved(error)  # another pass is admitting the same job
    if not entries and clock.now() - ended.changed_at > _LINGER:
        pauses.forget(ended)
    return admitted


def _admit(entry: Parked, ended: Pause, send: Send) -> bool:
    """Admit a job that this ended pause has parked, unless it is paused again.

    Return whether the job was sent.
    """
    row = read(entry.job_id)
    if row is None or row.held_by != ended.sk:
        pauses.drop(entry)
        return False
    return admit_or_keep(row, send)


def could_start(row: JobRequest) -> bool:
    """Return whether a worker may claim a job now."""
    return (
        row.status is Status.QUEUED or row.status.timed
    ) and row.starts_in <= verbs.CLAIM_TOLERANCE


def next_check(row: JobRequest) -> int:
    """Return when the timer checks a parked job next."""
    waited = clock.now() - (row.waiting_since or clock.now())
    return clock.now() + min(max(waited, _SOONEST_CHECK), _LATEST_CHECK)
