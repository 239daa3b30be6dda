"""Dispatch many jobs at once: check all of them, then save and send each in one of many threads.

Each job is saved by a conditional put of its own, under an id that its request determines. So a
request that is repeated, in part or as a whole, never resets a job and never creates a second one.
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
from job_runners.engine.wire.messages import Message
from job_runners.engine.wire.sending import Accepted, Send, send_if_unclaimed
from job_runners.errors import (
    IdempotencyConflict,
    NotReached,
    PreconditionFailed,
    SendFailed,
    UniqueConflict,
)
from job_runners.store.job_request import JobRequest

MAX_JOBS = 1_000  # in one request
THREADS = 32  # the number of connections that a client keeps open
_LONGEST_CALL = 5.0  # seconds: a call that began before `until` may end this much later
_MOST_FAILED_SENDS = 3  # in a row; after that, all messages are left to the timer

_T = TypeVar("_T")


class Result(NamedTuple):
    """The outcome for one job: the answer to its request, or the error why it has none."""

    accepted: Accepted | None = None
    error: Exception | None = None

    @property
    def row(self) -> JobRequest | None:
        """Return the row that answers the request, if there is one."""
        return None if self.accepted is None else self.accepted.row


def dispatch_jobs(
    jobs: Sequence[CheckedJob],
    send: Send,
    *,
    until: int,
    save: Callable[[CheckedJob], Accepted] | None = None,
) -> list[Result]:
    """Save and send jobs, and return the result of each in the same order.

    A job that isn't reached by `until` (milliseconds since 1970) gets the error NotReached. Jobs
    with the same unique key are saved in their order. If a job can't be sent now, the timer sends
    it later. `save` replaces `save_checked`.

    Raises QueueFull or QuotaReached, before anything is saved, if accepting all of the new jobs
    would exceed a limit. Children aren't refused, because their parent would fail halfway.
    """
    if not jobs:
        return []
    if any(job.new_job.parent_id is None for job in jobs):
        refuse_if_too_many(jobs, in_threads)
    return _Dispatching(jobs, send, until, save or save_checked).run()


class _Dispatching:
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
        self._send = send
        self._until = until
        self._results = [Result(error=NotReached()) for _ in jobs]
        self._lock = Lock()
        self._remaining = iter(_grouped_by_unique_key(jobs))
        self._failed_sends = 0  # in a row

    def run(self) -> list[Result]:
        """Dispatch the jobs, and return the results. Don't wait for a call that hangs."""
        if THREADS == 1:
            self._work()
            return self._results
        pool = ThreadPoolExecutor(min(THREADS, len(self._jobs)), thread_name_prefix="dispatch")
        try:
            threads = [
                pool.submit(copy_context().run, self._work)
                for _ in range(min(THREADS, len(self._jobs)))
            ]
            seconds_left = max(0, self._until - clock.now()) / clock.SECOND
            for done in wait(threads, seconds_left + _LONGEST_CALL).done:
                done.result()
        finally:
            self._until = 0  # if this call is interrupted, the threads take no further job
            pool.shutdown(wait=False, cancel_futures=True)
        return list(self._results)

    def _work(self) -> None:
        # `retry_until` retries the calls, not botocore, because it stops in time.
        with clients.without_retries():
            while (indexes := self._next()) is not None:
                for index in indexes:
                    self._results[index] = result = self._dispatch(self._jobs[index], index)
                    if isinstance(result.error, NotReached):
                        break  # a later job of the same unique key must not be saved before it

    def _next(self) -> list[int] | None:
        with self._lock:
            return next(self._remaining, None) if clock.now() < self._until else None

    def _dispatch(self, job: CheckedJob, index: int) -> Result:
        with tracing.dispatching(job.new_job.job_type, is_of_child=True):
            try:
                accepted = retry_until(self._until, lambda: self._save(job))
            except (IdempotencyConflict, UniqueConflict) as refused:
                return Result(error=refused)
            except PreconditionFailed:  # other requests for the same work were faster each time
                return Result(error=NotReached())
            except Exception as error:  # noqa: BLE001 - one job's error must not stop the others
                telemetry.crashed(error)
                return Result(error=NotReached() if is_temporary(error) else error)
            self._results[index] = Result(accepted)  # it is saved, even if its message is lost
            if clock.now() < self._until:
                send_if_unclaimed(accepted, self._send_counted)
        return Result(accepted)

    def _send_counted(self, message: Message, delay: float = 0) -> None:
        """Send a message. After a few failures in a row, raise SendFailed without trying."""
        if self._failed_sends >= _MOST_FAILED_SENDS:
            raise SendFailed(message.title, "the messages before it could not be sent")
        try:
            self._send(message, delay)
        except SendFailed:
            self._failed_sends += 1
            raise
        self._failed_sends = 0


def _grouped_by_unique_key(jobs: Sequence[CheckedJob]) -> Iterator[list[int]]:
    """Yield lists of job indexes. Jobs with the same unique key are in one list, in their order."""
    groups: dict[Any, list[int]] = {}
    for index, job in enumerate(jobs):
        groups.setdefault(job.new_job.unique_key or index, []).append(index)
    yield from groups.values()


def in_threads(call: Callable[..., _T], *arguments: Iterable[Any]) -> list[_T]:
    """Call `map` in threads, and return a list."""
    if THREADS == 1:
        return list(map(call, *arguments))
    with ThreadPoolExecutor(THREADS, thread_name_prefix="dispatch") as pool:
        return list(pool.map(call, *arguments))
