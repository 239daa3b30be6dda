"""Run the timer once: start the due occurrences of schedules, and handle every due row.

Each job has a row in the table. The row stores its *due time*, at which the timer must look at it.
Most jobs finish before that. A row becomes due because its message was lost, its worker died, or
its start time has come. The timer moves the due time of each row that it handles into the future,
or removes it.

A worker *claims* a job when it starts to run it. To *send* a job or its row is to send a worker a
message about it. To *hold* a job is to let it wait under a pause or a limit, and to *admit* it is
to let it continue.

Rows are in *lanes*, one for each kind of event that they wait for, so that many rows of one kind
don't delay the others: see `Lane`. In most lanes, the timer stops sending when MAX_UNCLAIMED of the
jobs that it has sent are still unclaimed, because more messages wouldn't make a job start sooner.
It *defers* the other jobs: it postpones them without a message, and a later run sends them.

An *occurrence* is one of the times at which a schedule dispatches a job.
"""

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

from job_runners import clock
from job_runners.aws.errors import AWS_ERRORS, is_temporary
from job_runners.engine.lines import pausing, sweeping
from job_runners.engine.lines.admission import LineAdmissions
from job_runners.engine.registry.registry import registry
from job_runners.engine.telemetry import telemetry
from job_runners.engine.tick import due_index
from job_runners.engine.tick.due_row import MAX_CHECK_GAP, Disposition, process_due_row
from job_runners.engine.tick.message_budget import MessageBudget
from job_runners.engine.wire.sending import Send
from job_runners.errors import PreconditionFailed, SendFailed
from job_runners.store import conditional_write, schedule_marks, transitions
from job_runners.store.job_request import JobRequest, Lane, due_shards

if TYPE_CHECKING:
    from job_runners.engine.schedules.due_schedule import Outcome

__all__ = ["MAX_UNCLAIMED", "Disposition", "TickResult", "send_next", "tick"]

# How many sent rows may be unclaimed at a time. Each message is an event in Lambda's queue. If
# workers are busy, more events would only wait there.
MAX_UNCLAIMED = 1000
# One run handles this many of a lane's oldest rows, and as many of its newest. The next run handles
# the others.
_MAX_ROWS = 3000
# A run ends after this many failed sends or AWS errors in a row.
_MAX_CONSECUTIVE_FAILURES = 3
_T = TypeVar("_T")


class TickResult:
    """The counts of one timer run, which its threads add to."""

    def __init__(self) -> None:
        self.counts: Counter[Disposition] = Counter()
        self.schedules: Counter[Outcome] = Counter()  # the outcomes of the due schedules
        self.lag = 0  # how late the oldest row was, in milliseconds
        self.send_failures = 0
        self.unclaimed = 0  # rows that earlier runs have sent and no worker has claimed
        self.consecutive_failures = 0  # failed sends and AWS errors since the last handled row
        self._lock = threading.Lock()

    @property
    def sent(self) -> int:
        """Return how many jobs were sent, including the admitted ones."""
        return self.counts[Disposition.SENT] + self.counts[Disposition.ADMITTED]

    def add(self, disposition: Disposition) -> None:
        """Count a row that was handled."""
        with self._lock:
            self.counts[disposition] += 1
            self.consecutive_failures = 0

    def add_failed_send(self) -> None:
        """Count a message that couldn't be sent."""
        with self._lock:
            self.send_failures += 1
            self.consecutive_failures += 1

    def add_error(self, error: Exception, *, is_broken: bool) -> None:
        """Count a row whose handling failed. If `is_broken`, a retry would fail too."""
        with self._lock:
            if is_broken:
                self.counts[Disposition.BROKEN] += 1
            is_aws_error = isinstance(error, AWS_ERRORS)
            self.consecutive_failures = self.consecutive_failures + 1 if is_aws_error else 0


def tick(
    send: Send, *, until: int, threads: int = 1, delegate: Callable[[str], None] | None = None
) -> TickResult:
    """Handle due rows and schedules in `threads` threads, until `until` (ms since 1970).

    The schedules are stored in several shards. `delegate` gets the name of a shard, and asks
    another process to start the occurrences of its schedules: see `recurring.start_due`.
    """
    timer_run = _TimerRun(send, until, threads)
    budget = MessageBudget(MAX_UNCLAIMED)
    with timer_run.starting_occurrences(delegate):
        # The order of the lanes puts the jobs that have waited longest first. Processing the lane
        # QUEUED may use up the messages. So the run first reserves messages for the rows that
        # earlier runs have deferred.
        timer_run.admit_held(limit=_MAX_ROWS)
        timer_run.process_lane(Lane.PROMPT, budget)
        timer_run.process_lane(Lane.WAITS, budget)
        timer_run.process_lane(Lane.RESENT, budget)
        reserved = timer_run.reserve_for_deferred(budget)
        timer_run.process_lane(Lane.QUEUED, budget)
        timer_run.process_reserved(reserved)
        timer_run.process_lane(Lane.HELD, budget)
    timer_run.result.unclaimed = budget.unclaimed
    return timer_run.result


def send_next(send: Send, *, early_by: int, page_size: int) -> Counter[Disposition]:
    """Handle due rows, oldest first, until one message is sent. Return the counts of handled rows.

    This is for a worker process that polls the table instead of receiving messages. It needs no
    budget, because it sends one message and waits for that job.

    Queued rows that become due within `early_by` milliseconds are handled too. Normally a new row
    is due after a minute, in case its message is lost. Here it has no message, so without
    `early_by` it would always wait for that minute. The first rows may need no message. So
    `page_size` rows of each shard are read at a time.
    """
    timer_run = _TimerRun(send, clock.now() + clock.DAY, threads=1, max_sends=1)
    timer_run.admit_held(limit=1)
    shards = [shard for lane in Lane for shard in due_shards(lane)]
    rows = due_index.merge_shards(shards, clock.now() + early_by, page_size)
    timer_run.process_rows(rows, budget=None, early_by=early_by)  # ends after max_sends
    return timer_run.result.counts


class _TimerRun:
    """A timer run. It ends at `until`, after `max_sends` messages, or if AWS keeps failing."""

    def __init__(self, send: Send, until: int, threads: int, max_sends: float = math.inf) -> None:
        self.result = TickResult()
        self._send = send
        self._until = until
        self._threads = threads
        self._max_sends = max_sends
        self._lines = LineAdmissions(send, until)
        self._lock = threading.Lock()  # for the iterator that the threads share

    @contextmanager
    def starting_occurrences(self, delegate: Callable[[str], None] | None) -> Iterator[None]:
        """Start due occurrences while the run handles rows, so that neither delays the other.

        A run with one thread starts the occurrences first, in at most half of its time.
        """
        if self._threads == 1:
            self._start_occurrences(delegate, self._halfway())
            yield
            return
        with ThreadPoolExecutor(1, thread_name_prefix="schedules") as pool:
            pool.submit(self._start_occurrences, delegate, self._until)
            yield

    def _start_occurrences(self, delegate: Callable[[str], None] | None, until: int) -> None:
        try:
            marks = schedule_marks.marks()  # an app with schedules has some
            if not marks and not registry().recurring:
                return
            # Imported here because many apps have no schedules.
            from job_runners.engine.schedules import recurring

            self.result.schedules = recurring.start_due(
                self._send, until=until, threads=self._threads, delegate=delegate, marks=marks
            )
        except Exception as error:  # noqa: BLE001 - a broken schedule must not delay due rows
            telemetry.crashed(error)

    def admit_held(self, limit: int) -> None:
        """Admit the jobs of ended pauses, and waiting jobs of queues whose limits were raised.

        This takes at most half of the time, so that due rows get the other half. It admits at most
        `limit` jobs of ended pauses.
        """
        halfway = self._halfway()
        try:
            admitted = pausing.admit_held(self._send, until=halfway, limit=limit)
            sweeping.sweep(self._send, self._call_each, until=halfway)
        except Exception as error:  # noqa: BLE001 - a broken pause must not delay due rows
            telemetry.crashed(error)
        else:
            if admitted:
                self.result.counts[Disposition.ADMITTED] = admitted

    def process_lane(self, lane: Lane, budget: MessageBudget) -> None:
        """Handle the due rows of a lane."""
        if self._is_over():
            return
        rows = due_index.due_in(lane, clock.now(), _MAX_ROWS)
        lag = max((clock.now() - (row.due_at or 0) for row in rows), default=0)
        self.result.lag = max(self.result.lag, lag)
        self.process_rows(rows, budget)

    def reserve_for_deferred(self, budget: MessageBudget) -> list[JobRequest]:
        """Reserve messages for deferred rows, as the budget allows. Return the rows that got one.

        Call this before the run itself defers rows. Otherwise it would find those rows too.
        """
        if self._is_over():
            return []
        # The lane QUEUED has new rows and deferred rows, and only the due time tells them apart.
        # New rows are due within GRACE. Deferred rows are due later, because they were postponed by
        # at least ten minutes.
        new_rows_due_by = clock.now() + conditional_write.GRACE
        shards = due_shards(Lane.QUEUED)
        deferred = due_index.merge_shards(shards, due_index.END_OF_TIME, after=new_rows_due_by)
        first = next(deferred, None)
        if first is None:  # `take_for` would count the unclaimed rows, which costs queries
            return []
        return budget.take_for(chain([first], deferred))

    def process_rows(
        self, rows: Iterable[JobRequest], budget: MessageBudget | None, early_by: int = 0
    ) -> None:
        """Handle the rows that are due, and the unclaimed ones that are due in `early_by` ms."""

        def process(row: JobRequest) -> None:
            self._process_row(row, clock.now(), budget, early_by)

        self._in_threads(iter(rows), process)

    def process_reserved(self, rows: Iterable[JobRequest]) -> None:
        """Handle the rows for which messages are reserved, even if they aren't due yet."""

        def process(row: JobRequest) -> None:
            due_at = row.due_at or 0
            self._process_row(row, until=due_at, budget=None)

        self._in_threads(iter(rows), process)

    def _process_row(
        self, row: JobRequest, until: int, budget: MessageBudget | None, early_by: int = 0
    ) -> None:
        """Handle a row that is due by `until`, and count the outcome."""
        try:
            disposition = process_due_row(
                row, self._send, budget, self._lines, until=until, early_by=early_by
            )
        except PreconditionFailed:
            self.result.add(Disposition.MOVED)
        except SendFailed as error:  # the row was postponed first, so it will be due again
            telemetry.not_sent(error)
            self.result.add_failed_send()
        except Exception as error:  # noqa: BLE001 - one row must never keep the others waiting
            telemetry.crashed(error)
            is_broken = not is_temporary(error)
            if is_broken:  # a row with a temporary error stays due
                _postpone_broken(row)
            self.result.add_error(error, is_broken=is_broken)
        else:
            self.result.add(disposition)

    def _call_each(self, keys: Iterable[str], call: Callable[[str], None]) -> bool:
        """Call `call` with each key until the run is over. Return whether it got all keys."""
        remaining = iter(keys)
        self._in_threads(remaining, call)
        unhandled_key = next(remaining, None)
        return unhandled_key is None

    def _in_threads(self, items: Iterator[_T], call: Callable[[_T], None]) -> None:
        """Call `call` with each item, in the threads of the run, until the run is over."""

        def call_with_items() -> None:
            while (item := self._next(items)) is not None:
                call(item)

        if self._threads == 1:
            call_with_items()
            return
        with ThreadPoolExecutor(self._threads, thread_name_prefix="timer") as pool:
            futures = [pool.submit(call_with_items) for _ in range(self._threads)]
            for future in futures:
                future.result()

    def _next(self, items: Iterator[_T]) -> _T | None:
        """Return the next item, or None if there is none or the run is over."""
        with self._lock:
            return None if self._is_over() else next(items, None)

    def _is_over(self) -> bool:
        return (
            clock.now() >= self._until
            or self.result.consecutive_failures >= _MAX_CONSECUTIVE_FAILURES
            or self.result.sent >= self._max_sends
        )

    def _halfway(self) -> int:
        """Return when half of the remaining time is over."""
        now = clock.now()
        return now + (self._until - now) // 2


def _postpone_broken(index_row: JobRequest) -> None:
    """Postpone a row that can't be read or handled, by MAX_CHECK_GAP.

    If that fails, the row stays due. `index_row` has only the attributes of the index.
    """
    try:
        later = clock.now() + MAX_CHECK_GAP
        transitions.set_aside(index_row.id, seen_due_at=index_row.due_at or 0, due_at=later)
    except Exception as error:  # noqa: BLE001 - the row has changed, or DynamoDB failed
        telemetry.crashed(error)
