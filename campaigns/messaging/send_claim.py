"""The mark that lets one delivery alone send a contact's first message."""

import uuid
from collections.abc import Sequence
from typing import Any

from botocore.exceptions import ClientError

from aws import clients
from aws.errors import condition_failed
from campaigns.assigning.assignment import MessageStatus, key
from campaigns.contact import Contact
from settings import required


class SendClaim:
    """Set on the contact's assignment before the text is sent. Only who has set it may say what
    came of it."""

    def __init__(self, organization_campaign: str, cell: str) -> None:
        self.id = uuid.uuid4().hex
        self._key = {
            "organization_campaign": {"S": organization_campaign},
            "cell": {"S": key(cell)},
        }

    def set(self, texter: str, left_behind: Sequence[str] = ()) -> bool:
        """Whether the message is ours to send: the contact is the texter's, and nobody has sent or
        is sending one.

        `left_behind` are the marks of attempts which know that they sent nothing, and not whether
        their mark is still there: none of them keeps anybody from sending.
        """
        ready = "message_status = :from"
        left = {f":left{number}": mark for number, mark in enumerate(left_behind)}
        if left:
            ready = f"({ready} OR (message_status = :to AND mark IN ({', '.join(left)})))"
        found = self._write(
            "SET message_status = :to, mark = :mark",
            f"{ready} AND texter = :texter",
            {
                ":from": MessageStatus.NEEDS_MESSAGE,
                ":to": MessageStatus.SENDING,
                ":texter": texter,
                ":mark": self.id,
                **left,
            },
        )
        # Refused though it is ours: set by an earlier try, whose response was lost.
        return found is None or found.get("mark") == {"S": self.id}

    def end(self, status: MessageStatus) -> None:
        """Record what came of it. NEEDS_MESSAGE takes the mark back: another may send."""
        # Refused, it has been recorded: by an earlier try, whose response was lost.
        self._write(
            "SET message_status = :to",
            "message_status = :from AND mark = :mark",
            {":from": MessageStatus.SENDING, ":to": status, ":mark": self.id},
        )

    def _write(self, update: str, condition: str, values: dict[str, str]) -> Any:
        """None if it was written, else the item that did not meet the condition."""
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
