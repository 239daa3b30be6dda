"""Search the log of a function for recent lines."""

import time
from collections.abc import Iterator
from typing import Any

from job_runners.cli.doctor.deployed import Deployed
from job_runners.cli.log_lines import events, fields_of

_MOST_PAGES = 50  # CloudWatch reads about a megabyte of the log for each


def recent_lines(
    deployed: Deployed, group: str, text: str, seconds: float
) -> Iterator[dict[str, Any]]:
    """Yield the JSON log lines of the last `seconds` whose message is `text`, oldest first.

    `group` is the log group's name in the template.
    """
    first = int((time.time() - seconds) * 1000)
    for event in events(deployed.client("logs"), deployed.id(group), text, first, _MOST_PAGES):
        fields = fields_of(event["message"]) or {}
        if fields.get("message") == text:
            yield fields
