"""Who texts a contact, and what has become of the first message: an item beside the contact's own.

An import puts contacts whole, 25 at a time, and no condition can be set on that. So what a campaign
does about a contact is kept apart: importing it again leaves that alone. The item's sort key makes
it the contact's next neighbour, so that one Query reads both.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from aws import clients
from aws.errors import condition_failed
from campaigns.contact import Contact
from settings import required

_SUFFIX = "#assignment"  # `#` is in no phone number, and sorts before every digit

Item = Mapping[str, Mapping[str, Any]]  # as DynamoDB's own JSON has it


class MessageStatus(StrEnum):
    """How far a contact's first message is."""

    NEEDS_MESSAGE = "needs_message"  # assigned, and not texted
    SENDING = "sending"  # on its way to SNS; for good if its worker was killed there
    SENT = "sent"  # SNS took it
    REFUSED = "refused"  # SNS surely did not take it, and would not later
    UNKNOWN = "unknown"  # SNS may have taken it


class Assignment(NamedTuple):
    """Whose the contact is; `run` is the run of a job that said so."""

    texter: str
    run: str
    message_status: MessageStatus


def key(cell: str) -> str:
    """Return the sort key of a contact's assignment."""
    return cell + _SUFFIX


def owner(sort_key: str) -> str | None:
    """Return the number whose assignment has this sort key; None if it is a contact's own."""
    return sort_key.removesuffix(_SUFFIX) if sort_key.endswith(_SUFFIX) else None


def from_item(item: Item) -> Assignment:
    """Return an assignment as the table has it."""
    status = MessageStatus(item["message_status"]["S"])
    return Assignment(item["texter"]["S"], item["run"]["S"], status)


def assign(organization_campaign: str, cell: str, texter: str, run: str) -> Assignment | None:
    """Give a contact to a texter, unless it has one already: that one is returned, and stays.

    What is returned may be our own: from an earlier try whose response was lost, or from another
    invocation of the same run.
    """
    try:
        clients.client("dynamodb").put_item(
            TableName=required(Contact.table_setting, "assigning contacts"),
            Item={
                "organization_campaign": {"S": organization_campaign},
                "cell": {"S": key(cell)},
                "texter": {"S": texter},
                "run": {"S": run},
                "message_status": {"S": MessageStatus.NEEDS_MESSAGE},
            },
            ConditionExpression="attribute_not_exists(cell)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except ClientError as error:
        if not condition_failed(error):
            raise
        return from_item(error.response["Item"])  # type: ignore[typeddict-item]
    return None
