"""Mark a contact's assignment, so that only one delivery sends its first message."""

import uuid
from collections.abc import Sequence
from typing import Any

from botocore.exceptions import ClientError

from job_runners.aws import clients
from job_runners.aws.errors import condition_failed
from job_runners.settings import required
from job_runners.shipped.campaigns.assignment import MessageStatus, key
from job_runners.shipped.campaigns.contact import Contact


class SendClaim:
    """A mark on the contact's assignment, set before the text is sent.

    Only the delivery that has set it may record the outcome.
    """

    def __init__(self, organization_campaign: str, cell: str) -> None:
        self.id = uuid.uuid4().hex
        self._key = {
            "organization_campaign": {"S": organization_campaign},
            "cell": {"S": key(cell)},
        }

    def set(self, texter: str, left_behind: Sequence[str] = ()) -> bool:
        """Set the mark, and return whether this delivery may send the message.

        It may if the contact is assigned to the texter, and no message was sent or is being sent.
        `left_behind` has the marks of attempts that certainly sent nothing but may have set them.
        Such a mark doesn't prevent sending.
        """
        ready = "message_status = :from"
        left_marks = {f":left{number}": mark for number, mark in enumerate(left_behind)}
        if left_marks:
            ready = f"({ready} OR (message_status = :to AND mark IN ({', '.join(left_marks)})))"
        found = self._write(
            "SET message_status = :to, mark = :mark",
            f"{ready} AND texter = :texter",
            {
                ":from": MessageStatus.NEEDS_MESSAGE,
                ":to": MessageStatus.SENDING,
                ":texter": texter,
                ":mark": self.id,
                **left_marks,
            },
        )
        # The write is also refused if an earlier try has set our mark and its response was lost.
        return found is None or found.get("mark") == {"S": self.id}

    def end(self, status: MessageStatus) -> None:
        """Record the outcome. NEEDS_MESSAGE ends the claim, so that another delivery may send."""
        # A refusal means that an earlier try has recorded the outcome and its response was lost.
        self._write(
            "SET message_status = :to",
            "message_status = :from AND mark = :mark",
            {":from": MessageStatus.SENDING, ":to": status, ":mark": self.id},
        )

    def _write(self, update: str, condition: str, values: dict[str, str]) -> Any:
        """Write the update. Return None, or the item if it did not meet the condition."""
        try:
            clients.client("dynamodb").update_item(
                TableName=required(Contact.table_setting, "first messages"),
                Key=self._key,
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeValues={name: {"S": value} for name, value in values.items()},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            if not condition_failed(error):
                raise
            return error.response.get("Item", {})
        return None
