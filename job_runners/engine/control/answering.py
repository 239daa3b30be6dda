"""Answer a job through a link. The link's token is the only proof that the caller may do so."""

from collections.abc import Iterable
from typing import Any

from job_runners import clock
from job_runners.engine.control import signaling
from job_runners.engine.control.positions import Question
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


def look(link: AnswerLink) -> Signal | None:
    """Return the signal that answers a link's question, or None if it takes an answer now.

    An operator or another job may have sent the signal. Raises LinkOver.
    """
    found = signals.find_of_work(link.work_id, link.name)
    if found is None:
        row = _job_of(link)
        if row.status.finished or link.until <= clock.now():
            raise LinkOver
    elif found.timed_out:
        raise LinkOver
    return found


def answer(link: AnswerLink, value: Any, send: Send) -> None:
    """Send a link's signal to its job with this value.

    If the same value was sent before, do nothing. Raises AlreadyAnswered if another one was sent,
    and LinkOver if the job doesn't take an answer any more. Raises SignalTooLarge and SignalBusy.
    """
    found = look(link)
    if found is not None:
        if blobs.canonical_json(found.result) != blobs.canonical_json(value):
            raise AlreadyAnswered
        return
    try:
        signaling.signal(_job_of(link), link.name, value, send, work_id=link.work_id)
    except SignalConflict as error:
        raise AlreadyAnswered from error
    except (SignalTooLate, TooManySignals, JobNotFound) as error:
        raise LinkOver from error


def questions(row: JobRequest, names: Iterable[str]) -> list[Question]:
    """Return the questions that these signals of a job answer."""
    links = [(name, answer_links.of_job(row, name)) for name in names]
    return [
        Question(name, link.text, link.choices) if link else Question(name) for name, link in links
    ]


def _job_of(link: AnswerLink) -> JobRequest:
    """Return the job of a link. Raises LinkOver if it is gone, or began again with other work."""
    row = queries.read(job_id_of(link.job))
    if row is None or row.work_id != link.work_id:
        raise LinkOver
    return row
