"""Follow the log of a job or task until it has ended."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from job_runners.cli.log_lines import Line, Logs
from job_runners.cli.polling import FINISHED
from job_runners.cli.problem import Exit, Problem

_POLL_SECONDS = 2.0
_MAX_DELAY = 60_000  # milliseconds by which one line may arrive later than another
_QUIET_SECONDS = 10.0  # without new lines after a job's end, until `follow` stops
_LAST_JOB_MESSAGES = frozenset({"succeeded", "failed", "canceled", "settled", "cancel"})
_LAST_TASK_MESSAGES = frozenset({"task done", "task failed", "task may have been sent or not"})
_CLOCK_SKEW = 2_000  # milliseconds by which a line's time may be behind the job's `finished_at`


def follow(logs: Logs, work_id: str, *, is_job: bool) -> Iterator[Line]:
    """Yield the lines about a job or task as they arrive, up to its last line.

    Then yield Lambda's reports on its newest invocations.
    """
    lines: dict[str, Line] = {}  # by event id
    last_messages = _LAST_JOB_MESSAGES if is_job else _LAST_TASK_MESSAGES
    quiet_since = time.monotonic()
    while True:
        # The API has no status for tasks. With 0, any last line counts as a task's end.
        ended_at = _ended_at(logs, work_id) if is_job else 0
        new_lines = _read_new_lines(logs, work_id, lines)
        yield from new_lines
        if ended_at is not None:
            # If the job was retried manually, it has logged a last line before. Ignore that one.
            earliest = ended_at - _CLOCK_SKEW
            if any(
                line.fields.get("message") in last_messages and line.time >= earliest
                for line in lines.values()
            ):
                break
        if new_lines or not ended_at:  # nothing shows that a task has ended, so wait on
            quiet_since = time.monotonic()
        if time.monotonic() - quiet_since > _QUIET_SECONDS:
            break
        time.sleep(_POLL_SECONDS)
    yield from logs.reports(list(lines.values()))


def _read_new_lines(logs: Logs, work_id: str, lines: dict[str, Line]) -> list[Line]:
    """Return the new lines in the order of time, and add them to `lines`."""
    newest = max((line.received_at for line in lines.values()), default=0)
    start = max(logs.start, newest - _MAX_DELAY)
    end = int(time.time() * 1000) + _MAX_DELAY
    recent_lines = replace(logs, start=start, end=end).lines_naming(work_id)
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
