"""What CloudWatch Logs holds about a job, from all functions of the stack, in order of time."""

import heapq
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from cli.api import Job
from cli.cloudformation import resources
from cli.where import Where

_EARLIER, _LATER = 60, 300  # seconds around the job's own times: clocks differ, logs come late
_NOT_THERE = "ResourceNotFoundException"  # a group that nothing has been written to


@dataclass(order=True)
class Line:
    """One line of one function's log."""

    time: int  # milliseconds since 1970
    group: str = field(compare=False)  # its name in the template, without LogGroup
    text: str = field(compare=False)

    @property
    def fields(self) -> dict[str, Any]:
        """The line's fields; one that is not JSON is all message."""
        try:
            value = json.loads(self.text)
        except ValueError:
            return {"message": self.text.rstrip()}
        return value if isinstance(value, dict) else {"message": self.text.rstrip()}


def span(job: Job) -> tuple[int, int]:
    """From when to when something about a job may have been logged."""
    from datetime import datetime

    first = datetime.fromisoformat(job["created_at"]).timestamp()
    last = time.time()
    if job["finished_at"]:
        last = datetime.fromisoformat(job["finished_at"]).timestamp()
    return int((first - _EARLIER) * 1000), int((last + _LATER) * 1000)


def about(where: Where, words: str, between: tuple[int, int]) -> Iterator[Line]:
    """Every line that contains these words, from all log groups of the stack."""
    groups = {
        name.removesuffix("LogGroup"): own
        for name, (kind, own) in resources(where).items()
        if kind == "AWS::Logs::LogGroup"
    }
    return heapq.merge(*(_lines(where, name, own, words, between) for name, own in groups.items()))


def _lines(
    where: Where, name: str, group: str, words: str, between: tuple[int, int]
) -> Iterator[Line]:
    pages = (
        where.client("logs")
        .get_paginator("filter_log_events")
        .paginate(
            logGroupName=group,
            startTime=between[0],
            endTime=between[1],
            filterPattern=f'"{words}"',
        )
    )
    try:
        for page in pages:
            for event in page["events"]:
                yield Line(event["timestamp"], name, event["message"])
    except ClientError as error:
        if error.response["Error"]["Code"] != _NOT_THERE:
            raise
