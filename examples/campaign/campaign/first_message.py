"""A contact's first message: its template, the mark that lets only one invocation send it, and its
outcome."""

import re
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import AfterValidator, StringConstraints

from campaign.contacts import MessageStatus, assignment_key, dynamodb, table
from campaign.errors import SmsOutcomeUnknown, TextRefused
from campaign.sms import LONGEST, Sms
from job_runners.work import RetryAfter

FIELDS = ("first_name", "last_name", "zip", "external_id")

_FIELD = re.compile(r"\{([^{}]*)\}")
_KNOWN = ", ".join(f"{{{name}}}" for name in FIELDS)


def _check_fields(template: str) -> str:
    unknown = next((name for name in _FIELD.findall(template) if name not in FIELDS), None)
    if unknown is not None:
        raise ValueError(f"{{{unknown[:50]}}} isn't a field of a contact; use {_KNOWN}")
    rest = _FIELD.sub("", template)
    if "{" in rest or "}" in rest:
        raise ValueError(f"has a single brace; use braces only for fields: {_KNOWN}")
    if not rest.strip():
        raise ValueError("must have text besides a contact's fields, which may be empty")
    return template


Template = Annotated[
    str, StringConstraints(min_length=1, max_length=LONGEST), AfterValidator(_check_fields)
]


def filled(template: str, values: Mapping[str, str | None]) -> str:
    """Fill in the template for one person. Fields without a value become empty."""
    return _FIELD.sub(lambda field: values[field[1]] or "", template)


class SendClaim:
    """A mark on the contact's assignment, set before the text is sent.

    Only the attempt that has set it may record the outcome.
    """

    def __init__(self, campaign: str, cell: str) -> None:
        self.id = uuid.uuid4().hex
        self._key = {
            "organization_campaign": {"S": campaign},
            "cell": {"S": assignment_key(cell)},
        }

    def set(self, texter: str, left_behind: Sequence[str] = ()) -> bool:
        """Set the mark, and return whether this attempt may send the message.

        It may if the contact is assigned to the texter, and no message was sent or is being sent.
        `left_behind` has the marks of earlier attempts that certainly sent nothing but may have set
        them. Such a mark doesn't prevent sending.
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
        """Record the outcome. NEEDS_MESSAGE ends the claim, so that another attempt may send."""
        # A refusal means that an earlier try has recorded the outcome and its response was lost.
        self._write(
            "SET message_status = :to",
            "message_status = :from AND mark = :mark",
            {":from": MessageStatus.SENDING, ":to": status, ":mark": self.id},
        )

    def _write(self, update: str, condition: str, values: dict[str, str]) -> Any:
        """Write the update. Return None, or the item if it did not meet the condition."""
        try:
            dynamodb().update_item(
                TableName=table(),
                Key=self._key,
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeValues={name: {"S": value} for name, value in values.items()},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except dynamodb().exceptions.ConditionalCheckFailedException as error:
            return error.response.get("Item", {})
        return None


def send(sms: Sms, claim: SendClaim, cell: str, text: str) -> None:
    """Send the text of a contact that `claim` has marked, and record the outcome.

    Raises the errors of `Sms.send`. After RetryAfter nothing was sent, and the mark was removed if
    DynamoDB answered.
    """
    try:
        sms.send(cell, text)
    except RetryAfter:
        with suppress(BotoCoreError, ClientError):
            claim.end(MessageStatus.NEEDS_MESSAGE)
        raise
    except TextRefused:
        claim.end(MessageStatus.REFUSED)
        raise
    except SmsOutcomeUnknown:
        claim.end(MessageStatus.UNKNOWN)
        raise
    claim.end(MessageStatus.SENT)
