"""The unit of work that is measured: its names and its payload."""

import uuid

JOB_TYPE, TASK_NAME = "peer_job", "peer_task"
PAYLOAD = {"name": "uploads/default/contacts.csv"}
WORKER = "arn:aws:lambda:us-east-1:123456789012:function:worker:live"


def new_name() -> str:
    """Return a unique name."""
    return uuid.uuid4().hex
