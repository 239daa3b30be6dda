"""The unit of work that is measured: its names, its payload, and a request for it."""

import json
import uuid
from typing import Any

JOB_TYPE, TASK_NAME = "peer_job", "peer_task"
PAYLOAD = {"name": "uploads/default/contacts.csv"}
WORKER = "arn:aws:lambda:us-east-1:123456789012:function:worker:live"


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
