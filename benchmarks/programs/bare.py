"""Make the same calls as Job Runners, with boto3 alone."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3

from measuring import measure
from work_unit import WORKER, new_name


def job(units: int, recording: str) -> None:
    """Measure saving an item and sending an event."""
    put, message = _recorded_requests(recording, "PutItem")[0], _message(recording)
    measure(_put_and_invoke(put, message), units)


def task(units: int, recording: str) -> None:
    """Measure sending an event."""
    measure(_invoker(_message(recording)), units)


def two_updates(units: int, recording: str) -> None:
    """Measure the two updates of a run: the claim and the outcome."""
    dynamodb, updates = boto3.client("dynamodb"), _recorded_requests(recording, "UpdateItem")

    def unit() -> None:
        for update in updates:
            dynamodb.update_item(**update)

    measure(unit, units)


def _put_and_invoke(put: dict[str, Any], message: dict[str, Any]) -> Callable[[], object]:
    """Return a function that saves an item under a new id, and invokes the worker with that id."""
    dynamodb, invoke = boto3.client("dynamodb"), _invoker(message)

    def unit() -> None:
        job_id = new_name()
        dynamodb.put_item(**{**put, "Item": {**put["Item"], "id": {"S": job_id}}})
        invoke(job_id)

    return unit


def _invoker(message: dict[str, Any]) -> Callable[..., object]:
    """Return a function that sends an event to the worker.

    The function reads the whole response, because an unread response would cost a new connection
    each time.
    """
    lambda_client = boto3.client("lambda")

    def unit(job_id: str = message["id"]) -> None:
        answer = lambda_client.invoke(
            FunctionName=WORKER,
            InvocationType="Event",
            Payload=json.dumps({**message, "id": job_id}),
        )
        answer["Payload"].read()

    return unit


def _message(recording: str) -> dict[str, Any]:
    (message,) = _recorded_requests(recording, "Invoke")
    return message


def _recorded_requests(recording: str, operation: str) -> list[dict[str, Any]]:
    """Return the recorded requests of an operation, as parameters for boto3."""
    return [
        _parameters(json.loads(each["request"]))
        for each in json.loads(Path(recording).read_text())
        if each["operation"] == operation
    ]


def _parameters(request: Any) -> Any:
    """Convert the binary values in a request's body to bytes."""
    if isinstance(request, dict):
        return {
            name: base64.b64decode(value) if name == "B" else _parameters(value)
            for name, value in request.items()
        }
    return request
