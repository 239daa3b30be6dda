"""Search the log of a function for recent lines."""

import json
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

from botocore.exceptions import ClientError

from job_runners.cli.doctor.deployed import Deployed

_MOST_PAGES = 50  # CloudWatch reads about a megabyte of the log for each


def recent_lines(
    deployed: Deployed, group: str, text: str, seconds: float
) -> Iterator[dict[str, Any]]:
    """Yield the JSON log lines of the last `seconds` whose message is `text`, oldest first.

    `group` is the log group's name in the template.
    """
    pages = deployed.client("logs").get_paginator("filter_log_events")
    found = pages.paginate(
        logGroupName=deployed.id(group),
        startTime=int((time.time() - seconds) * 1000),
        filterPattern=f'"{text}"',
    )
    try:
        for page in islice(found, _MOST_PAGES):
            for event in page["events"]:
                fields = _fields(event["message"])
                if fields.get("message") == text:
                    yield fields
    except ClientError as error:
        # On the local AWS, a log group doesn't exist before the first line.
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise


def _fields(line: str) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}
