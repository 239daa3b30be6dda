"""Read the lines about a job or task from the log groups of all functions of a stack.

Lambda also writes a line for each invocation, called its report, with its duration and memory.
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

# The search begins and ends this many seconds before and after the job, because clocks differ and
# logs arrive late.
_SECONDS_BEFORE, _SECONDS_AFTER = 60, 300
_NO_GROUP = "ResourceNotFoundException"  # a log group doesn't exist before the first write
_WORKER = "Worker"
_MAX_REPORTS = 10  # reports of the newest invocations


@dataclass(frozen=True, order=True)
class Line:
    """One line of one function's log."""

    time: int  # milliseconds since 1970
    group: str = field(compare=False)  # the log group's name in the template, without "LogGroup"
    fields: dict[str, Any] = field(compare=False)  # only `message` if the line isn't JSON
    event_id: str = field(compare=False, default="")
    received: int = field(compare=False, default=0)  # milliseconds since 1970

    @property
    def is_report(self) -> bool:
        """Whether Lambda wrote this line to report the end of an invocation."""
        return self.fields.get("type") == "platform.report"


@dataclass(frozen=True)
class Logs:
    """The log groups of a stack, between two times."""

    target: Target
    groups: dict[str, str]  # physical ids by the name in the template, without "LogGroup"
    first: int  # milliseconds since 1970
    last: int  # milliseconds since 1970

    @staticmethod
    def between(target: Target, first: float, last: float) -> "Logs":
        """Return the target's log groups, between two times in seconds since 1970."""
        stack_resources = resources(target.client("cloudformation"), target.stack.name)
        groups = {
            name.removesuffix("LogGroup"): physical_id
            for name, (resource_type, physical_id) in stack_resources.items()
            if resource_type == "AWS::Logs::LogGroup"
        }
        return Logs(target, groups, int(first * 1000), int(last * 1000))

    @staticmethod
    def around(target: Target, job: Job) -> "Logs":
        """Return the target's log groups for the time in which a job's lines may be found."""
        first = datetime.fromisoformat(job["created_at"]).timestamp()
        last = time.time()
        if job["finished_at"]:
            last = datetime.fromisoformat(job["finished_at"]).timestamp()
        return Logs.between(target, first - _SECONDS_BEFORE, last + _SECONDS_AFTER)

    def about(self, work_id: str) -> list[Line]:
        """Return every line that names the job or task, and Lambda's reports on its newest
        invocations.

        A report has no job id, so the trace id of the job's lines is used to find it.
        """
        lines = self.lines_naming(work_id)
        return sorted(lines + self.reports(lines))

    def lines_naming(self, work_id: str) -> list[Line]:
        """Return every line that names the job or task."""
        return sorted(
            line for name in self.groups for line in self._lines_containing(name, work_id)
        )

    def reports(self, lines: list[Line]) -> list[Line]:
        """Return Lambda's reports on the newest invocations that wrote these lines.

        With JobRunner=legacy, the API function runs the invocations of jobs.
        """
        group_by_trace = {
            line.fields["xray_trace_id"]: line.group
            for line in lines
            if (line.group == _WORKER or "invocation" in line.fields)
            and line.fields.get("xray_trace_id")
        }
        newest = list(group_by_trace.items())[-_MAX_REPORTS:]
        return [
            line
            for trace, group in newest
            for line in self._lines_containing(group, trace)
            if line.is_report
        ]

    def _lines_containing(self, name: str, text: str) -> Iterator[Line]:
        client = self.target.client("logs")
        for event in events(client, self.groups[name], text, self.first, endTime=self.last):
            line = _parse_line(name, event)
            if "_aws" not in line.fields:  # a line with `_aws` contains metrics, not a message
                yield line


def events(
    client: Any, group: str, text: str, first: int, max_pages: int | None = None, **more: Any
) -> Iterator[dict[str, Any]]:
    """Yield the events of a log group that contain a text, from the time `first` in milliseconds.

    `more` has further arguments of filter_log_events.
    """
    pages = client.get_paginator("filter_log_events").paginate(
        logGroupName=group, startTime=first, filterPattern=f'"{text}"', **more
    )
    try:
        for page in islice(pages, max_pages):
            yield from page["events"]
    except ClientError as error:
        if error.response["Error"]["Code"] != _NO_GROUP:
            raise


def fields_of(message: str) -> dict[str, Any] | None:
    """Return the fields of a JSON log line, or None for any other line."""
    try:
        fields = json.loads(message)
    except (ValueError, RecursionError):  # very deep nesting raises RecursionError
        return None
    return fields if isinstance(fields, dict) else None


def _parse_line(group: str, event: dict[str, Any]) -> Line:
    received = event["timestamp"]
    event_id = event.get("eventId") or repr(event)
    fields = fields_of(event["message"])
    if fields is None:
        return Line(received, group, {"message": event["message"].rstrip()}, event_id, received)
    return Line(_logged_at(fields) or received, group, fields, event_id, received)


def _logged_at(fields: dict[str, Any]) -> int | None:
    """Return the time at which the code logged a line, or None if the line doesn't have it.

    CloudWatch's own time may be the same for all events of a batch.
    """
    try:
        logged_at = datetime.strptime(fields["timestamp"], "%Y-%m-%d %H:%M:%S,%f%z")
    except (KeyError, TypeError, ValueError):
        return None
    return int(logged_at.timestamp() * 1000)
