"""The results of a job's named steps. Once a result is stored, no later write replaces it.

They are in the coordination table, and outlive the job's row. Each `JobRequest.work_id` has its own
DynamoDB partition. So a job that starts over with a new payload doesn't find its earlier steps. And
a new job doesn't find the steps of an expired job with the same id. (Two jobs can have the same id,
because an idempotency key or a child's key can be used again.)
"""

from typing import Any

from pynamodb.attributes import BinaryAttribute, UnicodeAttribute

from job_runners import clock
from job_runners.aws.errors import try_write
from job_runners.store import blobs
from job_runners.store.job_request import JobRequest
from job_runners.store.table import CoordinationItem, Integer, nullable

# No job needs a step for longer: its last wait ends within 150 days (see `work.waiting`). Then it
# may wait for a pause and for a deploy, fail, and be retried until its row expires. The bucket
# keeps a job's objects under partial/ for the same time.
LIFETIME = 300 * clock.DAY
MAX_NAME_BYTES = 1024  # the limit of a sort key in DynamoDB


class Step(CoordinationItem):
    """The result of a step. It exists only once the step is done."""

    how_erased = "with its job, by caller_transitions.delete_records"

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)  # the step's name
    value = nullable(BinaryAttribute(legacy_encoding=False))  # see job_runners.store.blobs
    value_key = nullable(UnicodeAttribute())
    began_at = Integer(default=0)
    done_at = Integer(default=0)
    claim = Integer(default=0)  # the number of the claim that recorded it; 0 in a copied step
    attempt = nullable(Integer())  # the attempt that recorded it
    expires_at = Integer()  # in seconds, for TTL

    @property
    def result(self) -> Any:
        """Return the step's result. Raises MissingObject."""
        return blobs.get(self.value, self.value_key)


def find(job: JobRequest, name: str) -> Step | None:
    """Return the step with this name, or None if it isn't done."""
    return Step.find(_partition(job.work_id), name)


def record(job: JobRequest, name: str, result: Any, began_at: int | None = None) -> Step:
    """Record that a step is done, with this result, and return the step.

    If the step was already done, return it unchanged, with its earlier result. If `began_at` is
    None, the step began now.
    """
    step = new(job, name, result, began_at)
    if try_write(lambda: step.save(Step.pk.does_not_exist())):
        return step
    return find(job, name) or step


def new(job: JobRequest, name: str, result: Any, began_at: int | None = None) -> Step:
    """Return a new step. The caller must store it. A large result is stored in the bucket."""
    inline, key = blobs.put(f"partial/{job.created_key}/steps", result)
    now = clock.now()
    return Step(
        _partition(job.work_id),
        name,
        value=inline,
        value_key=key,
        began_at=now if began_at is None else began_at,
        done_at=now,
        claim=job.claims,
        attempt=job.attempt,
        expires_at=clock.expiry(LIFETIME),
    )


def new_job_record(job: JobRequest, name: str, value: bytes) -> Step:
    """Return a record about the job itself. The caller must store it.

    It has the job's first `work_id`, so that it can still be found after the job has started over.
    """
    expires_at = clock.expiry(LIFETIME)
    return Step(_partition(job.work_ids[0]), name, value=value, expires_at=expires_at)


def with_prefix(job: JobRequest, prefix: str, *, after: str | None, limit: int) -> list[Step]:
    """Return the job's steps whose names begin with a prefix, ordered by name.

    If `after` isn't None, only steps with later names are returned.
    """
    return query(job.work_id, Step.sk.startswith(prefix), limit, after=after)


def query(
    work_id: str, condition: Any, limit: int, *, after: str | None = None, values: bool = True
) -> list[Step]:
    """Return up to `limit` steps for a `work_id` whose names meet a condition, ordered by name.

    If `after` isn't None, only steps with later names are returned. Pass `values=False` to leave
    out the results.
    """
    partition = _partition(work_id)
    start = None if after is None else {"pk": {"S": partition}, "sk": {"S": after}}
    attributes = None if values else ["sk", "began_at", "done_at", "claim", "attempt"]
    steps = Step.query(
        partition,
        condition,
        limit=limit,
        last_evaluated_key=start,
        attributes_to_get=attributes,
        consistent_read=True,
    )
    return list(steps)


def with_prefix_in_all_work(job: JobRequest, prefix: str) -> list[Step]:
    """Return the job's steps whose names begin with a prefix, even from before it started over."""
    condition = Step.sk.startswith(prefix)
    steps: list[Step] = []
    for work_id in job.work_ids:
        steps += Step.query(_partition(work_id), condition, consistent_read=True)
    return steps


def delete(job: JobRequest) -> int:
    """Delete all steps of a job, even from before it started over. Return their number."""
    return Step.delete_partitions(map(_partition, job.work_ids))


def _partition(work_id: str) -> str:
    return f"step#{work_id}"
