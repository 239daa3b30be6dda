"""Store which existing job a request got, if it created no job of its own.

A request for a job with a unique key creates no job if another job already has that key. The other
job is then the *answer* to the request. Some requests determine the id of their job: requests for
children, for occurrences of schedules, and with an idempotency key. For these, a record under that
id stores the answer. So a repetition of the request gets the same answer, until the other job is
gone. From then on, the answer is *stale*.
"""

from typing import NamedTuple

from pynamodb.attributes import UnicodeAttribute
from pynamodb.expressions.condition import Condition

from job_runners import clock
from job_runners.settings import settings
from job_runners.store.job_request import DuplicateAnswer, JobRequest, job_id_of
from job_runners.store.queries import read
from job_runners.store.table import CoordinationItem, Enumerated, Integer, nullable
from job_runners.store.transactions import RecordWrite

# The longest life of the job that an answer names, in days. The waits in its function end within
# 150 days after it was saved. After that, it may be held for 30 days, and wait for 30 days for a
# deploy with its job type. The timer may check it only once a day, so each of these may take 31.
_MAX_JOB_LIFE = 150 + 31 + 31


class Answer(CoordinationItem):
    """The answer to a request that created no job."""

    how_erased = "not at all: docs/operate/data.md says how long it stays"

    pk = UnicodeAttribute(hash_key=True)  # the id that the request's job would have
    sk = UnicodeAttribute(range_key=True, default="job")
    job = UnicodeAttribute()  # the created_key of the job that is the answer
    outcome = Enumerated(DuplicateAnswer)
    request_hash = nullable(UnicodeAttribute())
    expires_at = Integer()  # in seconds, for TTL


class FoundAnswer(NamedTuple):
    """An answer and the job that it names."""

    answer: Answer
    row: JobRequest | None  # None if the job is gone, which makes the answer stale


def find(job_id: str) -> FoundAnswer | None:
    """Return the answer to the request whose job would have this id, if there is one."""
    answer = Answer.find(_record_id(job_id), "job")
    if answer is None:
        return None
    row = read(job_id_of(answer.job))
    if row is not None and row.created_key != answer.job:
        row = None  # a later job has the same id
    return FoundAnswer(answer, row)


def no_answer_check(job_id: str, stale: Answer | None) -> RecordWrite:
    """Return the check that a request still has no answer, or only this `stale` one."""
    answer = Answer(_record_id(job_id), "job")
    return RecordWrite(answer, "check", condition=_has_no_answer_but(stale))


def answer_writes(
    job_id: str,
    row: JobRequest,
    outcome: DuplicateAnswer,
    request_hash: str | None,
    stale: Answer | None,
) -> list[RecordWrite]:
    """Return the writes that store the job in `row` as the answer to a request.

    `job_id` is the id that the request's own job would have. The writes replace a `stale` answer.
    They are refused if the request has got another answer or a job in the meantime.
    """
    answer = Answer(
        _record_id(job_id),
        job=row.created_key,
        outcome=outcome,
        request_hash=request_hash,
        # Keep an answer only as long as the job's row may exist, because there may be a hundred new
        # answers in a second.
        expires_at=clock.expiry((_MAX_JOB_LIFE + settings().retention_days) * clock.DAY),
    )
    has_no_job = JobRequest.id.does_not_exist()
    has_no_job |= JobRequest.expires_at <= clock.now() // clock.SECOND
    return [
        RecordWrite(answer, "put", condition=_has_no_answer_but(stale)),
        RecordWrite(JobRequest(id=job_id), "check", condition=has_no_job),
    ]


def _has_no_answer_but(stale: Answer | None) -> Condition:
    condition: Condition = Answer.pk.does_not_exist()
    if stale is not None:
        condition |= Answer.job == stale.job
    return condition


def _record_id(job_id: str) -> str:
    return f"answer#{job_id}"
