"""The answers to requests that created no job of their own.

Some jobs have an id that is derived from their request: children, occurrences of schedules, and
jobs with an idempotency key. If the job is unique and another job already has its unique key, no
job is saved under that id. Instead, a record under the id names that other job as the answer. The
same request then gets the same answer, until the other job is gone.
"""

from typing import NamedTuple

from pynamodb.attributes import UnicodeAttribute
from pynamodb.expressions.condition import Condition

from job_runners import clock
from job_runners.settings import settings
from job_runners.store.job_request import JobRequest, Outcome, job_id_of
from job_runners.store.queries import read
from job_runners.store.table import CoordinationItem, Enumerated, Integer, nullable
from job_runners.store.transactions import RecordWrite

# The longest life of the job that an answer names. The waits in its function end within 150 days
# after it was saved. Then it may be held for 30 days, and wait 30 more for a deploy that has its
# job type. The timer may check it only once a day, so add a day to each 30.
_MAX_JOB_LIFE = 212  # days


class Answer(CoordinationItem):
    """The answer to a request that created no job."""

    erasure = "none: docs/operate/data.md says how long it stays"

    pk = UnicodeAttribute(hash_key=True)  # the id that the request's job would have
    sk = UnicodeAttribute(range_key=True, default="job")
    job = UnicodeAttribute()  # the created_key of the job that the request was answered with
    outcome = Enumerated(Outcome)
    request_hash = nullable(UnicodeAttribute())
    expires_at = Integer()  # in seconds, for TTL


class FoundAnswer(NamedTuple):
    """An answer and the job that it names.

    `row` is None if that job is gone. The answer is then void.
    """

    answer: Answer
    row: JobRequest | None


def find(job_id: str) -> FoundAnswer | None:
    """Return the answer to the request whose job would have this id, if there is one."""
    try:
        answer = Answer.get(_record_id(job_id), "job", consistent_read=True)
    except Answer.DoesNotExist:
        return None
    row = read(job_id_of(answer.job))
    return FoundAnswer(answer, row if row is not None and row.created_key == answer.job else None)


def no_answer_check(job_id: str, stale: Answer | None) -> RecordWrite:
    """Return the check that a request has no answer, except a `stale` one, whose job is gone."""
    return RecordWrite(Answer(_record_id(job_id), "job"), "check", condition=_missing_or(stale))


def answer_writes(
    job_id: str, row: JobRequest, outcome: Outcome, request_hash: str | None, stale: Answer | None
) -> list[RecordWrite]:
    """Return the writes that store an answer.

    They are refused if the request has received an answer or a job in the meantime. They replace a
    `stale` answer, whose job is gone.
    """
    answer = Answer(
        _record_id(job_id),
        job=row.created_key,
        outcome=outcome,
        request_hash=request_hash,
        expires_at=(clock.now() + _lifetime()) // clock.SECOND,
    )
    no_job = JobRequest.id.does_not_exist()
    no_job |= JobRequest.expires_at <= clock.now() // clock.SECOND
    return [
        RecordWrite(answer, "put", condition=_missing_or(stale)),
        RecordWrite(JobRequest(id=job_id), "check", condition=no_job),
    ]


def _missing_or(stale: Answer | None) -> Condition:
    condition: Condition = Answer.pk.does_not_exist()
    if stale is not None:
        condition |= Answer.job == stale.job
    return condition


def _lifetime() -> int:
    """Return how long to keep an answer, in milliseconds: as long as its row may exist.

    It isn't kept longer, because a hundred answers a second add up.
    """
    return (_MAX_JOB_LIFE + settings().retention_days) * clock.DAY


def _record_id(job_id: str) -> str:
    return f"answer#{job_id}"
