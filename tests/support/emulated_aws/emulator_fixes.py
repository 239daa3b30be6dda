"""Restore the settings that ministack drops from the template, and test that they work.

ministack reports CREATE_COMPLETE even though it drops them. Its API also returns values that it
ignores.
"""

import json
import os
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from job_runners.cli.stack import Stack
from job_runners.cli.target import Target
from job_runners.local.options import LocalProblem
from stack_clients import session

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

_ALIAS = "live"
# Seconds to wait for a record: a process may start slowly on a busy machine. Then the check is
# repeated, because ministack was seen to lose one, once.
_RECORD_SECONDS = 60
_CHECKS = 4


def settle(stack: Stack) -> None:
    """Restore the deployed stack's lost settings after a deploy, and test that they work."""
    restore_settings(stack)
    functions = session(stack).client("lambda", endpoint_url=stack.endpoint_url)
    with _paused_reader(functions, stack.failures_function_name):
        _check_one_attempt(stack, functions)


def restore_settings(stack: Stack) -> None:
    """Restore the deployed stack's lost settings."""
    functions = session(stack).client("lambda", endpoint_url=stack.endpoint_url)
    worker = stack.worker_function_arn.removesuffix(f":{_ALIAS}")
    prefix = f"{stack.name}-worker-"
    listed = functions.get_paginator("list_functions").paginate()
    names = [each["FunctionName"] for page in listed for each in page["Functions"]]
    workers = [worker, *(each for each in names if each.startswith(prefix))]
    for name in workers:
        _apply_alias_retries(functions, name)
    for name in (*workers, stack.timer_function_name, stack.failures_function_name):
        functions.put_function_recursion_config(FunctionName=name, RecursiveLoop="Allow")
    dynamodb = session(stack).client("dynamodb", endpoint_url=stack.endpoint_url)
    for table in (stack.table_name, stack.coordination_table_name):
        dynamodb.update_time_to_live(
            TableName=table,
            TimeToLiveSpecification={"AttributeName": "expires_at", "Enabled": True},
        )


@contextmanager
def _paused_reader(functions: "LambdaClient", name: str) -> Iterator[None]:
    """Keep the function from reading its queue, so that a record stays visible."""
    (source,) = functions.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
    functions.update_event_source_mapping(UUID=source["UUID"], Enabled=False)
    yield
    functions.update_event_source_mapping(UUID=source["UUID"], Enabled=True)


def _apply_alias_retries(functions: "LambdaClient", worker: str) -> None:
    """Copy the alias's configuration of async calls to $LATEST, and point the alias to $LATEST.

    ministack ignores the configuration of an alias. It uses that of the version to which the alias
    points, and only $LATEST can have a configuration.
    """
    wanted = functions.get_function_event_invoke_config(FunctionName=worker, Qualifier=_ALIAS)
    functions.put_function_event_invoke_config(
        FunctionName=worker,
        MaximumRetryAttempts=wanted["MaximumRetryAttempts"],
        MaximumEventAgeInSeconds=wanted["MaximumEventAgeInSeconds"],
        DestinationConfig=wanted["DestinationConfig"],
    )
    functions.update_alias(FunctionName=worker, Name=_ALIAS, FunctionVersion="$LATEST")


def _check_one_attempt(stack: Stack, functions: "LambdaClient") -> None:
    """Check that an event that the worker can't decode is tried once and leaves one record.

    The queue may also have records of other work.
    """
    worker = functions.get_function_configuration(FunctionName=stack.worker_function_arn)
    for _ in range(_CHECKS):
        kind = f"none at all {uuid.uuid4().hex}"
        event = {"v": 1, "kind": kind, "id": uuid.uuid4().hex}
        functions.invoke(
            FunctionName=stack.worker_function_arn,
            InvocationType="Event",
            Payload=json.dumps(event).encode(),
        )
        records = _take_failure_records(stack, event)
        attempts = _failures(stack, worker["LoggingConfig"]["LogGroup"], kind)
        if (records, attempts) == (1, 1):
            return
        if max(records, attempts) > 1:
            break
    raise LocalProblem(
        f"A failing invocation of the worker was tried {attempts} times and left {records} "
        "records in the failures queue. Both numbers should be 1."
    )


def _take_failure_records(stack: Stack, event: dict[str, Any]) -> int:
    """Remove this event's records from the failures queue, and return their number.

    Wait for the first record, and then for one more second, in case there is another record.
    """
    sqs = session(stack).client("sqs", endpoint_url=stack.endpoint_url)
    deadline = time.monotonic() + _RECORD_SECONDS
    found = 0
    while time.monotonic() < deadline:
        received = sqs.receive_message(
            QueueUrl=stack.failures_queue_url, WaitTimeSeconds=1, MaxNumberOfMessages=10
        ).get("Messages", [])
        ours = [each for each in received if json.loads(each["Body"])["requestPayload"] == event]
        for message in ours:
            found += 1
            sqs.delete_message(
                QueueUrl=stack.failures_queue_url, ReceiptHandle=message["ReceiptHandle"]
            )
        if found and not ours:
            break
    return found


def _failures(stack: Stack, log_group: str, kind: str) -> int:
    """Return the number of failures on an event of this kind in a function's log."""
    logs = session(stack).client("logs", endpoint_url=stack.endpoint_url)
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=log_group)
    messages = [event["message"] for page in pages for event in page["events"]]
    expected = f"MalformedMessage: the message's kind is {kind!r}"
    return sum(expected in message for message in messages)


def main() -> None:
    """Restore the settings of the stack that the command line names.

    It is on the local AWS to which AWS_ENDPOINT_URL leads.
    """
    key, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    stack = Target(stack_name=sys.argv[1]).stack
    restore_settings(replace(stack, aws_access_key_id=key, aws_secret_access_key=secret))


if __name__ == "__main__":
    main()
