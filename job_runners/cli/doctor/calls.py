"""Check how Lambda invokes the functions: retries, failure destination, recursion, concurrency.

A function's logical id is its name in the template.
"""

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from job_runners.cli.doctor.check import Issue, Verdict
from job_runners.cli.doctor.deployed import ALIAS, API, FAILURES, TIMER, WORKER, Deployed

_UPDATE_COMMAND = "aws lambda update-function-event-invoke-config --function-name"


def check_retries(deployed: Deployed) -> Iterator[Issue]:
    """Check that Lambda itself retries nothing.

    With Lambda's retries, a job could run more often than its retry policy allows.
    """
    for logical_id in (*deployed.job_functions, TIMER):
        qualifier = None if logical_id == TIMER else ALIAS
        config = _event_config(deployed, logical_id, qualifier)
        name = deployed.physical_id(logical_id)
        function = f"{name}:{qualifier}" if qualifier else name
        option = f" --qualifier {qualifier}" if qualifier else ""
        retry_count = config.get("MaximumRetryAttempts", 2)  # 2 is Lambda's default
        if retry_count != 0:
            yield Issue(
                f"Lambda retries failed events of {function} {retry_count} times, "
                "so a job can run more often than its retry policy allows.",
                f"{_UPDATE_COMMAND} {name}{option} --maximum-retry-attempts 0",
            )


def check_failure_destination(deployed: Deployed) -> Iterator[Issue]:
    """Check that the failures queue gets the events that Lambda gives up on."""
    queue_arn = deployed.queue_attributes(deployed.stack.failures_queue_url)["QueueArn"]
    for worker in deployed.job_functions:
        name = deployed.physical_id(worker)
        destinations = _event_config(deployed, worker, ALIAS).get("DestinationConfig", {})
        destination = destinations.get("OnFailure", {}).get("Destination")
        if destination != queue_arn:
            yield Issue(
                f"Events that Lambda gives up on are sent to {destination or 'nowhere'}, not to "
                "the failures queue. A killed job is noticed only when its lease ends.",
                f"{_UPDATE_COMMAND} {name} --qualifier {ALIAS} --destination-config "
                f'\'{{"OnFailure": {{"Destination": "{queue_arn}"}}}}\'',
            )


def check_recursion(deployed: Deployed) -> Iterator[Issue]:
    """Check that Lambda allows recursion.

    By default, Lambda stops a chain of invocations, such as those of a long job, after 16.
    """
    for logical_id in (*deployed.job_functions, TIMER, FAILURES):
        name = deployed.physical_id(logical_id)
        config = deployed.client("lambda").get_function_recursion_config(FunctionName=name)
        if config["RecursiveLoop"] != "Allow":
            yield Issue(
                f"Lambda will stop {name} in a job of more than 16 invocations or attempts.",
                f"aws lambda put-function-recursion-config --function-name {name} "
                "--recursive-loop Allow",
            )


def check_reservation(deployed: Deployed) -> Iterator[Issue]:
    """Check that no function is stopped, and that workers leave concurrency for the others."""
    # With JobRunner=legacy, the API function runs jobs, and needs no reservation.
    workers = deployed.job_functions if deployed.job_function == WORKER else []
    for logical_id in dict.fromkeys((API, *deployed.job_functions, TIMER, FAILURES)):
        name = deployed.physical_id(logical_id)
        response = deployed.client("lambda").get_function_concurrency(FunctionName=name)
        reserved = response.get("ReservedConcurrentExecutions")
        if reserved == 0:
            yield Issue(
                f"{name} is stopped: its reserved concurrency is 0, so Lambda doesn't run it.",
                f"To start it: aws lambda delete-function-concurrency --function-name {name}. If "
                "it had a reservation before, use put-function-concurrency with that number.",
            )
        if reserved is not None or logical_id not in workers:
            continue
        setting = "WorkerReservedConcurrency" if logical_id == WORKER else "concurrency in app.toml"
        yield Issue(
            f"{name} has no reserved concurrency. Workers can use all of the account's "
            "concurrency, and then neither the API nor the timer can start.",
            f"Deploy with {setting} set well below the account's limit. It can't "
            "be set while that limit is 100 or less (a new account has 10): have AWS raise it.",
            Verdict.ADVICE,
        )


def _event_config(deployed: Deployed, logical_id: str, qualifier: str | None) -> dict[str, Any]:
    arguments = {"Qualifier": qualifier} if qualifier else {}
    try:
        config: dict[str, Any] = deployed.client("lambda").get_function_event_invoke_config(
            FunctionName=deployed.physical_id(logical_id), **arguments
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        return {}  # the function has Lambda's defaults
    return config
