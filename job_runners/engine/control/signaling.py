"""Send a signal to a job. A signal is a named value that the job's function may wait for.

A job can also ask a question through a link. A person or another system needs only the token in the
link to answer the question. The answer becomes one of the job's signals.
"""

from collections.abc import Iterable
from typing import Any

from job_runners import clock
from job_runners.engine import errors
from job_runners.engine.control.positions import SignalQuestion
from job_runners.engine.settling.settle import settle
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.sending import Send, send_or_leave_due
from job_runners.errors import JobNotFound, PreconditionFailed
from job_runners.store import answer_links, blobs, queries, signals
from job_runners.store.answer_links import AnswerLink
from job_runners.store.job_request import JobRequest, job_id_of
from job_runners.store.signals import Signal
from job_runners.store.transactions import RaceLost
from job_runners.store.transitions import waits
from job_runners.work import context

_TRIES = 5  # how often to try if the job changes between the read and the write


def signal(
    row: JobRequest, name: str, value: Any, send: Send, *, work_id: str | None = None
) -> JobRequest:
    """Store a signal for a job, and continue the job if it waits for that signal. Return its row.

    With `work_id`, the signal is only for that *work* of the job. (If a caller retries the job with
    another payload, new work begins.)

    If the job already has the same value, do nothing. Raises SignalConflict if it has another
    value, and SignalTooLate if it has ended, or no longer waits for the signal. Raises
    SignalTooLarge, TooManySignals, SignalBusy, and JobNotFound if the job was deleted.
    """
    size = len(blobs.compact_json(value))
    if size > signals.MAX_VALUE_BYTES:
        raise errors.SignalTooLarge(size, signals.MAX_VALUE_BYTES)
    for attempt in range(_TRIES):
        is_retry = attempt > 0
        current = _read_again(row) if is_retry else row
        if work_id is not None and work_id != current.work_id:
            raise errors.SignalTooLate(row.id, name, "began again with another payload")
        stored = signals.find(current, name)
        if stored is not None:
            _refuse_other_value(current, stored, value)
            # Perhaps the last try stored the signal and queued the job, but the response was lost.
            # So send the job. If the job wasn't queued, the message does no harm.
            if is_retry:
                send_or_leave_due(current, send)
            return current
        _refuse_if_not_accepted(current, name)
        try:
            return _store(current, name, value, send)
        except (PreconditionFailed, RaceLost) as lost:
            telemetry.race_lost(lost)
    raise errors.SignalBusy


def _store(row: JobRequest, name: str, value: Any, send: Send) -> JobRequest:
    """Store the signal. If the job waits for it, queue and send the job."""
    new_signal = signals.new(row, name, value, by=context.recorded_author())
    change = waits.signal(row, new_signal)
    telemetry.signaled(change.after, name)
    settle(change, send)
    return change.after


def _read_again(row: JobRequest) -> JobRequest:
    """Return the job's current row. Raises JobNotFound."""
    current = queries.read(row.id)
    if current is None or current.organization_id != row.organization_id:
        raise JobNotFound(row.id)
    return current


def _refuse_other_value(row: JobRequest, stored: signals.Signal, value: Any) -> None:
    """Raise SignalTooLate or SignalConflict, unless the stored signal has this value."""
    if stored.timed_out:
        raise errors.SignalTooLate(row.id, stored.sk, "no longer waits for it")
    if blobs.canonical_json(stored.result) != blobs.canonical_json(value):
        raise errors.SignalConflict(row.id, stored.sk)


def _refuse_if_not_accepted(row: JobRequest, name: str) -> None:
    """Raise SignalTooLate or TooManySignals if the job accepts no new signal."""
    if row.status.finished:
        raise errors.SignalTooLate(row.id, name, f"is {row.status}")
    if (row.signals or 0) >= signals.MAX_PER_JOB:
        raise errors.TooManySignals(row.id, signals.MAX_PER_JOB)


# --- answers through links ------------------------------------------------------------------------


def find_link(token: str) -> AnswerLink:
    """Return the link with this token. Raises LinkNotFound."""
    link = answer_links.find(token)
    if link is None:
        raise errors.LinkNotFound
    return link


def find_answer(link: AnswerLink) -> Signal | None:
    """Return the signal that answers a link's question, or None if the link still takes an answer.

    The signal may have been sent by an operator or another job. Raises LinkOver.
    """
    stored = signals.find_of_work(link.work_id, link.name)
    if stored is None:
        row = _read_job(link)
        if row.status.finished or link.until <= clock.now():
            raise errors.LinkOver
    elif stored.timed_out:
        raise errors.LinkOver
    return stored


def answer(link: AnswerLink, value: Any, send: Send) -> None:
    """Answer a link's question with this value: send its signal to its job.

    If the same answer was sent before, do nothing. Raises AlreadyAnswered if another one was sent,
    and LinkOver if the job no longer accepts an answer. Raises SignalTooLarge and SignalBusy.
    """
    earlier = find_answer(link)
    if earlier is not None:
        if blobs.canonical_json(earlier.result) != blobs.canonical_json(value):
            raise errors.AlreadyAnswered
        return
    try:
        signal(_read_job(link), link.name, value, send, work_id=link.work_id)
    except errors.SignalConflict as error:
        raise errors.AlreadyAnswered from error
    except (errors.SignalTooLate, errors.TooManySignals, JobNotFound) as error:
        raise errors.LinkOver from error


def questions(row: JobRequest, names: Iterable[str]) -> list[SignalQuestion]:
    """Return these signals of a job, each with its question if the job has made a link for it."""
    found = []
    for name in names:
        question = SignalQuestion(name)
        link = answer_links.of_job(row, name)
        if link is not None:
            question = SignalQuestion(name, link.text, link.choices)
        found.append(question)
    return found


def _read_job(link: AnswerLink) -> JobRequest:
    """Return the row of a link's job.

    Raises LinkOver if the job was deleted, or was retried with another payload.
    """
    row = queries.read(job_id_of(link.job))
    if row is None or row.work_id != link.work_id:
        raise errors.LinkOver
    return row
