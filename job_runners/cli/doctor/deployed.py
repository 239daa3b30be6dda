"""Read a deployed stack for the checks, and cache AWS's answers.

A resource's logical id is its name in the template. Its physical id is its name or URL on AWS.
"""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import Any

from job_runners.cli.cloudformation import describe, resources
from job_runners.cli.log_lines import find_events, parse_fields
from job_runners.cli.target import Target

Item = dict[str, dict[str, Any]]  # an item in DynamoDB's own JSON: {"id": {"S": "7f3a"}}

# The logical ids of the functions.
WORKER = "WorkerFunction"
API = "ApiFunction"
TIMER = "TimerFunction"
FAILURES = "FailuresFunction"
ALIAS = "live"  # the alias of the functions that run jobs
_SHARDS_PER_LANE = 8  # see `due_rows`
_MAX_ROWS = 100  # the most rows that one batch_get_item can read
_MAX_PAGES = 50  # pages of log events; CloudWatch searches about a megabyte for each


class NotInStack(Exception):
    """The deployed stack lacks a resource of the template."""

    def __init__(self, logical_id: str) -> None:
        super().__init__(f"The stack has no {logical_id}.")


class Deployed:
    """A deployed stack: its resources, and clients to read them."""

    def __init__(self, target: Target) -> None:
        self.stack = target.stack
        self.client = cache(target.client)
        self.queue_attributes = cache(self._read_queue_attributes)

    @cached_property
    def _resources(self) -> dict[str, tuple[str, str]]:
        return resources(self.client("cloudformation"), self.stack.name)

    @cached_property
    def description(self) -> dict[str, Any]:
        """CloudFormation's description of the stack."""
        return describe(self.client("cloudformation"), self.stack.name)

    @property
    def age(self) -> float:
        """The stack's age in seconds."""
        created_at: datetime = self.description["CreationTime"]
        return (datetime.now(UTC) - created_at).total_seconds()

    def physical_id(self, logical_id: str) -> str:
        """Return a resource's physical id. Raises NotInStack."""
        if logical_id not in self._resources:
            raise NotInStack(logical_id)
        _, physical_id = self._resources[logical_id]
        return physical_id

    def physical_ids(self, resource_type: str) -> dict[str, str]:
        """Return the physical ids of all resources of a type, by logical id."""
        return {
            logical_id: physical_id
            for logical_id, (this_type, physical_id) in self._resources.items()
            if this_type == resource_type
        }

    def coordination_items(self, pk: str) -> Iterator[Item]:
        """Yield the coordination table's items with this partition key. Raises NotInStack."""
        paginator = self.client("dynamodb").get_paginator("query")
        pages = paginator.paginate(
            TableName=self.physical_id("CoordinationTable"),
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": pk}},
            ConsistentRead=True,
        )
        for page in pages:
            yield from page["Items"]

    def due_rows(self, lane: str, before: int) -> Iterator[Item]:
        """Yield the jobs of a lane that are due before a time, at most 100 from each shard.

        A lane is a part of the index of due jobs, and has several shards. Jobs that DynamoDB is too
        busy to return are left out. Raises NotInStack.
        """
        dynamodb, table = self.client("dynamodb"), self.physical_id("JobsTable")
        for shard in range(_SHARDS_PER_LANE):
            page = dynamodb.query(
                TableName=table,
                IndexName="due",
                KeyConditionExpression="due_shard = :shard AND due_at < :before",
                ExpressionAttributeValues={
                    ":shard": {"S": f"{lane}{shard}"},
                    ":before": {"N": str(before)},
                },
                Limit=_MAX_ROWS,
            )
            # The index has only keys, and lags behind the table. Read the rows themselves.
            keys = [{"id": item["id"]} for item in page["Items"]]
            if keys:
                request = {table: {"Keys": keys, "ConsistentRead": True}}
                yield from dynamodb.batch_get_item(RequestItems=request)["Responses"][table]

    def recent_lines(self, group: str, text: str, seconds: float) -> Iterator[dict[str, Any]]:
        """Yield the JSON log lines of the last `seconds` whose message is `text`, oldest first.

        `group` is the log group's logical id. Raises NotInStack.
        """
        start = int((time.time() - seconds) * 1000)
        for event in find_events(
            self.client("logs"), self.physical_id(group), text, start, _MAX_PAGES
        ):
            fields = parse_fields(event["message"]) or {}
            if fields.get("message") == text:
                yield fields

    @cached_property
    def functions(self) -> dict[str, dict[str, Any]]:
        """The configuration of each function. For workers, read the version behind the alias."""
        get_configuration = self.client("lambda").get_function_configuration
        configurations = {
            function: get_configuration(FunctionName=self.physical_id(function))
            for function in (API, TIMER, FAILURES)
        }
        for worker in (WORKER, *self.worker_classes):
            configurations[worker] = get_configuration(
                FunctionName=self.physical_id(worker), Qualifier=ALIAS
            )
        return configurations

    @cached_property
    def worker_classes(self) -> list[str]:
        """The logical ids of all worker classes' functions, such as LargeWorkerFunction."""
        functions = self.physical_ids("AWS::Lambda::Function")
        return [name for name in functions if name.endswith(WORKER) and name != WORKER]

    @property
    def job_functions(self) -> list[str]:
        """The logical ids of all functions that run jobs."""
        if self.job_function == WORKER:
            return [WORKER, *self.worker_classes]
        return [self.job_function]

    @cached_property
    def job_function(self) -> str:
        """The logical id of the function that runs jobs without a worker class.

        With JobRunner=legacy, this is the API function.
        """
        api_runs_jobs = self.physical_id(API) in self.stack.worker_function_arn.split(":")
        return API if api_runs_jobs else WORKER

    def _read_queue_attributes(self, url: str) -> dict[str, str]:
        response = self.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        attributes: dict[str, str] = response["Attributes"]
        return attributes

    def dead_letter_queue(self, url: str) -> str | None:
        """Return the URL of a queue's dead-letter queue, if it has one."""
        policy = json.loads(self.queue_attributes(url).get("RedrivePolicy") or "{}")
        if "deadLetterTargetArn" not in policy:
            return None
        name = policy["deadLetterTargetArn"].rsplit(":", 1)[1]
        dlq_url: str = self.client("sqs").get_queue_url(QueueName=name)["QueueUrl"]
        return dlq_url
