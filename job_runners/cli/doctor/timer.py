"""Check that the timer is enabled and runs."""

from collections.abc import Iterator

from job_runners.cli.doctor.check import Issue, Verdict
from job_runners.cli.doctor.deployed import Deployed
from job_runners.cli.output import duration

_MAX_GAP = 5 * 60  # seconds between two runs; the timer runs every 60 seconds


def check_timer(deployed: Deployed) -> Iterator[Issue]:
    """Check the timer, the function that sends due jobs to workers and resends lost messages."""
    for rule in deployed.physical_ids("AWS::Events::Rule").values():
        if deployed.client("events").describe_rule(Name=rule)["State"] != "ENABLED":
            yield Issue(
                "The timer's schedule is disabled, so due jobs aren't sent.",
                f"aws events enable-rule --name {rule}",
            )
    if _ran_recently(deployed):
        return
    if deployed.age < _MAX_GAP:
        yield Issue(
            f"The stack is {duration(deployed.age)} old, and its timer has logged no run yet. The "
            "first run comes after a minute, and its log line a few seconds later.",
            f"Run job-runners doctor again when the stack is {_MAX_GAP // 60} minutes old.",
            Verdict.UNKNOWN,
        )
    else:
        log_group = deployed.physical_id("TimerLogGroup")
        yield Issue(
            f"The timer hasn't run in the last {_MAX_GAP // 60} minutes, so due jobs aren't sent.",
            f"Its log has the reason: aws logs tail {log_group} --since 1h",
        )


def _ran_recently(deployed: Deployed) -> bool:
    return any(deployed.recent_lines("TimerLogGroup", "tick", _MAX_GAP))
