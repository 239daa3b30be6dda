"""Check that the SQS queues have no dead letters, and that functions read the queues."""

from collections.abc import Iterator

from job_runners.cli.doctor.check import Issue
from job_runners.cli.doctor.deployed import FAILURES, TIMER, Deployed

_TIMEOUT_FACTOR = 6  # AWS recommends a visibility timeout of 6 times the function's timeout


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


def readers(deployed: Deployed) -> Iterator[Issue]:
    """Check that each function reads its queue, with the right settings."""
    for source, function, url in (
        ("FailuresQueueSource", FAILURES, deployed.stack.failures_queue_url),
        ("DelayQueueSource", TIMER, deployed.stack.delay_queue_url),
    ):
        mapping_id = deployed.id(source)
        mapping = deployed.client("lambda").get_event_source_mapping(UUID=mapping_id)
        name = deployed.id(function)
        if mapping["State"] not in ("Enabled", "Enabling", "Updating", "Creating"):
            yield Issue(
                f"{name} doesn't read its queue: the event source is {mapping['State']}.",
                f"aws lambda update-event-source-mapping --uuid {mapping_id} --enabled",
            )
        if "ReportBatchItemFailures" not in mapping.get("FunctionResponseTypes", []):
            yield Issue(
                f"{name} can't return single messages to its queue, so a message that fails counts "
                "as done.",
                f"aws lambda update-event-source-mapping --uuid {mapping_id} "
                "--function-response-types ReportBatchItemFailures",
            )
        timeout = deployed.functions[function]["Timeout"]
        visibility_timeout = int(deployed.queue(url)["VisibilityTimeout"])
        if visibility_timeout < _TIMEOUT_FACTOR * timeout:
            yield Issue(
                f"{name} may work on a message for {timeout} s, but can receive it a second time "
                f"after {visibility_timeout} s.",
                f"Give its queue a visibility timeout of {_TIMEOUT_FACTOR * timeout} s or more.",
            )
