"""Read a deployed stack for the checks, and cache what AWS returns.

A resource's logical id is its name in the template, and its physical id is its name or URL on AWS.
"""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import Any

from job_runners.cli.cloudformation import describe, resources
from job_runners.cli.log_lines import events, fields_of
from job_runners.cli.target import Target

Item = dict[str, dict[str, Any]]  # DynamoDB's own JSON

WORKER = "WorkerFunction"
API = "ApiFunction"
TIMER = "TimerFunction"
FAILURES = "FailuresFunction"
ALIAS = "live"  # the alias that runs jobs
_SHARDS = 8  # of each lane of the due index
_MAX_ROWS = 100  # that one call can read
_MAX_PAGES = 50  # CloudWatch searches about a megabyte of the log for one page


class NotInStack(Exception):
    """The deployed stack lacks a resource of the template."""

    def __init__(self, logical_id: str) -> None:
        super().__init__(f"The stack has no {logical_id}.")


class Deployed:
    """One stack: its resources by their names in the template, and clients to read them."""

    def __init__(self, target: Target) -> None:
        self.stack = target.stack
        self.client = cache(target.client)
        self.queue = cache(self._queue)

    @cached_property
    def _resources(self) -> dict[str, tuple[str, str]]:
        return resources(self.client("cloudformation"), self.stack.name)

    @cached_property
    def described(self) -> dict[str, Any]:
        """CloudFormation's description of the stack."""
        return describe(self.client("cloudformation"), self.stack.name)

    @property
    def age(self) -> float:
        """The stack's age in seconds."""
        created: datetime = self.described["CreationTime"]
        return (datetime.now(UTC) - created).total_seconds()

    def id(self, logical_id: str) -> str:
        """Return a resource's physical id, such as a name or URL. Raises NotInStack."""
        if logical_id not in self._resources:
            raise NotInStack(logical_id)
        return self._resources[logical_id][1]

    def of_type(self, resource_type: str) -> dict[str, str]:
        """Return the physical ids of all resources of a type by their names in the template."""
        return {
            logical_id: physical_id
            for logical_id, (type_of_id, physical_id) in self._resources.items()
            if type_of_id == resource_type
        }

    def coordination_items(self, pk: str) -> Iterator[Item]:
        """Yield the items of a partition of the coordination table, read consistently.

        Raises NotInStack.
        """
        pages = (
            self.client("dynamodb")
            .get_paginator("query")
            .paginate(
                TableName=self.id("CoordinationTable"),
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues={":pk": {"S": pk}},
                ConsistentRead=True,
            )
        )
        for page in pages:
            yield from page["Items"]

    def due_rows(self, lane: str, before: int) -> Iterator[Item]:
        """Yield a lane's jobs that are due before a time, at most 100 of each shard.

        A lane is a part of the index of due jobs, divided into shards. `lane` is the prefix of
        their names. Jobs that DynamoDB is too busy to read are left out. Raises NotInStack.
        """
        dynamodb, table = self.client("dynamodb"), self.id("JobsTable")
        for shard in range(_SHARDS):
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
            keys = [{"id": item["id"]} for item in page["Items"]]
            if keys:
                request = {table: {"Keys": keys, "ConsistentRead": True}}
                yield from dynamodb.batch_get_item(RequestItems=request)["Responses"][table]

    def recent_lines(self, group: str, text: str, seconds: float) -> Iterator[dict[str, Any]]:
        """Yield the JSON log lines of the last `seconds` whose message is `text`, oldest first.

        `group` is the log group's name in the template. Raises NotInStack.
        """
        first = int((time.time() - seconds) * 1000)
        for event in events(self.client("logs"), self.id(group), text, first, _MAX_PAGES):
            fields = fields_of(event["message"]) or {}
            if fields.get("message") == text:
                yield fields

    @cached_property
    def functions(self) -> dict[str, dict[str, Any]]:
        """The configuration of each function. For workers, it is that of the alias."""
        get_configuration = self.client("lambda").get_function_configuration
        configurations = {
            function: get_configuration(FunctionName=self.id(function))
            for function in (API, TIMER, FAILURES)
        }
        for worker in (WORKER, *self.worker_classes):
            configurations[worker] = get_configuration(
                FunctionName=self.id(worker), Qualifier=ALIAS
            )
        return configurations

    @cached_property
    def worker_classes(self) -> list[str]:
        """The logical ids of the functions of worker classes, such as LargeWorkerFunction."""
        functions = self.of_type("AWS::Lambda::Function")
        return [name for name in functions if name.endswith(WORKER) and name != WORKER]

    @property
    def job_functions(self) -> list[str]:
        """The logical ids of all functions that run jobs."""
        if self.job_function == WORKER:
            return [WORKER, *self.worker_classes]
        return [self.job_function]

    @cached_property
    def job_function(self) -> str:
        """The logical id of the function that runs jobs without a worker class. With
        JobRunner=legacy, this is the API function."""
        return API if self.id(API) in self.stack.worker_function_arn.split(":") else WORKER

    def _queue(self, url: str) -> dict[str, str]:
        """Return a queue's attributes."""
        response = self.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        attributes: dict[str, str] = response["Attributes"]
        return attributes

    def dead_letter_queue(self, url: str) -> str | None:
        """Return the URL of a queue's dead-letter queue, if it has one."""
        policy = json.loads(self.queue(url).get("RedrivePolicy") or "{}")
        if "deadLetterTargetArn" not in policy:
            return None
        name = policy["deadLetterTargetArn"].rsplit(":", 1)[1]
        dlq_url: str = self.client("sqs").get_queue_url(QueueName=name)["QueueUrl"]
        return dlq_url
