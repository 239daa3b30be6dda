"""Follow the log of a job or task until it has ended."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from job_runners.cli.log_lines import Line, Logs
from job_runners.cli.polling import FINISHED
from job_runners.cli.problem import Exit, Problem

_POLL_SECONDS = 2.0
_MAX_DELAY = 60_000  # milliseconds by which a line may arrive later than others of the same time
# After a job's end, `follow` waits for the job's last line until no line has arrived for this long.
_QUIET_SECONDS = 10.0
# The last line about a job, or about a task, has one of these messages.
_JOB_ENDED = frozenset({"succeeded", "failed", "canceled", "settled", "cancel"})
_TASK_ENDED = frozenset({"task done", "task failed", "task may have been sent or not"})
_CLOCK_SKEW = 2_000  # milliseconds by which a line's time may be behind the job's `finished_at`


def follow(logs: Logs, work_id: str, *, is_job: bool) -> Iterator[Line]:
    """Yield the lines about a job or task as they arrive.

    After the end of the job and its last line, yield Lambda's reports on its newest invocations.
    """
    lines: dict[str, Line] = {}  # by event id
    last_messages = _JOB_ENDED if is_job else _TASK_ENDED
    last_new_at = time.monotonic()
    while True:
        # The API has no status of a task, so only its last line shows that it has ended.
        ended_at = _ended_at(logs, work_id) if is_job else 0
        new_lines = _read_new(logs, work_id, lines)
        yield from new_lines
        if new_lines or not ended_at:
            last_new_at = time.monotonic()
        if ended_at is not None:
            # A line before the end is from the end of an earlier run, before a manual retry.
            since = ended_at - _CLOCK_SKEW
            if any(
                line.fields.get("message") in last_messages and line.time >= since
                for line in lines.values()
            ):
                break
        if time.monotonic() - last_new_at > _QUIET_SECONDS:
            break
        time.sleep(_POLL_SECONDS)
    yield from logs.reports(list(lines.values()))


def _read_new(logs: Logs, work_id: str, lines: dict[str, Line]) -> list[Line]:
    """Return the new lines in time order, and add them to `lines`."""
    newest = max((line.received for line in lines.values()), default=0)
    first = max(logs.first, newest - _MAX_DELAY)
    last = int(time.time() * 1000) + _MAX_DELAY
    recent_lines = replace(logs, first=first, last=last).lines_naming(work_id)
    new_lines = [line for line in recent_lines if line.event_id not in lines]
    lines |= {line.event_id: line for line in new_lines}
    return new_lines


def _ended_at(logs: Logs, job_id: str) -> int | None:
    """Return when the job ended, in milliseconds since 1970.

    Return None if it hasn't ended, or if the API doesn't answer.
    """
    try:
        job = logs.target.printable(logs.target.api.get(job_id))
    except Problem as problem:
        if problem.code is not Exit.NO_ANSWER:
            raise
        return None
    if job["status"] not in FINISHED:
        return None
    return int(datetime.fromisoformat(job["finished_at"]).timestamp() * 1000)
