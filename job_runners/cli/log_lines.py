"""What CloudWatch Logs holds about a job, from all functions of the stack, in order of time."""

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

    @property
    def is_report(self) -> bool:
        """Whether it is Lambda's own, about how an invocation ended."""
        return self.fields.get("type") == "platform.report"


@dataclass(frozen=True)
class Logs:
    """The log groups of a stack, between two times."""

    target: Target
    between: tuple[int, int]  # milliseconds since 1970
    groups: dict[str, str]

    @staticmethod
    def around(target: Target, job: Job) -> "Logs":
        """When something about a job may have been logged."""
        first = datetime.fromisoformat(job["created_at"]).timestamp()
        last = time.time()
        if job["finished_at"]:
            last = datetime.fromisoformat(job["finished_at"]).timestamp()
        groups = {
            name.removesuffix("LogGroup"): own
            for name, (kind, own) in resources(
                target.client("cloudformation"), target.stack.name
            ).items()
            if kind == "AWS::Logs::LogGroup"
        }
        between = int((first - _EARLIER) * 1000), int((last + _LATER) * 1000)
        return Logs(target, between, groups)

    def about(self, job_id: str) -> list[Line]:
        """Every line that names the job, and how Lambda says its newest invocations ended: such a
        report names no job, but its trace, as the job's lines do."""
        found = [line for name in self.groups for line in self._with(name, job_id)]
        worker = sorted(line for line in found if line.group == _WORKER)
        traces = dict.fromkeys(line.fields.get("xray_trace_id") for line in worker)
        for trace in list(filter(None, traces))[-_INVOCATIONS:]:
            found += [line for line in self._with(_WORKER, trace) if line.is_report]
        return sorted(found)

    def _with(self, name: str, text: str) -> Iterator[Line]:
        pages = self.target.client("logs").get_paginator("filter_log_events")
        try:
            for page in pages.paginate(
                logGroupName=self.groups[name],
                startTime=self.between[0],
                endTime=self.between[1],
                filterPattern=f'"{text}"',
            ):
                for event in page["events"]:
                    yield _line(name, event["timestamp"], event["message"])
        except ClientError as error:
            if error.response["Error"]["Code"] != _NOT_THERE:
                raise


def _line(group: str, received: int, text: str) -> Line:
    try:
        fields = json.loads(text)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        return Line(received, group, {"message": text.rstrip()})
    return Line(_logged_at(fields) or received, group, fields)


def _logged_at(fields: dict[str, Any]) -> int | None:
    """When our own code logged it: events of one batch may all have the time they were received."""
    try:
        moment = datetime.strptime(fields["timestamp"], "%Y-%m-%d %H:%M:%S,%f%z")
    except (KeyError, TypeError, ValueError):
        return None
    return int(moment.timestamp() * 1000)
