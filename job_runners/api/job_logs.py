"""Read the log lines of a job from the worker's log group."""

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
_MAX_TOTAL = 1_000_000  # characters of all lines together
_LONGEST = 4_000  # characters of one text
# The most calls of one search: CloudWatch may return no lines, only a token for the next call.
_MAX_CALLS = 10
_SECONDS = 8.0  # no new call starts after this time, because the caller is waiting
# Margins before and after the job: clocks differ, and lines arrive late.
_EARLIER, _LATER = clock.MINUTE, 5 * clock.MINUTE
_BEFORE_CLAIM = 5 * clock.SECOND  # an invocation may log before its claim is written
# Fields of a log line that the response's field `more` leaves out: they have a response field of
# their own, are the same in every line, or are meant for machines. `caller` is the service that
# dispatched the job. The job's organization may not see it.
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


class Found:
    """Lines, and whether they are complete."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.complete = True


def read(row: JobRequest) -> Found:
    """Return the lines of the job's invocations, or only those of its latest invocation if there
    are too many. Raises LogsNotReadable."""
    start, end = row.created_at - _EARLIER, (row.finished_at or clock.now()) + _LATER
    # `started_at` is when the latest invocation was claimed.
    latest_invocation_start = (
        start if row.invocations <= 1 else (row.started_at or start) - _BEFORE_CLAIM
    )
    search = _Search(row)
    found = search.between(latest_invocation_start, end)
    if found.complete and latest_invocation_start > start:
        earlier = search.between(start, latest_invocation_start - 1)
        found.complete = earlier.complete
        if earlier.complete:  # an incomplete list would have a gap that readers can't see
            found.lines = earlier.lines + found.lines
    found.lines.sort(key=lambda line: str(line["time"]))
    return found


class _Search:
    """A search for one job's lines, within the limits on calls, time, lines and characters."""

    def __init__(self, row: JobRequest) -> None:
        self._row = row
        self._calls_left = _MAX_CALLS
        self._deadline = time.monotonic() + _SECONDS
        self._lines_left = LIMIT
        self._characters_left = _MAX_TOTAL

    def between(self, start: int, end: int) -> Found:
        """Return the job's lines between two times, up to the limits."""
        found, token = Found(), None
        while True:
            if self._calls_left == 0 or time.monotonic() > self._deadline:
                found.complete = False
                return found
            page = self._page(start, end, token)
            for line in self._lines_of_job(page["events"]):
                self._lines_left -= 1
                self._characters_left -= len(json.dumps(line))
                if self._lines_left < 0 or self._characters_left < 0:
                    found.complete = False
                    return found
                found.lines.append(line)
            token = page.get("nextToken")
            if not token:
                return found

    def _page(self, start: int, end: int, token: str | None) -> Any:
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
            if error.response["Error"]["Code"] not in _REFUSALS:
                raise
            raise LogsNotReadable(_REFUSALS[error.response["Error"]["Code"]]) from error

    def _lines_of_job(self, events: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yield the lines of the job. Lines of another job are left out, even if they have this
        job's id in their text. So are metrics: they reach the log as work prints them, and any
        job could print some that name this job."""
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
    except (ValueError, RecursionError):  # the second for very deep nesting
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
        "more": {name: _text(each) for name, each in fields.items() if name not in _LEFT_OUT},
    }


def _logged_at(fields: dict[str, Any]) -> int | None:
    """Return the time at which the worker logged the line, or None if the line has no such time.
    CloudWatch's own time is less exact: all events of a batch may have the time of receipt."""
    try:
        moment = datetime.strptime(fields["timestamp"], "%Y-%m-%d %H:%M:%S,%f%z")
        moment.astimezone(UTC)
    except (KeyError, TypeError, ValueError, OverflowError):  # the last outside the years 1 to 9999
        return None
    return int(moment.timestamp() * 1000)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) else None
