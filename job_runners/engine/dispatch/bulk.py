"""Dispatch many checked jobs at once: save and send them in many threads.

Each job is saved by its own conditional write, under an id that is computed from the request. So a
repeated request, or a repeated part of it, never resets a job and never creates it twice.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from threading import Lock
from typing import Any, NamedTuple, TypeVar

from job_runners import clock
from job_runners.aws import clients
from job_runners.aws.errors import is_temporary, retry_until
from job_runners.engine.dispatch.checking import CheckedJob
from job_runners.engine.dispatch.dispatch import refuse_if_too_many, save_checked
from job_runners.engine.telemetry import telemetry, tracing
from job_runners.engine.wire.sending import Accepted, Send, StoppingSender, send_if_unclaimed
from job_runners.errors import (
    IdempotencyConflict,
    NotReached,
    PreconditionFailed,
    UniqueConflict,
)
from job_runners.store.job_request import JobRequest

MAX_JOBS = 1_000  # in one request
THREADS = 32  # the number of connections that a client keeps open
_MAX_CALL_TIME = 5.0  # how many seconds after `until` to wait for the calls in progress

_T = TypeVar("_T")


class Result(NamedTuple):
    """The outcome for one job: the response to its request, or an error."""

    accepted: Accepted | None = None
    error: Exception | None = None

    @property
    def row(self) -> JobRequest | None:
        """Return the row of the new or existing job, if there is one."""
        return None if self.accepted is None else self.accepted.row


def dispatch_jobs(
    jobs: Sequence[CheckedJob],
    send: Send,
    *,
    until: int,
    save: Callable[[CheckedJob], Accepted] | None = None,
) -> list[Result]:
    """Save and send jobs, and return their results in the same order.

    A job that wasn't saved by `until` (milliseconds since 1970) gets the error NotReached. Jobs
    with the same unique key are saved in their order. If a job can't be sent now, the timer sends
    it later. If `save` is given, it is called instead of `save_checked`.

    Raises QueueFull or QuotaReached, before anything is saved, if accepting all new jobs would
    exceed a limit. Children aren't refused, because their parent would fail halfway.
    """
    if not jobs:
        return []
    if any(job.new_job.parent_id is None for job in jobs):
        refuse_if_too_many(jobs, in_threads)
    return _BulkDispatch(jobs, send, until, save or save_checked).run()


class _BulkDispatch:
    """One call of `dispatch_jobs`."""

    def __init__(
        self,
        jobs: Sequence[CheckedJob],
        send: Send,
        until: int,
        save: Callable[[CheckedJob], Accepted],
    ) -> None:
        self._save = save
        self._jobs = jobs
        self._send = StoppingSender(send)
        self._until = until
        # Each job has the error NotReached until a thread has dispatched it.
        self._results = [Result(error=NotReached()) for _ in jobs]
        self._lock = Lock()
        # Each item is a list of indexes, whose jobs one thread dispatches one after the other.
        self._remaining_indexes = _indexes_by_unique_key(jobs)

    def run(self) -> list[Result]:
        """Dispatch the jobs, and return the results. Don't wait for a call that hangs."""
        if THREADS == 1:
            self._dispatch_jobs()
            return self._results
        count = min(THREADS, len(self._jobs))
        pool = ThreadPoolExecutor(count, thread_name_prefix="dispatch")
        try:
            futures = [pool.submit(copy_context().run, self._dispatch_jobs) for _ in range(count)]
            seconds_left = max(0, self._until - clock.now()) / clock.SECOND
            for future in wait(futures, seconds_left + _MAX_CALL_TIME).done:
                future.result()  # raises the thread's error
        finally:
            self._until = 0  # if this call is interrupted, the threads take no more jobs
            pool.shutdown(wait=False, cancel_futures=True)
        return list(self._results)

    def _dispatch_jobs(self) -> None:
        """Dispatch jobs until none is left, in one of the threads."""
        # Calls are retried by `retry_until`, because botocore wouldn't stop in time.
        with clients.without_retries():
            while (indexes := self._next_indexes()) is not None:
                for index in indexes:
                    result = self._dispatch_one(self._jobs[index], index)
                    self._results[index] = result
                    if isinstance(result.error, NotReached):
                        break  # a later job with the same unique key must not be saved before it

    def _next_indexes(self) -> list[int] | None:
        """Return the indexes of the jobs to dispatch next, or None if no job or time is left."""
        with self._lock:
            if clock.now() >= self._until:
                return None
            return next(self._remaining_indexes, None)

    def _dispatch_one(self, job: CheckedJob, index: int) -> Result:
        """Save a job, and send it if there is time. Return its result, which may be an error."""
        with tracing.dispatching(job.new_job.job_type, is_of_child=True):
            try:
                accepted = retry_until(self._until, lambda: self._save(job))
            except (IdempotencyConflict, UniqueConflict) as refused:
                return Result(error=refused)
            except PreconditionFailed:  # at each try, another request for the same work was faster
                return Result(error=NotReached())
            except Exception as error:  # noqa: BLE001 - one job's error must not stop the others
                telemetry.crashed(error)
                return Result(error=NotReached() if is_temporary(error) else error)
            self._results[index] = Result(accepted)  # set now, because the send may hang
            if clock.now() < self._until:
                send_if_unclaimed(accepted, self._send)
        return Result(accepted)


def _indexes_by_unique_key(jobs: Sequence[CheckedJob]) -> Iterator[list[int]]:
    """Yield lists of job indexes. Jobs with the same unique key are in one list, in their order."""
    indexes_by_key: dict[Any, list[int]] = {}
    for index, job in enumerate(jobs):
        # A job without a unique key gets a list of its own, because no other job has its index.
        key = job.new_job.unique_key or index
        indexes_by_key.setdefault(key, []).append(index)
    yield from indexes_by_key.values()


def in_threads(call: Callable[..., _T], *arguments: Iterable[Any]) -> list[_T]:
    """Return `list(map(call, *arguments))`, with the calls made in threads."""
    if THREADS == 1:
        return list(map(call, *arguments))
    with ThreadPoolExecutor(THREADS, thread_name_prefix="dispatch") as pool:
        return list(pool.map(call, *arguments))
