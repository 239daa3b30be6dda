"""A durable function of AWS: an execution of one step."""

import json
from typing import Any

import boto3
from aws_durable_execution_sdk_python import DurableContext, durable_execution

from measuring import measure
from work_unit import PAYLOAD, WORKER, new_name, note


@durable_execution
def handler(event: dict[str, Any], context: DurableContext) -> str:
    """Note that it has begun, in a step."""
    context.step(lambda _: note(event["notes"], event["seconds"], event["name"]), name="work")
    return str(event["name"])


class Starter:
    """Starts executions of a function."""

    def __init__(self, function: str = WORKER) -> None:
        self._function = function
        self._client = boto3.client("lambda")

    def start(self, notes: str, seconds: float, name: str) -> str:
        """Start one; return its name."""
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
    """Start an execution for each name, and print its own name."""
    starter = Starter(function)
    for name in names:
        print(starter.start(notes, float(seconds), name))
