"""Check that the SQS queues have no dead letters."""

from collections.abc import Iterator

from job_runners.cli import output
from job_runners.cli.doctor.check import Issue
from job_runners.cli.doctor.deployed import Deployed


def check_dead_letters(deployed: Deployed) -> Iterator[Issue]:
    """Check for dead letters: failure records and delayed messages that couldn't be handled."""
    stack = deployed.stack
    for name, url in (("failures", stack.failures_queue_url), ("delay", stack.delay_queue_url)):
        dlq_url = deployed.dead_letter_queue(url)
        if dlq_url is None:
            yield Issue(
                f"The {name} queue has no dead-letter queue, so messages that fail are lost.",
                "job-runners deploy adds it again.",
            )
            continue
        count = int(deployed.queue_attributes(dlq_url)["ApproximateNumberOfMessages"])
        if count:
            yield Issue(
                f"The {name} queue has {output.count(count, 'dead letter')}.",
                "Find the cause in job-runners logs or the function's log, and fix it. Then resend "
                "them: job-runners failures redrive --dead-letters",
            )
