"""Read the lines about a job or task from the log groups of a stack's functions.

For each invocation, Lambda also logs a report: a line with its duration and memory.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from botocore.exceptions import ClientError

from job_runners.cli.cloudformation import resources
from job_runners.cli.output import Job
from job_runners.cli.target import Target

# The search covers some time before and after the job, because clocks differ and logs are late.
_SECONDS_BEFORE = 60
_SECONDS_AFTER = 300
_NO_LOG_GROUP = "ResourceNotFoundException"  # a log group doesn't exist before the first write
_WORKER = "Worker"  # the Line.group of the default worker
_MAX_REPORTS = 10  # read reports only on so many of the newest invocations


@dataclass(frozen=True, order=True)
class Line:
    """One line of one function's log."""

    time: int  # milliseconds since 1970
    group: str = field(compare=False)  # the log group's name in the template, without "LogGroup"
    fields: dict[str, Any] = field(compare=False)  # only `message` if the line isn't JSON
    event_id: str = field(compare=False, default="")
    received_at: int = field(compare=False, default=0)  # by CloudWatch, in milliseconds since 1970

    @property
    def is_report(self) -> bool:
        """Whether this is Lambda's report on an invocation."""
        return self.fields.get("type") == "platform.report"


@dataclass(frozen=True)
class Logs:
    """The logs of a stack between two times."""

    target: Target
    groups: dict[str, str]  # the log groups' physical ids by Line.group
    start: int  # milliseconds since 1970
    end: int  # milliseconds since 1970

    @staticmethod
    def between(target: Target, start: float, end: float) -> "Logs":
        """Return the logs of the target's stack between two times in seconds since 1970."""
        stack_resources = resources(target.client("cloudformation"), target.stack.name)
        groups = {
            name.removesuffix("LogGroup"): physical_id
            for name, (resource_type, physical_id) in stack_resources.items()
            if resource_type == "AWS::Logs::LogGroup"
        }
        return Logs(target, groups, int(start * 1000), int(end * 1000))

    @staticmethod
    def around(target: Target, job: Job) -> "Logs":
        """Return the logs of the time in which a job's lines may have been written."""
        start = datetime.fromisoformat(job["created_at"]).timestamp()
        end = time.time()
        if job["finished_at"]:
            end = datetime.fromisoformat(job["finished_at"]).timestamp()
        return Logs.between(target, start - _SECONDS_BEFORE, end + _SECONDS_AFTER)

    def about(self, work_id: str) -> list[Line]:
        """Return all lines that name the job or task, and reports on its newest invocations."""
        lines = self.lines_naming(work_id)
        return sorted(lines + self.reports(lines))

    def lines_naming(self, work_id: str) -> list[Line]:
        """Return all lines that name the job or task."""
        return sorted(
            line for group in self.groups for line in self._lines_containing(group, work_id)
        )

    def reports(self, lines: list[Line]) -> list[Line]:
        """Return Lambda's reports on the newest invocations that wrote these lines.

        A report has no job id. It has the same trace id as the other lines of the invocation.
        """
        group_by_trace_id = {}
        for line in lines:
            # With JobRunner=legacy, the API function runs jobs.
            ran_work = line.group == _WORKER or "invocation" in line.fields
            trace_id = line.fields.get("xray_trace_id")
            if ran_work and trace_id:
                group_by_trace_id[trace_id] = line.group
        newest = list(group_by_trace_id.items())[-_MAX_REPORTS:]
        return [
            line
            for trace_id, group in newest
            for line in self._lines_containing(group, trace_id)
            if line.is_report
        ]

    def _lines_containing(self, group: str, text: str) -> Iterator[Line]:
        client = self.target.client("logs")
        for event in find_events(client, self.groups[group], text, self.start, endTime=self.end):
            line = _parse_line(group, event)
            if "_aws" not in line.fields:  # a line with "_aws" has metrics, not a message
                yield line


def find_events(
    client: Any, group_id: str, text: str, start: int, max_pages: int | None = None, **more: Any
) -> Iterator[dict[str, Any]]:
    """Yield a log group's events that contain a text, from `start` in milliseconds since 1970.

    `more` has further arguments of filter_log_events.
    """
    pages = client.get_paginator("filter_log_events").paginate(
        logGroupName=group_id, startTime=start, filterPattern=f'"{text}"', **more
    )
    try:
        for page in islice(pages, max_pages):
            yield from page["events"]
    except ClientError as error:
        if error.response["Error"]["Code"] != _NO_LOG_GROUP:
            raise


def parse_fields(message: str) -> dict[str, Any] | None:
    """Return the fields of a JSON log line, or None for any other line."""
    try:
        fields = json.loads(message)
    except (ValueError, RecursionError):  # very deep nesting raises RecursionError
        return None
    return fields if isinstance(fields, dict) else None


def _parse_line(group: str, event: dict[str, Any]) -> Line:
    received_at = event["timestamp"]
    event_id = event.get("eventId") or repr(event)
    fields = parse_fields(event["message"])
    if fields is None:
        message = {"message": event["message"].rstrip()}
        return Line(received_at, group, message, event_id, received_at)
    # CloudWatch's own time may be the same for a whole batch of events.
    return Line(_logged_at(fields) or received_at, group, fields, event_id, received_at)


def _logged_at(fields: dict[str, Any]) -> int | None:
    """Return the time at which the code logged a line, if the line contains it."""
    try:
        logged_at = datetime.strptime(fields["timestamp"], "%Y-%m-%d %H:%M:%S,%f%z")
    except (KeyError, TypeError, ValueError):
        return None
    return int(logged_at.timestamp() * 1000)
