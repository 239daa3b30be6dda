"""Follow the log of a job or task until it has ended."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from job_runners.cli.log_lines import Line, Logs
from job_runners.cli.polling import FINISHED
from job_runners.cli.problem import Exit, Problem

_POLL_SECONDS = 2.0
_MAX_DELAY = 60_000  # milliseconds; a line may arrive this much later than a newer one
# After a job's end, `follow` stops if no line arrives for this long.
_QUIET_SECONDS = 10.0
_LAST_JOB_MESSAGES = frozenset({"succeeded", "failed", "canceled", "settled", "cancel"})
_LAST_TASK_MESSAGES = frozenset({"task done", "task failed", "task may have been sent or not"})
_CLOCK_SKEW = 2_000  # milliseconds; a last line may be this much older than `finished_at`


def follow(logs: Logs, work_id: str, *, is_job: bool) -> Iterator[Line]:
    """Yield the lines about a job or task as they arrive, up to its last line.

    If no last line arrives after a job's end, stop after some quiet seconds. Then yield Lambda's
    reports on the newest invocations.
    """
    lines: dict[str, Line] = {}  # by event id
    last_messages = _LAST_JOB_MESSAGES if is_job else _LAST_TASK_MESSAGES
    quiet_since = time.monotonic()
    while True:
        # The API can't say when a task ended. With 0, a last line of any time ends the loop.
        ended_at = _ended_at(logs, work_id) if is_job else 0
        new_lines = _read_new_lines(logs, work_id, lines)
        yield from new_lines
        if ended_at is not None:
            # If the job was retried manually, an earlier run has logged a last line. Ignore it.
            earliest = ended_at - _CLOCK_SKEW
            if any(
                line.fields.get("message") in last_messages and line.time >= earliest
                for line in lines.values()
            ):
                break
        # Quiet seconds count only after a job's end. For a task, wait until its last line.
        if new_lines or not ended_at:
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
