"""Runs a release's own code over what a stack has stored, in a process of its own.

    python run_release.py CODE STATE MINUTES

CODE is the unpacked code of the release (released_code.py). STATE is a folder as record_release.py
writes it. The release's handlers take the messages in it, and the timer's runs for so many minutes.
The folder then has what is stored after that. The process writes, as JSON, which messages the
worker refused, and why. It imports nothing of the checkout but modules next to this file.
"""

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

CODE, STATE = Path(sys.argv[1]), Path(sys.argv[2])
MINUTES = int(sys.argv[3])
# Its own packages first: ours have the same names.
sys.path[:] = [str(CODE), *sys.path]

import boto3  # noqa: E402
from moto import mock_aws  # noqa: E402

import stored_state  # noqa: E402

_MINUTE = 60_000


class Context:
    """As much of Lambda's context object as a release reads."""

    function_name = "worker"
    memory_limit_in_mb = 1024
    aws_request_id = "request"
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:worker:live"

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds that an invocation has."""
        return 900_000


class Stack:
    """The release's functions, on a clock that is moved."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.sent: list[tuple[dict[str, Any], float]] = []
        self.refused: list[str] = []
        self._worker = import_module("job_runners.handlers.worker").handler
        self._timer = import_module("job_runners.handlers.timer").handler
        self._encode = import_module("job_runners.engine.wire.messages").encode

    def send(self, message: Any, delay: float = 0) -> None:
        """Take a message as the release's code sends it."""
        self.sent.append((json.loads(self._encode(message)), delay))

    def deliver(self) -> None:
        """Have the worker do what was sent; what it refuses is kept."""
        kept: list[tuple[dict[str, Any], float]] = []
        while self.sent:
            event, delay = self.sent.pop(0)
            self.now += round(delay * 1000)
            try:
                self._worker(event, Context())
            except Exception as error:  # noqa: BLE001 - Lambda reports it, and keeps the event
                self.refused.append(f"{event['kind']}: {type(error).__name__}: {error}")
                kept.append((event, 0))
        self.sent = kept

    def pass_time(self, minutes: int) -> None:
        """Let the timer tick every minute, and what it sends run."""
        for _ in range(minutes):
            before, self.sent = self.sent, []
            self._timer({}, Context())
            self.deliver()
            self.sent = [*before, *self.sent]
            self.now += _MINUTE


def main() -> None:
    """Do as the docstring says."""
    stored = {file.stem: json.loads(file.read_text()) for file in STATE.glob("*.json")}
    with mock_aws():
        dynamodb, s3 = boto3.client("dynamodb"), boto3.client("s3")
        for table in stored.pop("definitions"):
            dynamodb.create_table(**table)
        bucket = os.environ["BUCKET_NAME"]
        s3.create_bucket(Bucket=bucket)
        stored_state.restore_tables(dynamodb, os.environ, stored["tables"])
        stored_state.restore_objects(s3, bucket, stored["objects"])
        stack = Stack(stored["time"])
        clock = import_module("job_runners.clock")
        with (
            patch.object(clock, "now", lambda: stack.now),
            patch("job_runners.runners.sender", lambda: stack.send),
            patch("job_runners.runners.lambda_async.sender", lambda _: stack.send),
        ):
            stack.sent = [(json.loads(each["body"]), 0) for each in stored["messages"]]
            stack.deliver()
            stack.pass_time(MINUTES)
        after = {
            "time": stack.now,
            "tables": stored_state.read_tables(dynamodb, os.environ),
            "objects": stored_state.read_objects(s3, bucket),
            "messages": [
                {"body": json.dumps(event), "delay": delay} for event, delay in stack.sent
            ],
        }
    for name, content in after.items():
        (STATE / f"{name}.json").write_text(json.dumps(content))
    sys.stdout.write(json.dumps(stack.refused))


if __name__ == "__main__":
    main()
