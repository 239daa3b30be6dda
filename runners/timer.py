"""Run the timer once: start the due occurrences of schedules, and handle every due row.

Each row stores the time at which the timer must look at it, unless something else happens to it
first. It is then due because its message was lost, its worker died, or its start time came. The
timer gives each row that it handles a later due time, or none. Most jobs finish before they are
ever due.

Rows are in lanes, by the kind of event that they wait for, so that a backlog of one kind doesn't
delay the others. Rows that the timer has to start, and leases that it watches, come first. Of the
other rows, the timer keeps at most MAX_UNCLAIMED with the workers at a time: more messages wouldn't
make a job start sooner.
"""

import heapq
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, islice, zip_longest
from typing import TypeVar

import clock
from aws.errors import AWS_ERRORS, may_pass
from errors import PreconditionFailed, SendFailed
from runners import admission, pausing, recurring, sweeping, telemetry
from runners.due_row import LONGEST_GAP, Disposition, process_due_row
from runners.sending import Send
from store import conditional_write, queries, verbs
from store.job_request import JobRequest, Lane, due_shards

__all__ = ["MAX_UNCLAIMED", "Disposition", "TickResult", "take_next", "tick"]

# At most this many rows that the timer has sent again may be unclaimed at a time. Lambda keeps
# their events, and with too few workers, more events would only wait in Lambda.
MAX_UNCLAIMED = 1000
# One run takes at most this many rows from each end of a lane. The others are still due at the next
# run.
_MAX_ROWS_PER_END = 3000
_PAGE = 1000  # keys per query
_END_OF_TIME = 10**15  # later than every time in a sort key, which has 15 digits of milliseconds
_T = TypeVar("_T")
# A run ends after this many failed sends or AWS errors without a handled row in between.
_MAX_CONSECUTIVE_FAILURES = 3


class TickResult:
    """The counts of one timer run.

    `lag` is how late the oldest row was, in milliseconds. `unclaimed` is the number of still
    unclaimed rows that earlier runs had sent. `schedules` counts the outcomes of the due schedules.
    """

    def __init__(self) -> None:
        self.counts: Counter[Disposition] = Counter()
        self.schedules: Counter[recurring.Outcome] = Counter()
        self.lag = 0
        self.send_failures = 0
        self.unclaimed = 0


def tick(
    send: Send, *, until: int, threads: int = 1, share: Callable[[str], None] | None = None
) -> TickResult:
    """Handle due rows and schedules in `threads` threads, until `until` (ms since 1970).

    `share` asks another process to start the occurrences of one shard: see `recurring.start_due`.
    """
    timer_run = _TimerRun(send, until, threads)
    with timer_run.starting_occurrences(share):
        timer_run.admit_parked()
        timer_run.process_lane(Lane.PROMPT)
        timer_run.process_lane(Lane.RESENT)
        backlog = timer_run.reserve_backlog()
        timer_run.process_lane(Lane.QUEUED)
        timer_run.process(backlog, reserved=True)
        timer_run.process_lane(Lane.PARKED)
    return timer_run.result


def take_next(send: Send, *, ahead: int, page: int) -> Counter[Disposition]:
    """Handle due rows, oldest first, until one message is sent.

    This is for a worker process that polls the table instead of receiving messages. `ahead`
    includes queued rows that are due within that many milliseconds. A new row is due only after its
    GRACE, and this worker must take it sooner.

    `page` rows per shard are read at a time, not one, because the first may need no message.
    """
    timer_run = _TimerRun(send, clock.now() + clock.DAY, threads=1, ahead=ahead, max_sends=1)
    timer_run.admit_parked()
    shards = [shard for lane in Lane for shard in due_shards(lane)]
    timer_run.process(_merged(shards, clock.now() + ahead, page))
    return timer_run.result.counts


class _TimerRun:
    """The state of one timer run, shared by its threads.

    `max_sends` is how many messages the run may send, or None for no such limit.
    """

    def __init__(
        self, send: Send, until: int, threads: int, ahead: int = 0, max_sends: int | None = None
    ) -> None:
        self.result = TickResult()
        self._send = send
        self._until = until
        self._threads = threads
        self._ahead = ahead
        self._max_sends = max_sends
        self._failures = 0  # consecutive ones
        self._lock = threading.Lock()
        # How many more rows may become unclaimed. `_count_unclaimed` subtracts those of earlier
        # runs.
        self._unclaimed_left = MAX_UNCLAIMED
        # A worker process that polls needs no count: it sends one message, and waits for that job.
        self._has_counted = max_sends is not None
        self._admitted_lines: set[tuple[str, str]] = set()  # each line is handled once in a run

    @contextmanager
    def starting_occurrences(self, share: Callable[[str], None] | None) -> Iterator[None]:
        """Start due occurrences while the run handles rows, so that neither delays the other.

        A run with one thread starts the occurrences first, in at most half of its time.
        """
        if self._threads == 1:
            now = clock.now()
            self._start_occurrences(share, now + (self._until - now) // 2)
            yield
            return
        with ThreadPoolExecutor(1, thread_name_prefix="schedules") as pool:
            pool.submit(self._start_occurrences, share, self._until)
            yield

    def _start_occurrences(self, share: Callable[[str], None] | None, until: int) -> None:
        try:
            self.result.schedules = recurring.start_due(
                self._send, until=until, threads=self._threads, share=share
            )
        except Exception as error:  # noqa: BLE001 - a broken schedule must not delay due rows
            telemetry.crashed(error)

    def admit_parked(self) -> None:
        """Admit the jobs of ended pauses, and waiting jobs of queues whose limits were widened.

        These jobs come before due rows because they have waited longest. They get half of the time,
        so that the rows get the other half.
        """
        now, limit = clock.now(), self._max_sends or _MAX_ROWS_PER_END
        half = now + (self._until - now) // 2
        try:
            admitted = pausing.admit_parked(self._send, until=half, limit=limit)
            sweeping.sweep(self._send, self._call_each, until=half)
        except Exception as error:  # noqa: BLE001 - a broken pause must not delay due rows
            telemetry.crashed(error)
        else:
            if admitted:
                self.result.counts[Disposition.ADMITTED] = admitted

    def process_lane(self, lane: Lane) -> None:
        """Handle the due rows of a lane."""
        if self._is_over():
            return
        keys = _due_in(lane, clock.now())
        late = max((clock.now() - (key.due_at or 0) for key in keys), default=0)
        self.result.lag = max(self.result.lag, late)
        self.process(keys)

    def reserve_backlog(self) -> list[JobRequest]:
        """Return the rows of the backlog that can be sent now, and reserve a message for each.

        The run calls this before it adds new rows to the backlog.
        """
        if self._is_over():
            return []
        # A row that is due before this is newly queued. Backlog rows are due later, because they
        # were postponed by at least `due_row._MIN_RESEND_DELAY`.
        newest_due_at = clock.now() + conditional_write.GRACE
        backlog = _merged(due_shards(Lane.QUEUED), _END_OF_TIME, after=newest_due_at)
        first = next(backlog, None)
        if first is None:
            return []
        self._count_unclaimed()
        rows = list(islice(chain([first], backlog), max(0, self._unclaimed_left)))
        self._unclaimed_left -= len(rows)
        return rows

    def process(self, keys: Iterable[JobRequest], *, reserved: bool = False) -> None:
        """Handle these rows.

        If `reserved`, a message is already reserved for each row, and each row is handled even if
        it isn't due yet.
        """
        left = iter(keys)
        self._in_threads(lambda: self._work(left, reserved))

    def _call_each(self, keys: Iterable[str], call: Callable[[str], None]) -> bool:
        """Call `call` with each key. Return whether there was time for all keys."""
        left = iter(keys)

        def work() -> None:
            while (key := self._next(left)) is not None:
                call(key)

        self._in_threads(work)
        return next(left, None) is None

    def _in_threads(self, work: Callable[[], None]) -> None:
        if self._threads == 1:
            work()
            return
        with ThreadPoolExecutor(self._threads, thread_name_prefix="timer") as pool:
            for done in [pool.submit(work) for _ in range(self._threads)]:
                done.result()

    def _work(self, keys: Iterator[JobRequest], reserved: bool) -> None:
        while (key := self._next(keys)) is not None:
            self._process(key, reserved)

    def _next(self, keys: Iterator[_T]) -> _T | None:
        with self._lock:
            return None if self._is_over() else next(keys, None)

    def _is_over(self) -> bool:
        has_failed = self._failures >= _MAX_CONSECUTIVE_FAILURES
        return clock.now() >= self._until or has_failed or self._has_sent_enough()

    def _has_sent_enough(self) -> bool:
        counts = self.result.counts
        return (
            self._max_sends is not None
            and counts[Disposition.SENT] + counts[Disposition.ADMITTED] >= self._max_sends
        )

    def _process(self, key: JobRequest, reserved: bool) -> None:
        until = (key.due_at or 0) if reserved else clock.now() + self._ahead
        reserve_message = _always if reserved else self._reserve_message
        try:
            disposition = process_due_row(
                key,
                self._send,
                reserve_message,
                self._admit_waiting,
                until=until,
                ahead=self._ahead,
            )
        except PreconditionFailed:
            self._note(Disposition.MOVED)
        except (
            SendFailed
        ) as error:  # the row was postponed before the send, so it will be due again
            telemetry.not_sent(error)
            self._note(None, send_failed=True)
        except Exception as error:  # noqa: BLE001 - one row must never keep the others waiting
            telemetry.crashed(error)
            is_broken = not may_pass(error)  # an error that may pass leaves the row due
            if is_broken:
                _postpone_broken(key)
            self._note(
                Disposition.BROKEN if is_broken else None, failed=isinstance(error, AWS_ERRORS)
            )
        else:
            self._note(disposition)

    def _admit_waiting(self, queue_name: str, queue_key: str) -> None:
        """Admit the waiting jobs of a line, at most once in a run."""
        with self._lock:
            if (queue_name, queue_key) in self._admitted_lines:
                return
            self._admitted_lines.add((queue_name, queue_key))
        admission.admit_waiting(queue_name, queue_key, self._send, until=self._until, thorough=True)

    def _note(
        self, disposition: Disposition | None, *, failed: bool = False, send_failed: bool = False
    ) -> None:
        with self._lock:
            if disposition:
                self.result.counts[disposition] += 1
            self.result.send_failures += send_failed
            self._failures = self._failures + 1 if failed or send_failed else 0

    def _reserve_message(self, always: bool) -> bool:
        with self._lock:
            self._count_unclaimed()
            if self._unclaimed_left <= 0 and not always:
                return False
            self._unclaimed_left -= 1
            return True

    def _count_unclaimed(self) -> None:
        """Count the unclaimed rows once; after that, the run counts its own sends."""
        if not self._has_counted:
            self._has_counted = True
            self.result.unclaimed = _unclaimed()
            self._unclaimed_left -= self.result.unclaimed


def _always(_: bool) -> bool:
    return True


def _due_in(lane: Lane, horizon: int) -> list[JobRequest]:
    """Return the rows of a lane that are due by `horizon`, oldest first.

    If there are more rows than a run can handle, oldest and newest rows alternate. A row that has
    just become due then doesn't wait until a backlog is gone.
    """
    shards = due_shards(lane)
    oldest = list(islice(_merged(shards, horizon), _MAX_ROWS_PER_END))
    if len(oldest) < _MAX_ROWS_PER_END:
        return oldest
    newest = islice(_merged(shards, horizon, newest_first=True), _MAX_ROWS_PER_END)
    both = chain.from_iterable(zip_longest(oldest, newest))
    return list({key.id: key for key in both if key is not None}.values())


def _merged(
    shards: list[str],
    until: int,
    page: int = _PAGE,
    *,
    after: int = -1,
    newest_first: bool = False,
) -> Iterator[JobRequest]:
    """Yield the keys of all these shards in the order of their times, and read them as needed.

    A shard that can't be read doesn't delay the others. If none can be read, raise the first error.
    """
    failed: list[Exception] = []

    def read(shard: str) -> Iterator[JobRequest]:
        try:
            yield from queries.due(shard, until, page, after=after, newest_first=newest_first)
        except Exception as error:  # noqa: BLE001 - throttled, for example: the others still answer
            telemetry.crashed(error)
            failed.append(error)

    each = [read(shard) for shard in shards]
    yield from heapq.merge(*each, key=lambda key: key.due_at or 0, reverse=newest_first)
    if len(failed) == len(shards):
        raise failed[0]


def _unclaimed() -> int:
    """Count the rows that were sent again, are still unclaimed, and whose next check isn't due."""
    found = 0
    for shard in due_shards(Lane.RESENT):
        try:
            found += queries.count_due(shard, clock.now(), MAX_UNCLAIMED)
        except Exception as error:  # noqa: BLE001 - perhaps too many are sent, but no row is lost
            telemetry.crashed(error)
    return found


def _postpone_broken(key: JobRequest) -> None:
    """Postpone a row that can't be read. If that fails, the row stays due."""
    try:
        later = clock.now() + LONGEST_GAP
        verbs.set_aside(key.id, seen_due_at=key.due_at or 0, due_at=later)
    except Exception as error:  # noqa: BLE001 - the row has changed, or DynamoDB failed
        telemetry.crashed(error)
