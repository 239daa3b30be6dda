"""3,000 jobs behind 10 workers: what is sent is in proportion to the jobs, not to the minutes.

The jobs table is a dict here, and the clock is moved by hand: on moto so many looks would take
minutes. That each look is one write under its own condition, tests/test_timer.py shows there.
"""

import random
from collections import defaultdict, deque
from collections.abc import Callable, Iterator

import pytest

import test_verbs
from errors import PreconditionFailed
from runners import timer
from runners.messages import Message
from store import clock, verbs
from store.job_request import JobRequest, due_shard

pytestmark = pytest.mark.usefixtures("aws")

JOBS, WORKERS = 3_000, 10
JOB_TAKES = clock.MINUTE


class Backlog:
    """Saved jobs, the events that Lambda holds for them, and workers too few."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        template = test_verbs.saved()
        self.now = clock.now()
        self.sends = 0
        self.rows: dict[str, JobRequest] = {}
        self.events: deque[str] = deque()
        self._due_at: dict[str, dict[str, int]] = defaultdict(dict)  # by shard and id
        self._chance = random.Random(2026)
        monkeypatch.setattr(clock, "now", lambda: self.now)
        monkeypatch.setattr(timer, "due", self._due)
        monkeypatch.setattr(timer, "read", self.rows.get)
        monkeypatch.setattr(verbs, "postpone", self._postpone)
        for number in range(JOBS):
            row = JobRequest(**template.attribute_values)
            row.id = f"{number:032x}"
            self.rows[row.id] = row
            self._due_at[due_shard(row.id)][row.id] = row.due_at or 0
            self.post(row.id)

    def send(self, message: Message, delay: float = 0) -> None:
        """To Lambda, which drops one event in eight."""
        assert delay == 0
        self.post(message.id)

    def post(self, job_id: str) -> None:
        self.sends += 1
        if self._chance.randrange(8):
            self.events.append(job_id)

    def pass_a_minute(self) -> None:
        """Every worker takes one job to its end; a message about one that is finished is refused,
        in no time. Then the timer ticks."""
        self.now += JOB_TAKES
        free = WORKERS
        while free and self.events:
            free -= self._finish(self.events.popleft())
        timer.tick(self.send, until=self.now + clock.MINUTE)

    def _due(self, shard: str, until: int, limit: int) -> Iterator[JobRequest]:
        due = self._due_at[shard]
        found = sorted((at, job_id) for job_id, at in due.items() if at <= until)
        return (self.rows[job_id] for _, job_id in found[:limit])

    def _postpone(self, row: JobRequest, due_at: int) -> JobRequest:
        if row.id not in self.rows:
            raise PreconditionFailed("postpone", row.id, "gone")
        row.due_at = self._due_at[due_shard(row.id)][row.id] = due_at
        return row

    def _finish(self, job_id: str) -> bool:
        """Whether there was still something to do."""
        self._due_at[due_shard(job_id)].pop(job_id, None)
        return self.rows.pop(job_id, None) is not None


def looks(minutes: float) -> int:
    """How often the timer looks at a row that waits so long: at one minute, at two, at four, each
    time when it is twice as old, and from an hour on every hour."""
    age, times = 1, 0
    while age <= minutes:
        age, times = age + min(age, 60), times + 1
    return times


def test_a_backlog_is_sent_in_proportion_to_its_jobs_not_to_its_minutes(
    monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    backlog = Backlog(monkeypatch)
    minutes = 0
    while backlog.rows:
        backlog.pass_a_minute()
        minutes += 1
        assert minutes < 2 * JOBS / WORKERS, f"{len(backlog.rows)} jobs are stuck"
    assert minutes >= JOBS / WORKERS
    # The first send, and one for each look; a tick that is late, or full, only makes them fewer.
    assert backlog.sends <= JOBS * (1 + looks(minutes))
    record_property(
        "figures",
        f"{JOBS:,} jobs behind {WORKERS} workers for {minutes} minutes: {backlog.sends:,} sends, "
        f"{backlog.sends / JOBS:.1f} a job, at most {1 + looks(minutes)}; "
        f"lost: {len(backlog.rows)}",
    )
