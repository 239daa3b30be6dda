"""Send a signal to a job: a named value for which the job's function may wait."""

from typing import Any

from job_runners.engine.errors import (
    SignalBusy,
    SignalConflict,
    SignalTooLarge,
    SignalTooLate,
    TooManySignals,
)
from job_runners.engine.settling.settle import settle
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.sending import Send, send_or_leave_due
from job_runners.errors import JobNotFound, PreconditionFailed
from job_runners.store import blobs, queries, signals
from job_runners.store.job_request import JobRequest
from job_runners.store.transactions import RaceLost
from job_runners.store.transitions import waits
from job_runners.work import context

_TRIES = 5


def signal(
    row: JobRequest, name: str, value: Any, send: Send, *, work_id: str | None = None
) -> JobRequest:
    """Store a signal for a job, and continue the job if it waits for that signal. Return its row.

    With `work_id`, the signal is only for that work of the job: a retry with another payload is new
    work.

    If the job already has the same value, do nothing. Raises SignalConflict if it has another one,
    and SignalTooLate if it has ended, or no longer waits for the signal. Raises SignalTooLarge,
    TooManySignals, SignalBusy, and JobNotFound if the job was deleted.
    """
    size = len(blobs.compact_json(value))
    if size > signals.MAX_VALUE_BYTES:
        raise SignalTooLarge(size, signals.MAX_VALUE_BYTES)
    for attempt in range(_TRIES):
        is_retry = attempt > 0
        current = _read_again(row) if is_retry else row
        if work_id is not None and work_id != current.work_id:
            raise SignalTooLate(row.id, name, "began again with another payload")
        stored = signals.find(current, name)
        if stored is not None:
            _refuse_other_value(current, stored, value)
            # An earlier try may have stored the signal and queued the job, but without a response.
            # If the job isn't queued, no worker claims it because of the message.
            if is_retry:
                send_or_leave_due(current, send)
            return current
        _refuse_if_not_accepted(current, name)
        try:
            return _store(current, name, value, send)
        except (PreconditionFailed, RaceLost) as lost:
            telemetry.race_lost(lost)
    raise SignalBusy


def _store(row: JobRequest, name: str, value: Any, send: Send) -> JobRequest:
    new_signal = signals.new(row, name, value, by=context.recorded_author())
    change = waits.signal(row, new_signal)
    telemetry.signaled(change.after, name)
    settle(change, send)
    return change.after


def _read_again(row: JobRequest) -> JobRequest:
    current = queries.read(row.id)
    if current is None or current.organization_id != row.organization_id:
        raise JobNotFound(row.id)
    return current


def _refuse_other_value(row: JobRequest, stored: signals.Signal, value: Any) -> None:
    """Raise SignalTooLate or SignalConflict, unless the stored signal has this value."""
    if stored.timed_out:
        raise SignalTooLate(row.id, stored.sk, "no longer waits for it")
    if blobs.canonical_json(stored.result) != blobs.canonical_json(value):
        raise SignalConflict(row.id, stored.sk)


def _refuse_if_not_accepted(row: JobRequest, name: str) -> None:
    """Raise SignalTooLate or TooManySignals if the job accepts no new signal."""
    if row.status.finished:
        raise SignalTooLate(row.id, name, f"is {row.status}")
    if (row.signals or 0) >= signals.MAX_PER_JOB:
        raise TooManySignals(row.id, signals.MAX_PER_JOB)
