"""AWS durable functions: an execution with one step."""

import http.client
import json
import time
from typing import Any

import boto3
from aws_durable_execution_sdk_python import DurableContext, durable_execution

from measuring import measure
from work_unit import PAYLOAD, WORKER, new_name, note


@durable_execution
def handler(event: dict[str, Any], context: DurableContext) -> str:
    """Note the start, in a step."""
    context.step(lambda _: note(event["notes"], event["seconds"], event["name"]), name="work")
    return str(event["name"])


class Starter:
    """Starts executions of a function."""

    def __init__(self, function: str = WORKER) -> None:
        self._function = function
        self._client = boto3.client("lambda")

    def start(self, notes: str, seconds: float, name: str) -> str:
        """Start an execution, and return its name."""
        execution = new_name()
        answer = self._client.invoke(
            FunctionName=self._function,
            InvocationType="Event",
            DurableExecutionName=execution,
            Payload=json.dumps({"notes": notes, "seconds": seconds, "name": name}),
        )
        answer["Payload"].read()
        return execution


def dispatch(units: int) -> None:
    """Measure a dispatch."""
    starter = Starter()
    measure(lambda: starter.start("", 0, PAYLOAD["name"]), units)


def send(function: str, notes: str, seconds: str, *names: str) -> None:
    """Start an execution for each name, and print the execution's name."""
    starter = Starter(function)
    for name in names:
        print(starter.start(notes, float(seconds), name))


def serve(port: str, lambda_endpoint: str) -> None:
    """Run the service of durable executions from AWS's testing SDK.

    It calls functions at an endpoint, and calls them again when they fail.
    """
    from aws_durable_execution_sdk_python_testing.cli import CliApp

    where = ["--host", "127.0.0.1", "--port", port, "--lambda-endpoint", lambda_endpoint]
    CliApp().run(["start-server", *where, "--local-runner-region", "us-east-1"])


def begin(service: str, function: str, notes: str, seconds: str) -> None:
    """Start an execution at a service of the testing SDK, and print its ARN."""
    asked = {
        "AccountId": "000000000000",
        "FunctionName": function,
        "FunctionQualifier": "$LATEST",
        "ExecutionName": new_name(),
        "ExecutionTimeoutSeconds": 120,
        "ExecutionRetentionPeriodDays": 1,
        "Input": json.dumps({"notes": notes, "seconds": float(seconds), "name": "work"}),
    }
    body = json.dumps(asked).encode()
    headers = {"Content-Type": "application/json"}
    for _ in range(100):
        connection = http.client.HTTPConnection(service.removeprefix("http://"))
        try:
            connection.request("POST", "/start-durable-execution", body, headers)
        except OSError:  # the service isn't ready yet
            time.sleep(0.1)
        else:
            print(json.load(connection.getresponse())["ExecutionArn"])
            return


def status(service: str, arn: str) -> None:
    """Print the status of an execution at that service."""
    client = boto3.client("lambda", endpoint_url=service)
    print(client.get_durable_execution(DurableExecutionArn=arn)["Status"])
