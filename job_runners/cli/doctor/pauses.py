"""Check for pauses of job types and queues that may have been forgotten."""

import time
from collections.abc import Iterator

from job_runners.cli.doctor.check import Issue, Verdict
from job_runners.cli.doctor.deployed import Deployed
from job_runners.cli.output import count

_DAY = 24 * 60 * 60  # seconds
_PAUSES = "paused"  # the partition key of all pauses in the coordination table


def check_pauses(deployed: Deployed) -> Iterator[Issue]:
    """Check for job types and queues that have been paused for more than a day."""
    for item in deployed.coordination_items(_PAUSES):
        days = days_in_words(item["changed_at"]["N"])
        if item["state"]["S"] == "paused" and days:
            kind, _, name = item["sk"]["S"].partition("#")
            option = "--queue " if kind == "queue" else ""
            yield Issue(
                f"The {kind.replace('_', ' ')} {name} has been paused for {days}, so its jobs "
                "wait. A job that waits for 30 days fails.",
                f"If the pause isn't needed any more: job-runners resume {option}{name}",
                Verdict.ADVICE,
            )


def days_in_words(since: str) -> str:
    """Return the days since a time, such as "2 days", or "" if it is less than a day ago.

    `since` is in milliseconds since 1970, as a string, as DynamoDB returns numbers.
    """
    days = int((time.time() - int(since) / 1000) // _DAY)
    return count(days, "day") if days else ""
