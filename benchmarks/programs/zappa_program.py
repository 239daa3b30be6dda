"""Zappa: a task through an asynchronous invocation, with its result in DynamoDB."""

from collections.abc import Callable, Iterable
from typing import Any

from zappa.asynchronous import LambdaAsyncResponse, run

from measuring import measure
from work_unit import PAYLOAD, WORKER, note


def app(_environment: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """Answer any request, because Zappa requires an application."""
    start("200 OK", [])
    return [b""]


def work(notes: str, seconds: float, name: str) -> str:
    """Note the start."""
    note(notes, seconds, name)
    return name


def start(notes: str, seconds: float, name: str, function: str = WORKER) -> LambdaAsyncResponse:
    """Dispatch the task so that Zappa stores its result."""
    started: LambdaAsyncResponse = run(
        work,
        [notes, seconds, name],
        capture_response=True,
        remote_aws_lambda_function_name=function,
        remote_aws_region="us-east-1",
    )
    return started


def dispatch(units: int) -> None:
    """Measure a dispatch."""
    measure(lambda: start("", 0, PAYLOAD["name"]), units)


def send(function: str, notes: str, seconds: str, *names: str) -> None:
    """Dispatch the task for each name, and print the id of its result."""
    for name in names:
        print(start(notes, float(seconds), name, function).response_id)
