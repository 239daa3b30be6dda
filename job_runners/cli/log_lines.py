"""Read the lines about a job or task from the log groups of all functions of a stack."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from job_runners.cli.cloudformation import resources
from job_runners.cli.output import Job
from job_runners.cli.target import Target

# Seconds to search before and after the job's own times: clocks differ, and logs arrive late.
_EARLIER, _LATER = 60, 300
_NO_GROUP = "ResourceNotFoundException"  # a log group doesn't exist before the first write
_WORKER = "Worker"
_MAX_EVENTS = 10_000  # FilterLogEvents returns at most this many events in one page
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
        try:
            for event in self._events_containing(name, text):
                line = _line(name, event)
                if "_aws" not in line.fields:  # a line with `_aws` has metrics
                    yield line
        except ClientError as error:
            if error.response["Error"]["Code"] != _NO_GROUP:
                raise

    def _events_containing(self, name: str, text: str) -> Iterator[dict[str, Any]]:
        """Yield all events of a log group that contain the text.

        The local AWS returns one page without a token for the next one. So if the last page is
        full, search again from the time of its last event, and skip the events of that time.
        """
        pages = self.target.client("logs").get_paginator("filter_log_events")
        first: int | None = self.first
        yielded: Counter[str] = Counter()  # the events of the time `first`
        while first is not None:
            events: list[dict[str, Any]] = []
            for page in pages.paginate(
                logGroupName=self.groups[name],
                startTime=first,
                endTime=self.last,
                filterPattern=f'"{text}"',
            ):
                events = page["events"]
                for event in events:
                    identity = _event_id(name, event)
                    if yielded[identity] > 0:
                        yielded[identity] -= 1
                    else:
                        yield event
            first, yielded = _continue_after(events, name, first)


def _continue_after(
    last_page: list[dict[str, Any]], group: str, first: int
) -> tuple[int | None, Counter[str]]:
    """Return the time at which the next search starts, and the events of this time that are
    known. The time is None if the last page wasn't full."""
    if len(last_page) < _MAX_EVENTS:
        return None, Counter()
    last: int = last_page[-1]["timestamp"]
    if last == first:  # a full page of one millisecond: another search would return the same
        return last + 1, Counter()
    return last, Counter(_event_id(group, each) for each in last_page if each["timestamp"] == last)


def _event_id(group: str, event: dict[str, Any]) -> str:
    """Return the event's id. The local AWS has none. There, the content and the time identify an
    event."""
    return event.get("eventId") or repr(
        (group, event.get("logStreamName"), event["timestamp"], event["message"])
    )


def _line(group: str, event: dict[str, Any]) -> Line:
    received = event["timestamp"]
    event_id = _event_id(group, event)
    try:
        fields = json.loads(event["message"])
    except (ValueError, RecursionError):  # the second for very deep nesting
        fields = None
    if not isinstance(fields, dict):
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
