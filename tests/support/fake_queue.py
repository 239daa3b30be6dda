"""A queue of SQS with the worker behind it, as an event source has it."""

from typing import Any

import job_runners.handlers.worker
from job_runners.testing.lambda_context import Context
from job_runners.testing.plain_clients import full_client


class FakeQueue:
    """The queue of moto at this URL. What is answered for is deleted."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.groups: list[str] = []
        self.failed: list[str] = []  # bodies of messages that come again

    def receive(self) -> list[dict[str, Any]]:
        """Return the records of what has arrived."""
        found: list[dict[str, Any]] = (
            full_client("sqs")
            .receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=1,
                MessageSystemAttributeNames=["All"],
                VisibilityTimeout=0,
            )
            .get("Messages", [])
        )
        return [
            {
                "messageId": each["MessageId"],
                "receiptHandle": each["ReceiptHandle"],
                "body": each["Body"],
                "attributes": each["Attributes"],
            }
            for each in found
        ]

    def deliver(self, redelivered: bool = False) -> int:
        """Run every message that has arrived, and those that they cause. Returns how many."""
        delivered = 0
        while records := self.receive():
            for record in records:
                self.groups.append(record["attributes"].get("MessageGroupId", ""))
                if redelivered:
                    record["attributes"]["ApproximateReceiveCount"] = "2"
            answer = job_runners.handlers.worker.handler({"Records": records}, Context())  # type: ignore[arg-type]
            failed = {each["itemIdentifier"] for each in answer["batchItemFailures"]}
            for record in records:
                if record["messageId"] in failed:
                    self.failed.append(record["body"])
                full_client("sqs").delete_message(
                    QueueUrl=self.url, ReceiptHandle=record["receiptHandle"]
                )
            delivered += len(records)
        return delivered
