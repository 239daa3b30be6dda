"""Makes good what ministack drops from the template, and proves by behaviour that it holds.

It reports CREATE_COMPLETE all the same, and its getters show values that it ignores.
"""

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mypy_boto3_lambda import LambdaClient

from job_runners.cli.stack import Stack
from local.credentials import session
from local.problem import LocalProblem

_ALIAS = "live"
_RECORD_SECONDS = 300  # a process may take long to start on a busy machine


def settle(stack: Stack) -> None:
    """Give the deployed stack what it lost, after every deploy."""
    functions = session(stack).client("lambda", endpoint_url=stack.endpoint_url)
    worker = stack.worker_function_arn.removesuffix(f":{_ALIAS}")
    _apply_alias_retries(functions, worker)
    for name in (worker, stack.timer_function_name, stack.failures_function_name):
        functions.put_function_recursion_config(FunctionName=name, RecursiveLoop="Allow")
    dynamodb = session(stack).client("dynamodb", endpoint_url=stack.endpoint_url)
    for table in (stack.table_name, stack.coordination_table_name):
        dynamodb.update_time_to_live(
            TableName=table,
            TimeToLiveSpecification={"AttributeName": "expires_at", "Enabled": True},
        )
    with _reader_paused(functions, stack.failures_function_name):
        _prove_one_attempt(stack, functions)


@contextmanager
def _reader_paused(functions: LambdaClient, name: str) -> Iterator[None]:
    """Keep the function from reading its queue, so that a record stays to be seen."""
    (source,) = functions.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
    functions.update_event_source_mapping(UUID=source["UUID"], Enabled=False)
    yield
    functions.update_event_source_mapping(UUID=source["UUID"], Enabled=True)


def _apply_alias_retries(functions: LambdaClient, worker: str) -> None:
    """Repeat an alias's event config where async calls look for it: it is stored but ignored.

    They look at the version that the alias points to, and only $LATEST can have a config there.
    """
    wanted = functions.get_function_event_invoke_config(FunctionName=worker, Qualifier=_ALIAS)
    functions.put_function_event_invoke_config(
        FunctionName=worker,
        MaximumRetryAttempts=wanted["MaximumRetryAttempts"],
        MaximumEventAgeInSeconds=wanted["MaximumEventAgeInSeconds"],
        DestinationConfig=wanted["DestinationConfig"],
    )
    functions.update_alias(FunctionName=worker, Name=_ALIAS, FunctionVersion="$LATEST")


def _prove_one_attempt(stack: Stack, functions: LambdaClient) -> None:
    """One event that the worker can't decode is tried once and leaves one record."""
    worker = functions.get_function_configuration(FunctionName=stack.worker_function_arn)
    event = {"kind": "none at all", "id": uuid.uuid4().hex}
    functions.invoke(
        FunctionName=stack.worker_function_arn,
        InvocationType="Event",
        Payload=json.dumps(event).encode(),
    )
    records = _take_failure_records(stack)
    attempts = _starts(stack, worker["LoggingConfig"]["LogGroup"])
    if [record["requestPayload"] for record in records] != [event] or attempts != 1:
        raise LocalProblem(
            f"A failing invoke of the worker made {attempts} attempts and left {len(records)} "
            "records in the failures queue, instead of 1 and 1"
        )


def _take_failure_records(stack: Stack) -> list[dict[str, Any]]:
    """Return what the failures queue holds once a record came and a second passed, removed from
    it."""
    sqs = session(stack).client("sqs", endpoint_url=stack.endpoint_url)
    deadline = time.monotonic() + _RECORD_SECONDS
    records: list[dict[str, Any]] = []
    while time.monotonic() < deadline:
        received = sqs.receive_message(
            QueueUrl=stack.failures_queue_url, WaitTimeSeconds=1, MaxNumberOfMessages=10
        ).get("Messages", [])
        for message in received:
            records.append(json.loads(message["Body"]))
            sqs.delete_message(
                QueueUrl=stack.failures_queue_url, ReceiptHandle=message["ReceiptHandle"]
            )
        if records and not received:
            break
    return records


def _starts(stack: Stack, log_group: str) -> int:
    """How often a function was started, by its log."""
    logs = session(stack).client("logs", endpoint_url=stack.endpoint_url)
    events = logs.filter_log_events(logGroupName=log_group)["events"]
    return sum(event["message"].startswith("START ") for event in events)
