"""The unit of work that all peers run: its names, its payload, and the note of its start."""

import json
import os
import time
import uuid
from pathlib import Path
from typing import Any

JOB_TYPE, TASK_NAME = "peer_job", "peer_task"
PAYLOAD = {"name": "uploads/default/contacts.csv"}
WORKER = "arn:aws:lambda:us-east-1:123456789012:function:worker:live"


def note(notes: str, seconds: float, name: str = "") -> None:
    """Note the time and this process in a file, and then sleep for `seconds`."""
    if notes:
        with Path(notes).open("a") as file:
            file.write(f"{time.time()} {os.getpid()} {name}\n")
    if seconds:
        time.sleep(seconds)


def queue_url(queue: str) -> str:
    """Return the URL of a queue at the endpoint in the environment."""
    return f"{os.environ['AWS_ENDPOINT_URL']}/{os.environ.get('ACCOUNT', '123456789012')}/{queue}"


def new_name() -> str:
    """Return a unique name."""
    return uuid.uuid4().hex


def http_event(method: str, path: str, body: Any = None) -> dict[str, Any]:
    """Return the event of an HTTP API for a request that a service signed."""
    arn = "arn:aws:sts::123456789012:assumed-role/service/bench"
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "host": "api.example.com"},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api",
            "authorizer": {"iam": {"userArn": arn, "callerId": "id", "accountId": "123456789012"}},
            "domainName": "api.example.com",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.1",
                "userAgent": "bench",
            },
            "requestId": "request",
            "routeKey": "$default",
            "stage": "$default",
            "time": "01/Nov/2026:00:00:00 +0000",
            "timeEpoch": 1793491200000,
        },
        "isBase64Encoded": False,
        **({} if body is None else {"body": json.dumps(body)}),
    }
