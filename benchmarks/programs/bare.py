"""The same calls as ours, with boto3 and nothing else."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3

from measuring import measure
from work_unit import WORKER, new_name


def job(units: int, recording: str) -> None:
    """Measure a row saved and an event sent."""
    put, message = _of(recording, "PutItem")[0], _message(recording)
    measure(_saved_and_invoked(put, message), units)


def job_of_few_attributes(units: int, recording: str) -> None:
    """Measure the same with a row that has only what it must: no index finds it."""
    put, message = _of(recording, "PutItem")[0], _message(recording)
    kept = ("id", "status", "payload", "created_at")
    few = {**put, "Item": {name: put["Item"][name] for name in kept}}
    measure(_saved_and_invoked(few, message), units)


def task(units: int, recording: str) -> None:
    """Measure an event sent."""
    measure(_invoked(_message(recording)), units)


def two_updates(units: int, recording: str) -> None:
    """Measure a row updated as a claim does, and then as an outcome does."""
    dynamodb, updates = boto3.client("dynamodb"), _of(recording, "UpdateItem")

    def unit() -> None:
        for update in updates:
            dynamodb.update_item(**update)

    measure(unit, units)


def _saved_and_invoked(put: dict[str, Any], message: dict[str, Any]) -> Callable[[], object]:
    """Return what saves an item under a new id, unless it is there, and invokes with its id."""
    dynamodb, invoke = boto3.client("dynamodb"), _invoked(message)

    def unit() -> None:
        job_id = new_name()
        dynamodb.put_item(**{**put, "Item": {**put["Item"], "id": {"S": job_id}}})
        invoke(job_id)

    return unit


def _invoked(message: dict[str, Any]) -> Callable[..., object]:
    """Return what invokes a function as an event, and reads the answer to its end: unread, it would
    cost a connection each time."""
    functions = boto3.client("lambda")

    def unit(job_id: str = message["id"]) -> None:
        answer = functions.invoke(
            FunctionName=WORKER,
            InvocationType="Event",
            Payload=json.dumps({**message, "id": job_id}),
        )
        answer["Payload"].read()

    return unit


def _message(recording: str) -> dict[str, Any]:
    (message,) = _of(recording, "Invoke")
    return message


def _of(recording: str, operation: str) -> list[dict[str, Any]]:
    """Return the recorded requests of an operation, as boto3 takes them."""
    return [
        _parameters(json.loads(each["request"]))
        for each in json.loads(Path(recording).read_text())
        if each["operation"] == operation
    ]


def _parameters(request: Any) -> Any:
    """Return a request's body with its binary values as bytes."""
    if isinstance(request, dict):
        return {
            name: base64.b64decode(value) if name == "B" else _parameters(value)
            for name, value in request.items()
        }
    return request
