"""Read the log lines of a job from the worker's log group in CloudWatch.

A row is a job as the table stores it. The worker claims it when it starts one of its invocations.
"""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from job_runners import clock
from job_runners.api.errors import LogsNotReadable
from job_runners.aws import clients
from job_runners.settings import settings
from job_runners.store.job_request import JobRequest

LIMIT = 500  # lines
_MAX_CHARACTERS = 1_000_000  # of all lines together
_MAX_TEXT = 4_000  # characters of one text
_MAX_CALLS = 10  # CloudWatch may return no lines, only a token for the next call
_MAX_SECONDS = 8.0  # no new call starts after this time, because the caller is waiting
# The search begins and ends this much before and after the job: clocks differ, and lines arrive
# late.
_MARGIN_BEFORE, _MARGIN_AFTER = clock.MINUTE, 5 * clock.MINUTE
_BEFORE_CLAIM = 5 * clock.SECOND  # in which the worker may log before it has claimed the job
# Fields of a log line that the response's field `more` leaves out, because they have a response
# field of their own, are the same in every line, or are only for machines. `caller` is the service
# that dispatched the job. The job's organization may not see it.
_LEFT_OUT = frozenset(
    {
        *("level", "location", "message", "timestamp", "service", "attempt", "invocation"),
        *("job_id", "job_type", "organization_id", "request_id", "caller", "role"),
        *("xray_trace_id", "trace_id", "span_id"),
        *("exception", "exception_name", "stack_trace"),
        *("cold_start", "function_name", "function_memory_size", "function_arn"),
        *("function_request_id", "sampling_rate"),
    }
)


class LogLines:
    """Log lines, and whether they are complete."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.complete = True


def read(row: JobRequest) -> LogLines:
    """Return the lines of the job's invocations, or only those of its latest invocation if there
    are too many. Raises LogsNotReadable."""
    start = row.created_at - _MARGIN_BEFORE
    end = (row.finished_at or clock.now()) + _MARGIN_AFTER
    latest_start = start  # of the latest invocation
    if row.invocations > 1:
        latest_start = (row.started_at or start) - _BEFORE_CLAIM
    search = _Search(row)
    result = search.between(latest_start, end)
    if result.complete and latest_start > start:
        earlier = search.between(start, latest_start - 1)
        result.complete = earlier.complete
        if earlier.complete:  # an incomplete list would have a gap that readers can't see
            result.lines = earlier.lines + result.lines
    result.lines.sort(key=lambda line: str(line["time"]))
    return result


class _Search:
    """A search for one job's lines, within the limits on calls, time, lines and characters."""

    def __init__(self, row: JobRequest) -> None:
        self._row = row
        self._calls_left = _MAX_CALLS
        self._deadline = time.monotonic() + _MAX_SECONDS
        self._lines_left = LIMIT
        self._characters_left = _MAX_CHARACTERS

    def between(self, start: int, end: int) -> LogLines:
        """Return the job's lines between two times, up to the limits."""
        result = LogLines()
        token = None
        while True:
            if self._calls_left == 0 or time.monotonic() > self._deadline:
                result.complete = False
                return result
            page = self._fetch_page(start, end, token)
            for line in self._lines_of_job(page["events"]):
                self._lines_left -= 1
                self._characters_left -= len(json.dumps(line))
                if self._lines_left < 0 or self._characters_left < 0:
                    result.complete = False
                    return result
                result.lines.append(line)
            token = page.get("nextToken")
            if not token:
                return result

    def _fetch_page(self, start: int, end: int, token: str | None) -> Any:
        self._calls_left -= 1
        group = settings().worker_log_group
        if group is None:
            raise LogsNotReadable("WORKER_LOG_GROUP_NAME is not set")
        try:
            return clients.client("logs").filter_log_events(
                logGroupName=group,
                startTime=max(0, start),
                endTime=end,
                filterPattern=f'"{self._row.id}"',
                **({"nextToken": token} if token else {}),
            )
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code not in _REFUSALS:
                raise
            raise LogsNotReadable(_REFUSALS[code]) from error

    def _lines_of_job(self, events: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yield the lines of the job, without those of other jobs that have this job's id in their
        text. Leave out metrics too, because any job could print metrics that name this job."""
        for event in events:
            fields = _fields(event["message"])
            job = (fields.get("job_id"), fields.get("organization_id"))
            if job == (self._row.id, self._row.organization_id) and "_aws" not in fields:
                yield _line(event["timestamp"], fields)


_REFUSALS = {
    "AccessDeniedException": "the API's role may not read the worker's log (logs:FilterLogEvents)",
    "ResourceNotFoundException": "the worker's log group doesn't exist",
}


def _fields(text: str) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):  # very deep nesting raises RecursionError
        return {}
    return fields if isinstance(fields, dict) else {}


def _line(received: int, fields: dict[str, Any]) -> dict[str, Any]:
    exception = fields.get("exception")
    return {
        "time": clock.iso(_logged_at(fields) or received),
        "level": str(fields.get("level") or ""),
        "message": _text(fields.get("message")),
        "attempt": _number(fields.get("attempt")),
        "invocation": _number(fields.get("invocation")),
        "exception": None if exception is None else _text(exception),
        "more": {name: _text(value) for name, value in fields.items() if name not in _LEFT_OUT},
    }


def _logged_at(fields: dict[str, Any]) -> int | None:
    """Return the time at which the worker logged the line, or None if the line has no such time.
    CloudWatch's own time is less exact: all events of a batch may have the time of receipt."""
    try:
        logged_at = datetime.strptime(fields["timestamp"], "%Y-%m-%d %H:%M:%S,%f%z")
        logged_at.astimezone(UTC)
    except (KeyError, TypeError, ValueError, OverflowError):  # no year from 1 to 9999
        return None
    return int(logged_at.timestamp() * 1000)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) <= _MAX_TEXT:
        return text
    return f"{text[: _MAX_TEXT - 1]}…"


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) else None
