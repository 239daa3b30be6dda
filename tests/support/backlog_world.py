"""A day of a stack whose workers are too few, in simulated time: saved jobs, the events that Lambda
holds for them, the workers, the timer each minute, and another organisation's few jobs in between.

The timer and the store are the real ones, on a table in memory. What a request of the timer's takes
is simulated, so its ticks end when they would; workers go on meanwhile.
"""

import heapq
import itertools
import random
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import pytest

from job_runners import clock
from job_runners.engine.schedules import recurring
from job_runners.engine.tick import timer
from job_runners.engine.wire.messages import JobMessage, Message
from job_runners.errors import PreconditionFailed
from job_runners.store import limits, pauses, queries, transitions
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import JobRequest
from stored_records import jobs, on_request

WORKERS = 10
TICK_TAKES = 55 * clock.SECOND  # at most, of its function's 60 s
# What a request takes of a function with 1,024 MB, in ms: of its 0.6 of a processor, which its
# threads share. Measured were 2.0, 2.1 and 0.6 ms of a whole one for a read, a write and an Invoke.
TAKES = {"GetItem": 4.0, "UpdateItem": 6.0, "PutItem": 6.0, "Query": 10.0, "Invoke": 6.0}
EVENT_LIVES = 6 * clock.HOUR
DROPS = 1000  # one in so many events is lost by Lambda
KILLED = 500  # one in so many workers dies without a word
TRIED = 100  # ms that a worker needs to see that a message is about a job that it can't have
LEASE = 15 * clock.MINUTE


class World:
    """What happened is in `met`, `sends`, `late` and `outcomes`. At a `scale` of 10 there is a
    tenth of the workers, and the timer takes ten times as long and keeps a tenth on their way."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, job_takes: int, scale: int) -> None:
        self.now = 1_800_000_000_000
        self.began = self.now
        self.counts: Counter[timer.Disposition] = Counter()
        self.sends: Counter[str] = Counter()  # by the timer, of each job
        self.late: dict[str, int] = {"start": 0, "worker": 0, "rescue": 0, "tick": 0}
        self.drops: int | None = DROPS
        self._job_takes = job_takes
        self._chance = random.Random(2026)
        self._events: deque[tuple[int, str]] = deque()
        self._numbers = itertools.count()
        # By time: what happens then.
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._idle = 0  # workers
        self._spent = 0.0
        self._ticking = False
        self._starts: dict[str, int] = {}  # jobs that the timer has to send, by when
        self._sent: dict[str, int] = {}  # those that it has sent, and no worker has claimed
        self._scale = scale
        monkeypatch.setattr(timer, "MAX_UNCLAIMED", timer.MAX_UNCLAIMED // scale)
        monkeypatch.setattr(timer, "_MAX_ROWS", timer._MAX_ROWS // scale)
        for _ in range(WORKERS // scale):
            self._look_for_work_at(self.now)
        self._on_minute()
        monkeypatch.setattr(clock, "now", lambda: self.now)
        monkeypatch.setattr(pauses, "current", lambda fresh=False: pauses.Pauses())
        monkeypatch.setattr(limits, "current", lambda fresh=False: {})
        monkeypatch.setattr(recurring, "start_due", lambda *_, **__: Counter())  # nothing recurs
        on_request(self._take)

    # --- what tests say -----------------------------------------------------------------------

    def save_backlog(self, jobs: int, over: int) -> None:
        """So many jobs are dispatched over so many milliseconds."""
        for number in range(jobs):
            self.now = self.began + over * number // jobs
            self._post(self._save().id)
        self.now = self.began

    def at(self, when: int, what: Callable[[], None]) -> None:
        """Have it happen then, in milliseconds from the beginning."""
        heapq.heappush(self._agenda, (self.began + when, next(self._numbers), what))

    def schedule(self) -> None:
        """Another organisation's job is to start in 20 minutes: SQS carries no such delay."""
        run_at = self.now + 20 * clock.MINUTE
        row = self._save(run_at=run_at, due_at=run_at)
        self._starts[row.id] = run_at

    def retry(self) -> None:
        """Another organisation's job is to be tried again in 5 minutes, and its message is lost."""
        row = transitions.claim(
            self._save().id, job_type="sample_again", send_id="s", deadline=self.now
        ).after
        at = self.now + 5 * clock.MINUTE
        row = transitions.retry(row, {"kind": "Busy"}, run_at=at, due_at=at + clock.MINUTE).after
        self._starts[row.id] = at + clock.MINUTE

    def die(self) -> None:
        """Have a worker claim another organisation's job, and be gone."""
        self._claim(self._save().id)

    def run(self, duration: int) -> None:
        """Time passes, and all that belongs to it happens."""
        self._run_until(self.began + duration)

    def outcomes(self) -> Counter[str]:
        """How many jobs are in which status."""
        return Counter(row["status"] for row in jobs().values())

    # --- time ---------------------------------------------------------------------------------

    def _take(self, operation: str) -> None:
        """Let a request of the timer's take its time, in which others go on."""
        if not self._ticking:
            return
        self._spent += TAKES[operation] * self._scale
        if self._spent >= 50:  # not at each: that would take longer than all the rest
            now = self.now + int(self._spent)
            self._spent = 0.0
            self._ticking = False
            self._run_until(now)
            self._ticking = True

    def _run_until(self, end: int) -> None:
        while self._agenda and self._agenda[0][0] <= end:
            at, _, what = heapq.heappop(self._agenda)
            self.now = max(self.now, at)
            what()
        self.now = max(self.now, end)

    def _on_minute(self) -> None:
        if self.now > self.began:
            self._tick()
        minutes = (self.now - self.began) // clock.MINUTE + 1
        self.at(minutes * clock.MINUTE, self._on_minute)

    def _tick(self) -> None:
        self._ticking = True
        result = timer.tick(self._send, until=self.now + TICK_TAKES)
        self._ticking = False
        self.counts += result.counts
        self.late["tick"] = max(self.late["tick"], result.lag)

    # --- jobs and messages ----------------------------------------------------------------------

    def _save(self, **times: Any) -> JobRequest:
        return transitions.save(
            transitions.NewJob(
                job_type="sample_again",
                queue_name="default",
                organization_id="acme",
                payload=None,
                max_attempts=3,
                **times,
            )
        ).after

    def _send(self, message: Message, delay: float = 0) -> None:
        assert isinstance(message, JobMessage)
        self._take("Invoke")
        if delay > 0:  # a rescue: its next attempt waits
            self.at(self.now - self.began + int(delay * 1000), lambda: self._post(message.id))
            return
        self.sends[message.id] += 1
        if message.id in self._starts:
            self._sent[message.id] = self._starts.pop(message.id)
            self._was_late("start", self._sent[message.id])
        self._post(message.id)

    def _post(self, job_id: str) -> None:
        if self.drops and self._chance.randrange(self.drops) == 0:
            return
        self._events.append((self.now, job_id))
        if self._idle:
            self._idle -= 1
            self._look_for_work_at(self.now)

    def _was_late(self, what: str, due: int) -> None:
        self.late[what] = max(self.late[what], self.now - due)

    # --- workers --------------------------------------------------------------------------------

    def _look_for_work_at(self, when: int) -> None:
        self.at(when - self.began, self._look_for_work)

    def _look_for_work(self) -> None:
        while self._events and self._events[0][0] < self.now - EVENT_LIVES:
            self._events.popleft()
        if not self._events:
            self._idle += 1
            return
        row = self._claim(self._events.popleft()[1])
        if row is not None and row.id in self._sent:
            self._was_late("worker", self._sent.pop(row.id))
        if row is None:
            self._look_for_work_at(self.now + TRIED)
        elif self._chance.randrange(KILLED):
            job = row
            self.at(self.now + self._job_takes - self.began, lambda: self._finish(job))
        else:
            self._look_for_work_at(self.now + self._job_takes)

    def _claim(self, job_id: str) -> JobRequest | None:
        try:
            return transitions.claim(
                job_id, job_type="sample_again", send_id="s", deadline=self.now + LEASE
            ).after
        except PreconditionFailed:
            return None

    def _finish(self, row: JobRequest) -> None:
        transitions.succeed(row, None)
        self._look_for_work_at(self.now)

    def note_rescues(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of each rescue, how late it was."""
        retry = transitions.retry

        def noted(row: JobRequest, *given: Any, **named: Any) -> Change:
            if named.get("rescue"):
                self._was_late("rescue", row.lease_until or 0)
            return retry(row, *given, **named)

        monkeypatch.setattr(transitions, "retry", noted)

    def unfinished(self) -> list[JobRequest]:
        """Rows that have no outcome yet."""
        return [
            row for job_id in jobs() if (row := queries.read(job_id)) and not row.status.finished
        ]
