"""Follows the log of a job or a task until it has ended."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from job_runners.cli.log_lines import Line, Logs
from job_runners.cli.polling import FINISHED
from job_runners.cli.problem import Exit, Problem

_PAUSE = 2.0  # seconds between two looks
_PATIENCE = 300.0  # seconds without any answer of the API, until we give up
_LATE = 60_000  # milliseconds that a line may come after others of its time
# Seconds without a new line, once it has ended, until there will be none.
_QUIET, _QUIET_LOCALLY = 8.0, 1.0
# What is logged when nothing more will be done about a task.
_TASK_ENDED = frozenset({"task done", "task failed", "task may have been sent or not"})


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

    def has_ended(self, *, is_job: bool) -> bool:
        """Return whether the job has, or the task, as far as the API or the log says."""
        if not is_job:
            return any(line.fields.get("message") in _TASK_ENDED for line in self.lines)
        try:
            job = self.logs.target.api.job(self.work_id).job
        except Problem as problem:
            if problem.code is not Exit.NO_ANSWER:
                raise
            if time.monotonic() - self.answered_at > _PATIENCE:
                raise
            return False
        self.answered_at = time.monotonic()
        return job["status"] in FINISHED


def follow(logs: Logs, work_id: str, *, is_job: bool) -> Iterator[Line]:
    """Yield the lines about a job or a task as they come. Ends once it has ended and its lines are
    there, with how Lambda says its newest invocations did."""
    following = _Following(logs, work_id)
    quiet = _QUIET_LOCALLY if logs.target.stack.is_local else _QUIET
    until = None
    while True:
        ended = following.has_ended(is_job=is_job)
        new = following.look()
        yield from new
        if not ended:
            until = None
        elif until is None or new:
            until = time.monotonic() + quiet
        elif time.monotonic() >= until:
            break
        time.sleep(min(_PAUSE, quiet) if ended else _PAUSE)
    yield from logs.reports(following.lines)
