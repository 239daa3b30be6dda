"""Answer a job's question through a link, whose token is the caller's only credential.

The answer is stored as one of the job's signals.
"""

from collections.abc import Iterable
from typing import Any

from job_runners import clock
from job_runners.engine.control import signaling
from job_runners.engine.control.positions import SignalQuestion
from job_runners.engine.errors import (
    AlreadyAnswered,
    LinkNotFound,
    LinkOver,
    SignalConflict,
    SignalTooLate,
    TooManySignals,
)
from job_runners.engine.wire.sending import Send
from job_runners.errors import JobNotFound
from job_runners.store import answer_links, blobs, queries, signals
from job_runners.store.answer_links import AnswerLink
from job_runners.store.job_request import JobRequest, job_id_of
from job_runners.store.signals import Signal


def find(token: str) -> AnswerLink:
    """Return the link with this token. Raises LinkNotFound."""
    link = answer_links.find(token)
    if link is None:
        raise LinkNotFound
    return link


def find_answer(link: AnswerLink) -> Signal | None:
    """Return the signal that answers a link's question, or None if the link still takes an answer.

    An operator or another job may also have sent the signal. Raises LinkOver.
    """
    signal = signals.find_of_work(link.work_id, link.name)
    if signal is None:
        row = _read_job(link)
        if row.status.finished or link.until <= clock.now():
            raise LinkOver
    elif signal.timed_out:
        raise LinkOver
    return signal


def answer(link: AnswerLink, value: Any, send: Send) -> None:
    """Send a link's signal to its job with this value.

    If the same value was sent before, do nothing. Raises AlreadyAnswered if another value was sent,
    and LinkOver if the job no longer accepts an answer. Raises SignalTooLarge and SignalBusy.
    """
    signal = find_answer(link)
    if signal is not None:
        if blobs.canonical_json(signal.result) != blobs.canonical_json(value):
            raise AlreadyAnswered
        return
    try:
        signaling.signal(_read_job(link), link.name, value, send, work_id=link.work_id)
    except SignalConflict as error:
        raise AlreadyAnswered from error
    except (SignalTooLate, TooManySignals, JobNotFound) as error:
        raise LinkOver from error


def questions(row: JobRequest, names: Iterable[str]) -> list[SignalQuestion]:
    """Return the questions that these signals of a job answer."""
    found = []
    for name in names:
        link = answer_links.of_job(row, name)
        found.append(
            SignalQuestion(name, link.text, link.choices) if link else SignalQuestion(name)
        )
    return found


def _read_job(link: AnswerLink) -> JobRequest:
    """Return the row of a link's job.

    Raises LinkOver if it was deleted, or was retried with another payload.
    """
    row = queries.read(job_id_of(link.job))
    if row is None or row.work_id != link.work_id:
        raise LinkOver
    return row
