"""Check that the SQS queues have no dead letters."""

from collections.abc import Iterator

from job_runners.cli.doctor.check import Issue
from job_runners.cli.doctor.deployed import Deployed


def dead_letters(deployed: Deployed) -> Iterator[Issue]:
    """Check for dead letters: failure records that weren't handled, and delayed messages that
    weren't sent."""
    stack = deployed.stack
    for name, url in (("failures", stack.failures_queue_url), ("delay", stack.delay_queue_url)):
        dead = deployed.dead_letter_queue(url)
        if dead is None:
            yield Issue(
                f"The {name} queue has no dead-letter queue, so messages that fail are lost.",
                "job-runners deploy adds it again.",
            )
        elif count := int(deployed.queue(dead)["ApproximateNumberOfMessages"]):
            yield Issue(
                f"The {name} queue has {count} dead letter{'s'[: count != 1]}.",
                "Find the cause in job-runners logs or the function's log, and fix it. Then resend "
                "them: job-runners failures redrive --dead-letters",
            )
