"""Read the log lines of a job from the worker's log group in CloudWatch.

A row is a job as the table stores it. An invocation is one run of the worker's Lambda function for
the job. At the start of each invocation, the worker claims the row, so that no other worker runs
the job at the same time.
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

MAX_LINES = 500
_MAX_CHARACTERS = 1_000_000  # in all lines
_MAX_TEXT_LENGTH = 4_000  # characters
_MAX_CALLS = 10  # to CloudWatch, which may return only a token for the next call and no lines
_MAX_SECONDS = 8.0  # no new call starts later, because the caller is waiting
# The search begins before the job and ends after it, because clocks differ, and lines arrive late.
_MARGIN_BEFORE = clock.MINUTE
_MARGIN_AFTER = 5 * clock.MINUTE
_TIME_TO_CLAIM = 5 * clock.SECOND  # a worker may log lines about a job before it has claimed it
# The field `more` of the response has all fields of a log line except these. They have a field of
# their own, are the same in every line, or are only for machines. `caller` is left out because it
# names the service that dispatched the job. The job's organization may not see that name.
_NOT_IN_MORE = frozenset(
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
    """Log lines. `complete` is False if a limit was reached, so that lines may be missing."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.complete = True


def read(row: JobRequest) -> LogLines:
    """Return the log lines of all the job's invocations.

    The lines of the latest invocation are read first. If there are too many earlier lines, they are
    left out. Raises LogsNotReadable.
    """
    start = row.created_at - _MARGIN_BEFORE
    end = (row.finished_at or clock.now()) + _MARGIN_AFTER
    latest_invocation = start
    if row.invocations > 1:
        latest_invocation = (row.started_at or start) - _TIME_TO_CLAIM
    search = _Search(row)
    result = search.lines_between(latest_invocation, end)
    if result.complete and latest_invocation > start:
        earlier = search.lines_between(start, latest_invocation - 1)
        result.complete = earlier.complete
        if earlier.complete:  # otherwise the list would have a gap that readers can't see
            result.lines = earlier.lines + result.lines
    result.lines.sort(key=lambda line: str(line["time"]))
    return result


class _Search:
    """A search for one job's lines. All its calls together stay within the limits on calls, time,
    lines and characters."""

    def __init__(self, row: JobRequest) -> None:
        self._row = row
        self._calls_left = _MAX_CALLS
        self._deadline = time.monotonic() + _MAX_SECONDS
        self._lines_left = MAX_LINES
        self._characters_left = _MAX_CHARACTERS

    def lines_between(self, start: int, end: int) -> LogLines:
        """Return the job's lines between two times, in milliseconds, up to the limits."""
        result = LogLines()
        token = None
        while self._calls_left > 0 and time.monotonic() <= self._deadline:
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
        result.complete = False
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
            if code not in _WHY_NOT_READABLE:
                raise
            raise LogsNotReadable(_WHY_NOT_READABLE[code]) from error

    def _lines_of_job(self, events: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yield the lines of the job.

        CloudWatch finds every event with the job's id in its text. Leave out the lines of other
        jobs. Also leave out metrics, because any job could print a metric that names this job.
        """
        for event in events:
            fields = _parse(event["message"])
            if "_aws" in fields:  # it is a metric
                continue
            job = (fields.get("job_id"), fields.get("organization_id"))
            if job == (self._row.id, self._row.organization_id):
                yield _line_view(event["timestamp"], fields)


# The reasons why the log can't be read, by the code of AWS's error.
_WHY_NOT_READABLE = {
    "AccessDeniedException": "the API's role may not read the worker's log (logs:FilterLogEvents)",
    "ResourceNotFoundException": "the worker's log group doesn't exist",
}


def _parse(text: str) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):  # RecursionError for very deep nesting
        return {}
    return fields if isinstance(fields, dict) else {}


def _line_view(received_at: int, fields: dict[str, Any]) -> dict[str, Any]:
    """Return a log line as the API shows it. `received_at` is used if the line has no time."""
    exception = fields.get("exception")
    return {
        "time": clock.iso(_logged_at(fields) or received_at),
        "level": str(fields.get("level") or ""),
        "message": _shortened(fields.get("message")),
        "attempt": _number_or_none(fields.get("attempt")),
        "invocation": _number_or_none(fields.get("invocation")),
        "exception": None if exception is None else _shortened(exception),
        "more": {
            name: _shortened(value) for name, value in fields.items() if name not in _NOT_IN_MORE
        },
    }


def _logged_at(fields: dict[str, Any]) -> int | None:
    """Return the time at which the worker logged the line, or None if the line has no valid time.

    CloudWatch's own time is less exact, because it may be the time at which a batch of events was
    received.
    """
    try:
        logged_at = datetime.strptime(fields["timestamp"], "%Y-%m-%d %H:%M:%S,%f%z")
        logged_at.astimezone(UTC)  # raises OverflowError unless the year in UTC is 1 to 9999
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return int(logged_at.timestamp() * 1000)


def _shortened(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) <= _MAX_TEXT_LENGTH:
        return text
    return f"{text[: _MAX_TEXT_LENGTH - 1]}…"


def _number_or_none(value: Any) -> int | None:
    return value if isinstance(value, int) else None
