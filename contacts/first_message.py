"""The mark that lets one delivery alone send a contact's first message."""

import uuid
from typing import Any

from botocore.exceptions import ClientError

from contacts.assignment import MessageStatus, key
from contacts.contact import Contact
from settings import required
from store import aws


class Mark:
    """Set on the contact's assignment before the text is sent. Only who has set it may say what
    came of it."""

    def __init__(self, organization_campaign: str, cell: str) -> None:
        self._key = {
            "organization_campaign": {"S": organization_campaign},
            "cell": {"S": key(cell)},
        }
        self._mark = uuid.uuid4().hex

    def set(self, texter: str) -> bool:
        """Whether the message is ours to send: the contact is the texter's, and nobody has sent or
        is sending one."""
        found = self._write(
            "SET message_status = :to, mark = :mark",
            "message_status = :from AND texter = :texter",
            {
                ":from": MessageStatus.NEEDS_MESSAGE,
                ":to": MessageStatus.SENDING,
                ":texter": texter,
                ":mark": self._mark,
            },
        )
        # Refused though it is ours: set by an earlier try, whose response was lost.
        return found is None or found.get("mark") == {"S": self._mark}

    def end(self, status: MessageStatus) -> None:
        """Record what came of it. NEEDS_MESSAGE takes the mark back: another may send."""
        # Refused, it has been recorded: by an earlier try, whose response was lost.
        self._write(
            "SET message_status = :to",
            "message_status = :from AND mark = :mark",
            {":from": MessageStatus.SENDING, ":to": status, ":mark": self._mark},
        )

    def _write(self, update: str, condition: str, values: dict[str, str]) -> Any:
        """None if it was written, else the item that did not meet the condition."""
        try:
            aws.client("dynamodb").update_item(
                TableName=required(Contact.table_setting, "first messages"),
                Key=self._key,
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeValues={name: {"S": value} for name, value in values.items()},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return error.response.get("Item", {})
        return None
