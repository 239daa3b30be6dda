"""Send events to the stack's event bus (EventBridge) and its topic (SNS)."""

import json
from typing import Any

from job_runners.aws import clients
from job_runners.errors import JobRunnersError

SOURCE = "job-runners"
DETAIL_TYPE = "Job ended"


class EventRefused(JobRunnersError):
    """EventBridge refused an event."""

    def __init__(self, bus: str, code: str, message: str) -> None:
        super().__init__(f"The event bus {bus} refused the event: {code}: {message}")


def put_event(bus: str, event: dict[str, Any]) -> None:
    """Put an event on an EventBridge bus. Raises EventRefused."""
    entry = {
        "EventBusName": bus,
        "Source": SOURCE,
        "DetailType": DETAIL_TYPE,
        "Detail": json.dumps(event),
    }
    response = clients.client("events").put_events(Entries=[entry])
    if response["FailedEntryCount"]:
        error = response["Entries"][0]
        raise EventRefused(bus, error.get("ErrorCode", ""), error.get("ErrorMessage", ""))


def publish(topic: str, event: dict[str, Any]) -> None:
    """Publish an event to an SNS topic, with attributes, so that subscribers can filter events."""
    data = event["data"]
    values = {
        "type": event["type"],
        "job_type": data["job_type"],
        "organization_id": data["organization_id"],
    }
    attributes = {
        name: {"DataType": "String", "StringValue": value} for name, value in values.items()
    }
    clients.client("sns").publish(
        TopicArn=topic, Message=json.dumps(event), MessageAttributes=attributes
    )
