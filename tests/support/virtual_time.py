"""Threads on one clock that doesn't run: each call to AWS takes its time, and no test has to wait.

Only one thread runs at a time. When it sleeps or calls AWS, the one whose time is next
continues.
So a test sees what processes do to each other within milliseconds, and sees the same each time.
"""

import heapq
import threading
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any

from job_runners.aws import clients

# Milliseconds that a call takes, at least and at most.
LATENCIES = {
    "GetItem": (3, 9),
    "Query": (4, 12),
    "PutItem": (4, 12),
    "UpdateItem": (4, 12),
    "DeleteItem": (4, 12),
    "BatchGetItem": (4, 12),
    "TransactWriteItems": (15, 40),
}


class VirtualTime:
    """The clock of all threads, in milliseconds, and the threads that wait for their time."""

    def __init__(self, start: int, seed: int = 1) -> None:
        self._now = float(start)
        self._waiting: list[tuple[float, int, threading.Semaphore]] = []
        self._number = count()
        self._turn = threading.Semaphore(0)  # released by a thread that stops running
        self._own = threading.local()
        self._errors: list[BaseException] = []
        self.random = Random(seed)
        self.running = 0

    def now(self) -> int:
        """Return the time in milliseconds."""
        return int(self._now)

    def spawn(self, delay: float, work: Callable[[], object]) -> None:
        """Start a thread in so many seconds."""
        begins = threading.Semaphore(0)

        def run() -> None:
            begins.acquire()
            self._own.is_managed = True
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - the test raises it
                self._errors.append(error)
            self._turn.release()

        threading.Thread(target=run, daemon=True).start()
        self._wait_until(self._now + 1000 * delay, begins)

    def sleep(self, seconds: float) -> None:
        """Let others run for so many seconds."""
        if not getattr(self._own, "is_managed", False):
            return
        resumes = threading.Semaphore(0)
        self._wait_until(self._now + 1000 * max(0.0, seconds), resumes)
        self._turn.release()
        resumes.acquire()

    def run(self, seconds: float) -> None:
        """Run all threads for so many seconds."""
        until = self._now + 1000 * seconds
        while self._waiting and self._waiting[0][0] <= until:
            at, _, resumes = heapq.heappop(self._waiting)
            self._now = max(self._now, at)
            resumes.release()
            self._turn.acquire()
            if self._errors:
                raise self._errors[0]
        self._now = until

    def slow_down_aws(self) -> None:
        """Let each call to DynamoDB take its time: half of it before it has its effect."""
        events = clients.client("dynamodb").meta.events
        events.register("before-call.dynamodb", self._take_time)
        events.register("after-call.dynamodb", self._take_time)

    def _take_time(self, model: Any, **_: Any) -> None:
        low, high = LATENCIES[model.name]
        self.sleep(self.random.uniform(low, high) / 2000)

    def _wait_until(self, at: float, resumes: threading.Semaphore) -> None:
        heapq.heappush(self._waiting, (at, next(self._number), resumes))
