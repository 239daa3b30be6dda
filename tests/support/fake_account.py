"""An AWS account with one healthy stack, for `job-runners doctor` and what else looks at stacks.

Clients are real; their calls end here. Parameters and answers are held to botocore's own models, so
that no test relies on something AWS would not say.
"""

import math
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from botocore.session import Session
from botocore.validate import validate_parameters

from fake_stack import (
    ACCOUNT,
    FAILURES_ARN,
    OUTPUTS,
    QUEUES,
    REGION,
    RESOURCES,
    STACK,
    alarm,
    function,
)
from job_runners.cli import local_aws


@dataclass
class Account:
    """What there is. A test changes it, or puts down an error for one operation."""

    created_at: float = 1_795_521_600
    drift: str = "IN_SYNC"
    resources: dict[str, tuple[str, str]] = field(default_factory=lambda: dict(RESOURCES))
    outputs: dict[str, str] = field(default_factory=lambda: dict(OUTPUTS))
    functions: dict[str, dict[str, Any]] = field(
        default_factory=lambda: (
            {each: function(each) for each in ("api", "worker:live", "worker", "timer", "failures")}
            | {"worker:live": function("worker"), "worker": function("worker")}
        )
    )
    event_configs: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {
            "worker:live": {
                "MaximumRetryAttempts": 0,
                "DestinationConfig": {"OnFailure": {"Destination": FAILURES_ARN}},
            },
            "timer": {"MaximumRetryAttempts": 0},
        }
    )
    canary: dict[str, float] = field(default_factory=dict)  # version to its share of the work
    recursion: dict[str, str] = field(
        default_factory=lambda: dict.fromkeys(("worker", "timer", "failures"), "Allow")
    )
    reserved: int | None = 100  # for workers
    stopped: set[str] = field(default_factory=set)  # functions without any concurrency
    queues: dict[str, dict[str, str]] = field(
        default_factory=lambda: {
            name: {
                "QueueArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}",
                "ApproximateNumberOfMessages": "0",
                **(
                    {}
                    if name.endswith("-dead")
                    else {"RedrivePolicy": f'{{"deadLetterTargetArn": "x:{name}-dead"}}'}
                ),
            }
            for name in ("failures", "delay", "failures-dead", "delay-dead")
        }
    )
    alarms: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {
            own: alarm(own) for kind, own in RESOURCES.values() if kind == "AWS::CloudWatch::Alarm"
        }
    )
    rule: str = "ENABLED"
    logs: dict[str, list[tuple[float, str]]] = field(
        default_factory=lambda: {"log-timer": [(time.time() - 30, '{"message": "tick"}')]}
    )
    items: list[dict[str, Any]] = field(default_factory=list)  # of the coordination table
    waiting: list[dict[str, Any]] = field(default_factory=list)  # rows of the jobs table
    parameters: dict[str, tuple[str, str]] = field(default_factory=dict)  # kind and value
    refusals: dict[str, tuple[str, str]] = field(default_factory=dict)

    def answer(self, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        """Return what AWS says to one call."""
        if operation in self.refusals:
            self.refuse(operation, *self.refusals[operation])
        found: dict[str, Any] = getattr(self, f"_{operation}")(given)
        return found

    def refuse(self, operation: str, code: str, message: str) -> None:
        """Raise what a client raises."""
        raise ClientError({"Error": {"Code": code, "Message": message}}, operation)

    def _GetCallerIdentity(self, _: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"Account": ACCOUNT, "Arn": f"arn:aws:iam::{ACCOUNT}:user/ada"}

    def _DescribeStacks(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        if given["StackName"] != STACK:
            words = f"Stack with id {given['StackName']} does not exist"
            self.refuse("DescribeStacks", "ValidationError", words)
        outputs = [{"OutputKey": key, "OutputValue": each} for key, each in self.outputs.items()]
        stack = {"StackName": STACK, "StackStatus": "CREATE_COMPLETE", "Outputs": outputs}
        created = datetime.fromtimestamp(self.created_at, UTC)
        drift = {"StackDriftStatus": self.drift}
        return {"Stacks": [stack | {"CreationTime": created, "DriftInformation": drift}]}

    def _ListStackResources(self, _: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {
            "StackResourceSummaries": [
                {
                    "LogicalResourceId": name,
                    "PhysicalResourceId": own,
                    "ResourceType": kind,
                    "LastUpdatedTimestamp": "2026-11-24T12:00:00Z",
                    "ResourceStatus": "CREATE_COMPLETE",
                }
                for name, (kind, own) in self.resources.items()
            ]
        }

    def _GetFunctionConfiguration(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return self.functions[_qualified(given)]

    def _GetFunctionEventInvokeConfig(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        if _qualified(given) not in self.event_configs:
            words = "The function doesn't have an EventInvokeConfig"
            self.refuse("GetFunctionEventInvokeConfig", "ResourceNotFoundException", words)
        return self.event_configs[_qualified(given)]

    def _GetAlias(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        assert "worker" in given["FunctionName"]
        assert given["Name"] == "live"
        routing = {"RoutingConfig": {"AdditionalVersionWeights": self.canary}}
        return {"FunctionVersion": "7", **(routing if self.canary else {})}

    def _GetFunctionRecursionConfig(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"RecursiveLoop": self.recursion[given["FunctionName"]]}

    def _GetFunctionConcurrency(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        name = given["FunctionName"]
        reserved = 0 if name in self.stopped else self.reserved if "worker" in name else None
        return {} if reserved is None else {"ReservedConcurrentExecutions": reserved}

    def _BatchGetItem(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        ids = [key["id"] for key in given["RequestItems"]["jobs"]["Keys"]]
        return {"Responses": {"jobs": [row for row in self.waiting if row["id"] in ids]}}

    def _Query(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        if given["TableName"] == "jobs":
            values = given["ExpressionAttributeValues"]
            before = int(values[":before"]["N"])
            of_shard = [row for row in self.waiting if row["due_shard"] == values[":shard"]]
            return {"Items": [row for row in of_shard if int(row["due_at"]["N"]) < before]}
        assert given["TableName"] == "coordination"
        assert given["KeyConditionExpression"] == "pk = :pk"
        pk = given["ExpressionAttributeValues"][":pk"]
        return {"Items": [each for each in self.items if each["pk"] == pk]}

    def _GetQueueAttributes(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"Attributes": self.queues[given["QueueUrl"].rsplit("/", 1)[1]]}

    def _GetQueueUrl(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"QueueUrl": f"{QUEUES}/{given['QueueName']}"}

    def _DescribeAlarms(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"MetricAlarms": [self.alarms[n] for n in given["AlarmNames"] if n in self.alarms]}

    def _DescribeRule(self, _: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"State": self.rule}

    def _FilterLogEvents(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        if given["logGroupName"] not in self.logs:
            words = "The specified log group does not exist."
            self.refuse("FilterLogEvents", "ResourceNotFoundException", words)
        words = given["filterPattern"].strip('"')
        found = [
            {
                "timestamp": int(when * 1000),
                "message": line,
                "eventId": f"{given['logGroupName']} {n}",
            }
            for n, (when, line) in enumerate(self.logs[given["logGroupName"]])
            if words in line and given["startTime"] <= when * 1000 <= given.get("endTime", math.inf)
        ]
        # As AWS does: a page may be empty, and the next one not.
        if "nextToken" not in given:
            return {"events": [], "nextToken": "more"}
        return {"events": found}

    def _GetParametersByPath(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        assert not given["WithDecryption"]
        under = sorted(
            each
            for each in self.parameters
            if _folder(each) == given["Path"]
            or (given.get("Recursive") and each.startswith(f"{given['Path']}/"))
        )
        first = int(given.get("NextToken", 0))
        answer: dict[str, Any] = {
            "Parameters": [
                {
                    "Name": name,
                    "Type": self.parameters[name][0],
                    "Value": self._shown(name),
                    "LastModifiedDate": datetime.fromtimestamp(self.created_at, UTC),
                }
                for name in under[first : first + 10]
            ]
        }
        return answer | ({"NextToken": str(first + 10)} if under[first + 10 :] else {})

    def _shown(self, name: str) -> str:
        kind, value = self.parameters[name]
        return value if kind == "String" else "AQICAHh"  # not decrypted

    def _PutParameter(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        assert given["Overwrite"]
        if self.parameters.get(given["Name"], (given["Type"],))[0] != given["Type"]:
            self.refuse("PutParameter", "HierarchyTypeMismatchException", "another type")
        self.parameters[given["Name"]] = (given["Type"], given["Value"])
        return {"Version": 1}

    def _DeleteParameters(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        gone = [each for each in given["Names"] if self.parameters.pop(each, None)]
        unknown = [each for each in given["Names"] if each not in gone]
        lists = {"DeletedParameters": gone, "InvalidParameters": unknown}
        return {name: each for name, each in lists.items() if each}


def _folder(name: str) -> str:
    return name.rsplit("/", 1)[0]


def _qualified(given: dict[str, Any]) -> str:
    return ":".join(filter(None, (given["FunctionName"], given.get("Qualifier"))))


_create_client = Session.create_client
_clients: dict[tuple[str, str, str | None], Any] = {}


def _client(session: Session, service: str, endpoint_url: str | None = None) -> Any:
    """Return a client, made once for all tests: to make one reads its service's model, which takes
    long, and all it does is patched in each test."""
    key = (service, session.get_config_variable("region"), endpoint_url)
    if key not in _clients:
        _clients[key] = _create_client(session, service, endpoint_url=endpoint_url)
    return _clients[key]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Account:
    """Return the account that every client of this process reaches, and no local AWS."""
    world = Account()

    def call(client: BaseClient, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        model = client.meta.service_model.operation_model(operation)
        if model.input_shape is not None:
            validate_parameters(given, model.input_shape)
        found = world.answer(operation, given)
        if model.output_shape is not None:
            validate_parameters(found, model.output_shape)
        return found

    monkeypatch.setattr(BaseClient, "_make_api_call", call)
    monkeypatch.setattr(Session, "create_client", _client)
    monkeypatch.setattr(local_aws, "HOME", tmp_path / "no-local-aws")
    return world
