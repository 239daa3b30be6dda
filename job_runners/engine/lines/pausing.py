"""Pause and resume a job type or a queue.

While a job type or queue is paused, the worker *holds* each of its jobs when the job's message
arrives: the job waits under the pause. A running job with a cursor is held at its next checkpoint.
When the pause ends, its held jobs are *admitted* (queued and sent) in the order in which they were
created, as fast as one invocation can send them. Jobs that are dispatched in that time don't wait
for them.
"""

from pynamodb.exceptions import PynamoDBException

from job_runners import clock
from job_runners.aws.errors import is_conflict
from job_runners.engine.lines import sweeping
from job_runners.engine.lines.limits import limits_of
from job_runners.engine.registry.registry import registry
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.messages import JobMessage
from job_runners.engine.wire.sending import Send
from job_runners.errors import PreconditionFailed, SendFailed
from job_runners.store import limits, pauses, transitions
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import JobRequest, Lane, Status
from job_runners.store.pauses import HeldEntry, Kind, Pause
from job_runners.store.queries import read
from job_runners.work import context

# The timer checks a held job, in case nothing else admits it. The longer the job has waited, the
# later its next check: the gap equals the time that it has waited, within these bounds.
_MIN_CHECK_GAP = clock.HOUR
_MAX_CHECK_GAP = clock.DAY
# How long to keep an ended pause. Until then, a worker whose cache or clock is behind may still
# hold a job under it.
_ENDED_PAUSE_LIFETIME = transitions.SKEW + 6 * pauses.CACHE_TIME
# The request that ends a pause admits this many jobs, for at most this long. The timer admits the
# rest. Each of its runs reads at least this many entries of an ended pause.
_RESUME_BATCH = 25
_RESUME_TIME = 10 * clock.SECOND
_MAX_PAUSES = 100  # limited, because every worker reads all pauses


def pause(kind: Kind, name: str) -> Pause:
    """Stop a job type or a queue from starting jobs, until it is resumed.

    The pause takes effect within 10 seconds. Raises UnknownJobType, TooManyPaused.
    """
    if kind is Kind.JOB_TYPE:
        registry().job(name)
    current = pauses.current(fresh=True)
    existing = current.find(kind, name)
    if existing is not None:
        return existing
    if len(current.all) >= _MAX_PAUSES:
        # Imported here because only the API needs it.
        from job_runners.engine.errors import TooManyPaused

        raise TooManyPaused(_MAX_PAUSES)
    new = pauses.pause(kind, name, by=context.recorded_author())
    telemetry.pause_changed(new)
    return new


def resume(kind: Kind, name: str, send: Send) -> None:
    """End a pause and begin to admit the jobs that it holds. If there is no pause, do nothing."""
    if not pauses.current(fresh=True).find(kind, name):
        return
    has_lines = kind is Kind.QUEUE and limits_of(name) is not None
    # A sweep admits waiting jobs in all lines of the queue. Ask for it before the pause ends. If
    # this request dies between the two writes, the next one still finds the pause, and asks again.
    if has_lines:
        limits.ask_for_sweep(name)
    telemetry.pause_changed(pauses.resume(kind, name, by=context.recorded_author()))
    until = clock.now() + _RESUME_TIME
    admit_held(send, until=until, limit=_RESUME_BATCH)
    if has_lines:
        sweeping.begin(name, send, until=until)


def hold_under_pause(
    pause: Pause, row: JobRequest, checkpoint: transitions.Checkpoint | None = None
) -> Change:
    """Hold a job under a pause. If a caller has asked the job to stop, it is canceled instead.

    The job may be ready for a worker, held by another pause, or running in this invocation. For a
    running job, `checkpoint` is the last checkpoint that it reached.

    Raises PreconditionFailed.
    """
    change = transitions.hold(row, pause, due_at=next_check(row), checkpoint=checkpoint)
    telemetry.held(change.after, pause)
    return change


def admit_or_keep(row: JobRequest, send: Send) -> bool:
    """Queue and send a job that a pause holds, unless this or another pause is active for it.

    If only another pause is active, let that pause hold the job. Return whether the job was sent.

    Raises PreconditionFailed. Raises SendFailed if the job was queued but not sent: the timer sends
    it when its row is due.
    """
    active = pauses.current().on(row)
    if active is None:
        send(JobMessage.about(transitions.admit(row).after))
        return True
    if active.sk == row.held_by:
        transitions.postpone(row, next_check(row), Lane.HELD)
    else:
        # The job had no slot that others could now use, so nothing follows from this change.
        hold_under_pause(active, row)
    return False


def admit_held(send: Send, *, until: int, limit: int) -> int:
    """Admit the jobs that ended pauses still hold, oldest first. Return how many were admitted.

    Stop at `until` (milliseconds since 1970), or after `limit` jobs.
    """
    admitted = 0
    for ended_pause in pauses.current().resuming():
        if admitted >= limit or clock.now() >= until:
            break
        try:
            admitted += _admit_held_entries(ended_pause, send, until, limit - admitted)
        except SendFailed as error:  # the worker can't be reached, so the other jobs must wait too
            telemetry.not_sent(error)
            break
        except Exception as error:  # noqa: BLE001 - a broken pause must not delay the others
            telemetry.crashed(error)
    return admitted


def _admit_held_entries(ended_pause: Pause, send: Send, until: int, limit: int) -> int:
    """Admit jobs that an ended pause holds. Once it holds none and is old, forget the pause."""
    # Read several entries even if only one job may be admitted, because the first entry may be one
    # that can't be handled.
    entries = list(pauses.held_entries(ended_pause, max(limit, _RESUME_BATCH)))
    admitted = 0
    for entry in entries:
        if clock.now() >= until or admitted >= limit:
            return admitted
        try:
            if _admit_entry(entry, ended_pause, send):
                admitted += 1
            elif pauses.current().find(ended_pause.kind, ended_pause.name):
                return admitted  # the type or queue is paused again
        except PreconditionFailed as error:
            # Another process has changed the job. If it no longer waits, the next pass drops its
            # entry.
            telemetry.race_lost(error)
        except (TypeError, ValueError) as error:  # unreadable, for example written by newer code
            telemetry.crashed(error)
        except PynamoDBException as error:
            if not is_conflict(error):
                raise
            telemetry.race_lost(error)  # another pass is admitting the same job
    if not entries and clock.now() - ended_pause.changed_at > _ENDED_PAUSE_LIFETIME:
        pauses.forget(ended_pause)
    return admitted


def _admit_entry(entry: HeldEntry, ended_pause: Pause, send: Send) -> bool:
    """Admit a job that an ended pause holds, unless it is paused again. Return whether it was sent.

    If the job no longer waits under that pause, only drop its entry.
    """
    row = read(entry.job_id)
    if row is None or row.held_by != ended_pause.sk:
        pauses.drop(entry)
        return False
    return admit_or_keep(row, send)


def could_start(row: JobRequest) -> bool:
    """Return whether a worker could claim the job now if no pause or limit prevented it."""
    is_unclaimed = row.status is Status.QUEUED or row.status.timed
    return is_unclaimed and row.starts_in <= transitions.CLAIM_TOLERANCE


def next_check(row: JobRequest) -> int:
    """Return when the timer checks a held job next."""
    waited = clock.now() - (row.waiting_since or clock.now())
    gap = max(waited, _MIN_CHECK_GAP)
    return clock.now() + min(gap, _MAX_CHECK_GAP)
