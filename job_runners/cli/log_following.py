"""Follow the log of a job or task until it has ended."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from job_runners.cli.log_lines import Line, Logs
from job_runners.cli.polling import FINISHED
from job_runners.cli.problem import Exit, Problem

_PAUSE = 2.0  # seconds between two polls
_PATIENCE = 300.0  # seconds without an answer from the API before giving up
_LATE = 60_000  # milliseconds: a line may arrive this long after others of the same time
# Seconds without a new line that `follow` waits for the last line of an ended job.
_QUIET = 10.0
# The last line about a job, or about a task, has one of these messages.
_JOB_ENDED = frozenset({"succeeded", "failed", "canceled", "settled", "cancel"})
_TASK_ENDED = frozenset({"task done", "task failed", "task may have been sent or not"})
_CLOCK_SKEW = 2_000  # milliseconds by which a line's time may be behind the job's `finished_at`


@dataclass
class _Following:
    """The lines that were found so far."""

    logs: Logs
    work_id: str
    lines: list[Line] = field(default_factory=list)
    answered_at: float = field(default_factory=time.monotonic)
    _seen: set[str] = field(default_factory=set)

    def read_new(self) -> list[Line]:
        """Return the new lines in time order."""
        newest = max((line.received for line in self.lines), default=0)
        logs = replace(
            self.logs,
            first=max(self.logs.first, newest - _LATE),
            last=int(time.time() * 1000) + _LATE,
        )
        new = [each for each in logs.lines_naming(self.work_id) if each.event_id not in self._seen]
        self._seen.update(each.event_id for each in new)
        self.lines += new
        return new

    def ended_at(self) -> int | None:
        """Return when the job ended, in milliseconds since 1970.

        Return None if it hasn't ended, or if the API doesn't answer.
        """
        try:
            job = self.logs.target.shown(self.logs.target.api.get(self.work_id))
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
        """Return whether one of the messages was logged at or after the end of the work.

        If the job was retried, the line of an earlier end doesn't count.
        """
        return any(
            line.fields.get("message") in messages and line.time >= ended_at - _CLOCK_SKEW
            for line in self.lines
        )


def follow(logs: Logs, work_id: str, *, is_job: bool) -> Iterator[Line]:
    """Yield the lines about a job or task as they arrive.

    After the end of the job and its last line, yield Lambda's reports on its newest invocations.
    """
    following = _Following(logs, work_id)
    messages = _JOB_ENDED if is_job else _TASK_ENDED
    last_new_at = time.monotonic()
    while True:
        # The API has no status of a task, so only its last line shows that it has ended.
        ended_at = following.ended_at() if is_job else 0
        new = following.read_new()
        yield from new
        if new or not ended_at:
            last_new_at = time.monotonic()
        if ended_at is not None and following.has_last_line(messages, ended_at):
            break
        if time.monotonic() - last_new_at > _QUIET:
            break
        time.sleep(_PAUSE)
    yield from logs.reports(following.lines)
