"""One tick of the timer: what recurs is started, and every row that is due gets what it waits for,
and is moved or removed.

A row carries the time at which it is due unless something happens to it before: its message may be
lost, its worker may die, or its time comes. Most rows finish before the timer ever sees them.

Rows come in lanes, by what they wait for, so that a backlog of one kind keeps no other waiting.
What the timer has to start comes first, with the leases that it watches. Of the others it keeps no
more than UNCLAIMED_AT_MOST on their way to the workers: more would not start any sooner.
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

__all__ = ["UNCLAIMED_AT_MOST", "Disposition", "Tick", "take_next", "tick"]

# Rows that the timer has sent again and that nobody has claimed yet. Lambda holds their events: if
# workers are too few, more events would only wait there beside these.
UNCLAIMED_AT_MOST = 1000
# How many rows of a lane one tick takes from either end. The others are still due at the next tick.
_ROWS_FROM_AN_END = 3000
_PAGE = 1000  # keys that one query brings
_EVER = 10**15  # milliseconds since 1970: 15 digits, like the sort keys
_T = TypeVar("_T")
_FAILURES_IN_A_ROW = 3  # sends that fail: the worker can't be reached, the rest can wait


class Tick:
    """What one tick did. `lag` is how late its oldest row was, in milliseconds; `unclaimed` how
    many rows earlier ones had sent that nobody has claimed; `schedules` what became of those that
    were due."""

    def __init__(self) -> None:
        self.counts: Counter[Disposition] = Counter()
        self.schedules: Counter[recurring.Outcome] = Counter()
        self.lag = 0
        self.send_failures = 0
        self.unclaimed = 0


def tick(
    send: Send, *, until: int, threads: int = 1, share: Callable[[str], None] | None = None
) -> Tick:
    """Process what is due, until `until` (milliseconds since 1970), in so many threads.

    `share` has another process start the occurrences of one shard: see `recurring.start_due`.
    """
    this = _Tick(send, until, threads)
    with this.starting_occurrences(share):
        this.admit_parked()
        this.process_lane(Lane.PROMPT)
        this.process_lane(Lane.RESENT)
        line = this.next_in_line()
        this.process_lane(Lane.QUEUED)
        this.process(line, reserved=True)
        this.process_lane(Lane.PARKED)
    return this.result


def take_next(send: Send, *, ahead: int, page: int) -> Counter[Disposition]:
    """Process what is due, oldest first, until one message is sent.

    For a worker process that polls the table, instead of being sent messages: `ahead` takes in
    waiting rows due that many milliseconds from now, the grace that a new row is given. Rows are
    read `page` of a shard at a time: there may be none to send among the first.
    """
    this = _Tick(send, clock.now() + clock.DAY, threads=1, ahead=ahead, sends=1)
    this.admit_parked()
    shards = [shard for lane in Lane for shard in due_shards(lane)]
    this.process(_merged(shards, clock.now() + ahead, page))
    return this.result.counts


class _Tick:
    """A tick under way. Its threads share what is in it."""

    def __init__(
        self, send: Send, until: int, threads: int, ahead: int = 0, sends: int | None = None
    ) -> None:
        self.result = Tick()
        self._send = send
        self._until = until
        self._threads = threads
        self._ahead = ahead
        self._sends = sends
        self._failures = 0
        self._lock = threading.Lock()
        self._room = UNCLAIMED_AT_MOST  # less those that are there, once that is of interest
        self._has_counted = sends is not None  # a worker process sends one, and waits until it ends
        self._admitted_lines: set[tuple[str, str]] = set()  # lines, each of them once in a tick

    @contextmanager
    def starting_occurrences(self, share: Callable[[str], None] | None) -> Iterator[None]:
        """Start what recurs while the rest of the run goes on: many occurrences must not keep rows
        waiting, nor rows them. A run of one thread starts them first, in half of its time."""
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
        except Exception as error:  # noqa: BLE001 - what is due must not wait for what recurs
            telemetry.crashed(error)

    def admit_parked(self) -> None:
        """Admit what ended pauses have parked, and who waits in queues with wider limits: before
        rows, for it has waited longest, and with half of the time, to leave some for the rest."""
        now, most = clock.now(), self._sends or _ROWS_FROM_AN_END
        half = now + (self._until - now) // 2
        try:
            gone = pausing.admit_parked(self._send, until=half, most=most)
            sweeping.sweep(self._send, self._each, until=half)
        except Exception as error:  # noqa: BLE001 - what is due must not wait for what was paused
            telemetry.crashed(error)
        else:
            if gone:
                self.result.counts[Disposition.ADMITTED] = gone

    def process_lane(self, lane: Lane) -> None:
        """Process what is due in a lane."""
        if self._is_over():
            return
        keys = _due_in(lane, clock.now())
        late = max((clock.now() - (key.due_at or 0) for key in keys), default=0)
        self.result.lag = max(self.result.lag, late)
        self.process(keys)

    def next_in_line(self) -> list[JobRequest]:
        """Return the rows of the backlog whose turn it is, before new ones join it, and reserve the
        room for them."""
        if self._is_over():
            return []
        # What is due sooner has come new into the lane, and has not been looked at yet.
        begun = clock.now() + conditional_write.GRACE
        waiting = _merged(due_shards(Lane.QUEUED), _EVER, after=begun)
        first = next(waiting, None)
        if first is None:
            return []
        self._count()
        line = list(islice(chain([first], waiting), max(0, self._room)))
        self._room -= len(line)
        return line

    def process(self, keys: Iterable[JobRequest], *, reserved: bool = False) -> None:
        """Process these rows; those that room is `reserved` for, whenever they are due."""
        left = iter(keys)
        self._in_threads(lambda: self._work(left, reserved))

    def _each(self, keys: Iterable[str], call: Callable[[str], None]) -> bool:
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
        out_of_reach = self._failures >= _FAILURES_IN_A_ROW
        return clock.now() >= self._until or out_of_reach or self._has_sent_enough()

    def _has_sent_enough(self) -> bool:
        counts = self.result.counts
        return (
            self._sends is not None
            and counts[Disposition.SENT] + counts[Disposition.ADMITTED] >= self._sends
        )

    def _process(self, key: JobRequest, reserved: bool) -> None:
        until = (key.due_at or 0) if reserved else clock.now() + self._ahead
        has_room = _always if reserved else self._take_room
        try:
            disposition = process_due_row(
                key, self._send, has_room, self._admit_waiting, until=until, ahead=self._ahead
            )
        except PreconditionFailed:
            self._note(Disposition.MOVED)
        except SendFailed as error:
            telemetry.not_sent(
                error
            )  # already postponed: processed again soon, and not at the head
            self._note(None, send_failed=True)
        except Exception as error:  # noqa: BLE001 - one row must never keep the others waiting
            telemetry.crashed(error)
            broken = not may_pass(error)  # else it is not the row's fault, and it stays due
            if broken:
                _set_aside(key)
            self._note(Disposition.BROKEN if broken else None, failed=isinstance(error, AWS_ERRORS))
        else:
            self._note(disposition)

    def _admit_waiting(self, queue_name: str, queue_key: str) -> None:
        """Let on who waits in a line: once in a tick, however many of them it meets."""
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

    def _take_room(self, always: bool) -> bool:
        with self._lock:
            self._count()
            if self._room <= 0 and not always:
                return False
            self._room -= 1
            return True

    def _count(self) -> None:
        """Count the unclaimed rows, once in a tick: it knows of its own sends."""
        if not self._has_counted:
            self._has_counted = True
            self.result.unclaimed = _unclaimed()
            self._room -= self.result.unclaimed


def _always(_: bool) -> bool:
    return True


def _due_in(lane: Lane, horizon: int) -> list[JobRequest]:
    """Return what is due in a lane, oldest first. If that is more than a tick can process, every
    other one is of the newest: what is due just now must not wait until a backlog is gone."""
    shards = due_shards(lane)
    oldest = list(islice(_merged(shards, horizon), _ROWS_FROM_AN_END))
    if len(oldest) < _ROWS_FROM_AN_END:
        return oldest
    newest = islice(_merged(shards, horizon, newest_first=True), _ROWS_FROM_AN_END)
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
    """Yield the keys of all these shards in order of time, read as they are asked for. A shard that
    can't be read keeps no other waiting."""
    failed: list[Exception] = []

    def read(shard: str) -> Iterator[JobRequest]:
        try:
            yield from queries.due(shard, until, page, after=after, newest_first=newest_first)
        except Exception as error:  # noqa: BLE001 - throttled, say: the others still answer
            telemetry.crashed(error)
            failed.append(error)

    each = [read(shard) for shard in shards]
    yield from heapq.merge(*each, key=lambda key: key.due_at or 0, reverse=newest_first)
    if len(failed) == len(shards):
        raise failed[0]


def _unclaimed() -> int:
    """Return how many rows were sent again and are neither claimed nor to be looked at yet."""
    found = 0
    for shard in due_shards(Lane.RESENT):
        try:
            found += queries.count_due(shard, clock.now(), UNCLAIMED_AT_MOST)
        except Exception as error:  # noqa: BLE001 - then too many are sent, and none is lost
            telemetry.crashed(error)
    return found


def _set_aside(key: JobRequest) -> None:
    try:
        later = clock.now() + LONGEST_GAP
        verbs.set_aside(key.id, seen_due_at=key.due_at or 0, due_at=later)
    except Exception as error:  # noqa: BLE001 - it has moved, or DynamoDB is away: due again
        telemetry.crashed(error)
