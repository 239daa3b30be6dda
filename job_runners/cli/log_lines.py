"""Read the lines about a job or task from the log groups of all functions of a stack."""

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

# Seconds to search before and after the job's own times: clocks differ, and logs arrive late.
_EARLIER, _LATER = 60, 300
_NO_GROUP = "ResourceNotFoundException"  # a log group doesn't exist before the first write
_WORKER = "Worker"
_MAX_REPORTS = 10  # show at most this many of Lambda's reports, for the newest invocations


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
    groups: dict[str, str]
    first: int  # milliseconds since 1970
    last: int

    @staticmethod
    def between(target: Target, first: float, last: float) -> "Logs":
        """Return the target's log groups, between two times in seconds since 1970."""
        groups = {
            name.removesuffix("LogGroup"): physical_id
            for name, (resource_type, physical_id) in resources(
                target.client("cloudformation"), target.stack.name
            ).items()
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
        return Logs.between(target, first - _EARLIER, last + _LATER)

    def about(self, work_id: str) -> list[Line]:
        """Return every line that names the job or task, and Lambda's reports on its newest
        invocations.

        A report has no job id. It is found by the trace id of the job's lines.
        """
        found = self.lines_naming(work_id)
        return sorted(found + self.reports(found))

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
        return [
            line
            for trace, group in list(group_by_trace.items())[-_MAX_REPORTS:]
            for line in self._lines_containing(group, trace)
            if line.is_report
        ]

    def _lines_containing(self, name: str, text: str) -> Iterator[Line]:
        client = self.target.client("logs")
        for event in events(client, self.groups[name], text, self.first, endTime=self.last):
            line = _line(name, event)
            if "_aws" not in line.fields:  # a line with `_aws` has metrics
                yield line


def events(
    client: Any, group: str, text: str, first: int, most_pages: int | None = None, **more: Any
) -> Iterator[dict[str, Any]]:
    """Yield the events of a log group since a time in milliseconds that contain a text."""
    pages = client.get_paginator("filter_log_events").paginate(
        logGroupName=group, startTime=first, filterPattern=f'"{text}"', **more
    )
    try:
        for page in islice(pages, most_pages):
            yield from page["events"]
    except ClientError as error:
        if error.response["Error"]["Code"] != _NO_GROUP:
            raise


def fields_of(message: str) -> dict[str, Any] | None:
    """Return the fields of a log line of ours, or None for any other line."""
    try:
        fields = json.loads(message)
    except (ValueError, RecursionError):  # the second for very deep nesting
        return None
    return fields if isinstance(fields, dict) else None


def _line(group: str, event: dict[str, Any]) -> Line:
    received, event_id = event["timestamp"], event.get("eventId") or repr(event)
    fields = fields_of(event["message"])
    if fields is None:
        return Line(received, group, {"message": event["message"].rstrip()}, event_id, received)
    return Line(_logged_at(fields) or received, group, fields, event_id, received)


def _logged_at(fields: dict[str, Any]) -> int | None:
    """Return the time at which the code logged a line, or None.

    CloudWatch may give all events of a batch the time at which it received them.
    """
    try:
        moment = datetime.strptime(fields["timestamp"], "%Y-%m-%d %H:%M:%S,%f%z")
    except (KeyError, TypeError, ValueError):
        return None
    return int(moment.timestamp() * 1000)
