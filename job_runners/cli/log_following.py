"""Follows the log of a job or a task until it has ended."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from job_runners.cli.log_lines import Line, Logs
from job_runners.cli.polling import FINISHED
from job_runners.cli.problem import Exit, Problem

_PAUSE = 2.0  # seconds between two looks
_PATIENCE = 300.0  # seconds without any answer of the API, until we give up
_LATE = 60_000  # milliseconds that a line may come after others of its time
# Seconds without a new line, once a job has ended and its last line is not there, until we give up.
_QUIET = 10.0
# The last line about a job, and about a task.
_JOB_ENDED = frozenset({"succeeded", "failed", "cancelled", "settled", "cancel"})
_TASK_ENDED = frozenset({"task done", "task failed", "task may have been sent or not"})
_CLOCKS = 2_000  # milliseconds by which a line's time may be before the job's own


@dataclass
class _Following:
    """What has been seen so far."""

    logs: Logs
    work_id: str
    lines: list[Line] = field(default_factory=list)
    answered_at: float = field(default_factory=time.monotonic)
    _seen: set[str] = field(default_factory=set)

    def look(self) -> list[Line]:
        """Return the lines that are new, in order of time."""
        newest = max((line.received for line in self.lines), default=0)
        logs = replace(
            self.logs,
            first=max(self.logs.first, newest - _LATE),
            last=int(time.time() * 1000) + _LATE,
        )
        new = [each for each in logs.naming(self.work_id) if each.event_id not in self._seen]
        self._seen.update(each.event_id for each in new)
        self.lines += new
        return new

    def ended_at(self) -> int | None:
        """Return when the job ended (milliseconds since 1970), as the API has it; None if it has
        not, or the API does not answer."""
        try:
            job = self.logs.target.api.job(self.work_id).job
        except Problem as problem:
            if problem.code is not Exit.NO_ANSWER:
                raise
            if time.monotonic() - self.answered_at > _PATIENCE:
                raise
            return None
        self.answered_at = time.monotonic()
        if job["status"] not in FINISHED:
            return None
        return int(datetime.fromisoformat(job["finished_at"]).timestamp() * 1000)

    def has_last_line(self, messages: frozenset[str], ended_at: int = 0) -> bool:
        """Return whether one of these is there, logged when the work ended: a job that was queued
        again has one of its first end, too."""
        return any(
            line.fields.get("message") in messages and line.time >= ended_at - _CLOCKS
            for line in self.lines
        )


def follow(logs: Logs, work_id: str, *, is_job: bool) -> Iterator[Line]:
    """Yield the lines about a job or a task as they come. Ends once it has ended and its lines are
    there, with how Lambda says its newest invocations did."""
    following = _Following(logs, work_id)
    messages = _JOB_ENDED if is_job else _TASK_ENDED
    new_at = time.monotonic()
    while True:
        ended_at = following.ended_at() if is_job else 0  # of a task, its last line alone tells
        new = following.look()
        yield from new
        if new or not ended_at:
            new_at = time.monotonic()
        if ended_at is not None and following.has_last_line(messages, ended_at):
            break
        if time.monotonic() - new_at > _QUIET:
            break
        time.sleep(_PAUSE)
    yield from logs.reports(following.lines)
