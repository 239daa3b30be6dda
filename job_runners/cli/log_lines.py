"""What CloudWatch Logs holds about a job or a task, from all functions of the stack, in order of
time."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from job_runners.cli.api import Job
from job_runners.cli.cloudformation import resources
from job_runners.cli.target import Target

_EARLIER, _LATER = 60, 300  # seconds around the job's own times: clocks differ, logs come late
_NOT_THERE = "ResourceNotFoundException"  # a group that nothing has been written to
_WORKER = "Worker"
_INVOCATIONS = 10  # of the newest, what Lambda itself says about them


@dataclass(frozen=True, order=True)
class Line:
    """One line of one function's log."""

    time: int  # milliseconds since 1970
    group: str = field(compare=False)  # its name in the template, without LogGroup
    fields: dict[str, Any] = field(compare=False)  # one that is not JSON is all message
    event_id: str = field(compare=False, default="")
    received: int = field(compare=False, default=0)  # milliseconds since 1970

    @property
    def is_report(self) -> bool:
        """Whether it is Lambda's own, about how an invocation ended."""
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
        """Return those of the target's stack, between two times in seconds since 1970."""
        groups = {
            name.removesuffix("LogGroup"): own
            for name, (kind, own) in resources(
                target.client("cloudformation"), target.stack.name
            ).items()
            if kind == "AWS::Logs::LogGroup"
        }
        return Logs(target, groups, int(first * 1000), int(last * 1000))

    @staticmethod
    def around(target: Target, job: Job) -> "Logs":
        """When something about a job may have been logged."""
        first = datetime.fromisoformat(job["created_at"]).timestamp()
        last = time.time()
        if job["finished_at"]:
            last = datetime.fromisoformat(job["finished_at"]).timestamp()
        return Logs.between(target, first - _EARLIER, last + _LATER)

    def about(self, work_id: str) -> list[Line]:
        """Every line that names the job or task, and how Lambda says its newest invocations ended:
        such a report names no job, but its trace, as the job's lines do."""
        found = self.naming(work_id)
        return sorted(found + self.reports(found))

    def naming(self, work_id: str) -> list[Line]:
        """Return every line that names the job or task."""
        return sorted(line for name in self.groups for line in self._with(name, work_id))

    def reports(self, lines: list[Line]) -> list[Line]:
        """Return how Lambda says that the newest of these lines' invocations ended.

        With JobRunner=legacy a job's legs are the API function's.
        """
        ran_in = {
            line.fields["xray_trace_id"]: line.group
            for line in lines
            if (line.group == _WORKER or "leg" in line.fields) and line.fields.get("xray_trace_id")
        }
        return [
            line
            for trace, group in list(ran_in.items())[-_INVOCATIONS:]
            for line in self._with(group, trace)
            if line.is_report
        ]

    def _with(self, name: str, text: str) -> Iterator[Line]:
        pages = self.target.client("logs").get_paginator("filter_log_events")
        try:
            for page in pages.paginate(
                logGroupName=self.groups[name],
                startTime=self.first,
                endTime=self.last,
                filterPattern=f'"{text}"',
            ):
                for event in page["events"]:
                    line = _line(name, event)
                    if "_aws" not in line.fields:  # metrics, whatever they name
                        yield line
        except ClientError as error:
            if error.response["Error"]["Code"] != _NOT_THERE:
                raise


def _line(group: str, event: dict[str, Any]) -> Line:
    received = event["timestamp"]
    # The local AWS gives events no id: there, one is told by what it says, and when.
    event_id = event.get("eventId") or repr(
        (group, event.get("logStreamName"), received, event["message"])
    )
    try:
        fields = json.loads(event["message"])
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        return Line(received, group, {"message": event["message"].rstrip()}, event_id, received)
    return Line(_logged_at(fields) or received, group, fields, event_id, received)


def _logged_at(fields: dict[str, Any]) -> int | None:
    """When our own code logged it: events of one batch may all have the time they were received."""
    try:
        moment = datetime.strptime(fields["timestamp"], "%Y-%m-%d %H:%M:%S,%f%z")
    except (KeyError, TypeError, ValueError):
        return None
    return int(moment.timestamp() * 1000)
